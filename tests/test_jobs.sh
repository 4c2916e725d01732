#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The job scripts under a real SLURM of two nodes (slurm_cluster.sh): trainings go on over time
# limits, requeueing, signals at every moment, a node that dies, a node that is cut off and a rank
# that is stopped, and end with the weights of one that nothing has happened to; chains, sweeps, and
# runs that are doomed. Skipped, by name, where there is no SLURM or no right to make network
# namespaces.
#
#   tests/test_jobs.sh build/palimpsest
source "$(dirname "$0")/support.sh"
source "$sources/tests/slurm_cluster.sh"

cluster_begin "the tests of the job scripts"

# What a site sets in jobs/environment.sh.
export palimpsest PALIMPSEST_CLONE=$sources folder_patience=5
unset OMPI_MCA_orte_tmpdir_base # of this machine, not of the nodes

# Programs run in jobs here: `bad` has nothing of theirs to show.
no_output() { rm -f "$folder/out" "$folder/err"; }

# ---- jobs ----------------------------------------------------------------------------------------

# train NAME [OPTION OF SBATCH...] [KEY=VALUE...]: a training on both nodes with this name, run
# folder and log. Sets $job.
train() {
    local name=$1 options=()
    shift
    while [[ ${1-} == --* ]]; do
        options+=("$1")
        shift
    done
    write_config "$name.ini" "$inputs/data.h5" "${usual[@]}" "$@"
    job=$(sbatch --parsable --nodes=2 --job-name="$name" --output="$name.log" \
        ${options[@]+"${options[@]}"} "$sources/jobs/train.sbatch" "$name.ini" --run "$name")
}

state_of() { scontrol show job "$1" 2>/dev/null | sed -n 's/^ *JobState=\([A-Z_]*\).*/\1/p' | head -n 1; }
is_running() { [ "$(state_of "$1")" = RUNNING ]; }
has_ended() { [[ $(state_of "$1") =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]; }

# SLURM holds requeued jobs back for two minutes; less than some seconds, and nodes take the new
# start for the old one.
let_begin() {
    local held start
    while read -r held start; do
        if [ $(($(date --date="$start" +%s) - $(date +%s))) -gt 10 ]; then
            scontrol update "JobId=$held" StartTime=now+3
        fi
    done < <(squeue --noheader --states=PENDING --format='%i %S %r' | sed -n 's/ BeginTime$//p')
} 2>/dev/null

ended_or_begins() {
    let_begin
    has_ended "$1"
}

# finishes NAME JOB [SECONDS]: it does, after however many starts.
finishes() {
    cluster_wait "${3:-60}" ended_or_begins "$2"
    checks=$((checks + 1))
    [ "$(state_of "$2")" = COMPLETED ] || {
        bad "$1 is $(state_of "$2"): $(scontrol show job "$2" | grep -o 'Reason=[^ ]*')"
        tail -n 8 "$1.log" | cut -c 1-200 | sed 's/^/    log: /'
    }
}

starts_of() { cat "$1.log" 2>/dev/null | grep -c '^== job'; }

# same_weights RUN: as those of the training that nothing has happened to, every bit of them, and
# all losses.
same_weights() {
    local run
    for run in straight "$1"; do
        check "$run: convert" "$palimpsest" convert "$run" -o "$run.safetensors" >/dev/null
    done
    check "$1: weights" cmp <(tensors straight.safetensors) <(tensors "$1.safetensors")
    rm -f straight.safetensors "$1.safetensors"
    check "$1: losses" cmp <(losses straight) <(losses "$1")
}

# tensors FILE.safetensors: without its header, which has the configuration.
tensors() { tail -c +$((9 + $(od -An -td8 -N8 "$1"))) "$1"; }
has_updates() { [ "$(cat "$1/metrics.jsonl" 2>/dev/null | wc -l)" -ge "$2" ]; }
is_saving() { compgen -G "$1/checkpoints/*.part" >/dev/null; }
evaluates() {
    tail -n 1 "$1/metrics.jsonl" 2>/dev/null | grep -qE '"kind": "train", "update": [0-9]*00,'
}
starts_again() { [ "$(starts_of "$1")" -gt "$2" ] && is_running "$3"; }

no_jobs() {
    local left
    left=$(squeue --noheader) && [ -z "$left" ]
}

# rank_processes: the program's, on the nodes alone: other tests run it at the same time.
rank_processes() {
    local node process found=1
    for node in "${cluster_nodes[@]}"; do
        for process in $(node_processes "$node"); do
            if grep -qx palimpsest "/proc/$process/comm" 2>/dev/null; then
                echo "$process"
                found=0
            fi
        done
    done
    return $found
}
no_rank_is_left() { ! rank_processes >/dev/null; }

# rank_of RUN: one of its processes.
rank_of() {
    local process
    for process in $(rank_processes); do
        if tr '\0' ' ' <"/proc/$process/cmdline" | grep -q -- "--run $1 "; then
            echo "$process"
            return
        fi
    done
}

# ---- what can happen to a training ---------------------------------------------------------------

write_text "$inputs/text"
some_text 60000 >"$inputs/text/train/900.txt"
some_text 25000 >"$inputs/text/validation/901.txt" # for an evaluation that can be caught
must 1 prepare "$inputs/text" -o "$inputs/data.h5"
no_output
usual=(train.updates=800 train.decay=2000 train.log_every=200 model.dropout=0.1 checkpoint.every=10
    train.evaluate_every=100 watchdog.step=6 watchdog.evaluation=6 watchdog.save=6 jobs.lead=54)
export OMPI_MCA_mpi_yield_when_idle=1 # ranks share cores

progress() { printf '%4d s  %s\n' $SECONDS "$*"; }

progress "nothing happens"
train straight
finishes straight "$job"
file_says straight.log "grid: 2 ranks = data 2" "== status 0: done"
check "one start" [ "$(starts_of straight)" = 1 ]
check "ranks on both nodes" grep -q '^== job.* on pal\[1-2\]' straight.log

progress "a time limit far too short: nobody listens, training stops by itself, or by SLURM's signal"
deaf=(jobs.lead=1 watchdog.step=0 watchdog.save=0 watchdog.evaluation=0)
train late --time=1 "${deaf[@]}"
late=$job
train last --time=1 --no-requeue "${deaf[@]}" train.updates=1000000
last=$job
for name in late last; do
    cluster_wait 30 has_updates $name 50
    kill -STOP "$(rank_of $name)"
done
train signal --time=1 --signal=USR1@50 jobs.lead=1 train.updates=1000000 checkpoint.every=0 \
    train.evaluate_every=0
signal=$job
train limit --time=1
finishes limit "$job" 90
file_says limit.log "with a checkpoint: the job's time limit is near" "== status 75: again" \
    "--signal=USR1@" "resumed from"
same_weights limit
check "it is requeued" cluster_wait 60 grep -q '== status 75: again' signal.log
scancel "$signal"
file_says signal.log "with a checkpoint: SIGUSR1"
finishes late "$late" 90
file_says late.log "== status 71: again" "resumed from"
same_weights late
check "one that cannot be requeued ends" cluster_wait 30 has_ended "$last"
file_says last/stopped.txt "job $last (last): the job cannot be requeued"

# is_at MOMENT RUN: this start is there; the files may be of the one before.
is_at() {
    case $1 in
        start-up) rank_processes >/dev/null && ! has_updates "$2" $((updates_before + 1)) ;;
        training) has_updates "$2" $((updates_before + 20)) ;;
        evaluation) has_updates "$2" $((updates_before + 1)) && evaluates "$2" ;;
        save) has_updates "$2" $((updates_before + 1)) && is_saving "$2" ;;
    esac
}

# held_at MOMENT RUN: it is, and does not pass, for SLURM may take its time.
held_at() {
    is_at "$@" || return
    rank_processes | xargs -r kill -STOP 2>/dev/null
    is_at "$@" || {
        rank_processes | xargs -r kill -CONT 2>/dev/null
        return 1
    }
}

for way in requeue TERM; do
    progress "$way at four moments"
    train "$way"
    starts=1
    for moment in training evaluation start-up save; do
        updates_before=$(cat "$way/metrics.jsonl" 2>/dev/null | wc -l)
        cluster_wait 30 is_running "$job"
        cluster_poll=0.02
        check "$way: $moment comes" cluster_wait 20 held_at "$moment" "$way"
        unset cluster_poll
        if [ "$way" = requeue ]; then
            scontrol requeue "$job"
        else
            scancel --signal=TERM "$job"
        fi
        rank_processes | xargs -r kill -CONT
        cluster_wait 30 eval 'let_begin; starts_again "$way" $starts "$job"'
        check "$way in $moment: it is started again" [ "$(starts_of "$way")" = $((starts + 1)) ]
        starts=$(starts_of "$way")
    done
    finishes "$way" "$job"
    same_weights "$way"
done

progress "one rank is stopped"
train stopped
cluster_wait 30 has_updates stopped 50
kill -STOP "$(rank_processes | tail -n 1)"
finishes stopped "$job" 90
file_says stopped/log.txt "1 of 2 ranks report; not rank "
file_says stopped.log ": again" "resumed from" # srun's status: 71, or that of the rank it then kills
same_weights stopped

progress "NaN in one window is skipped; in many, the run goes back; on both nodes alike"
export PALIMPSEST_TEST_NAN=200:1
train skips
export PALIMPSEST_TEST_NAN=200:1:12
train rewinds
unset PALIMPSEST_TEST_NAN
for name in skips rewinds; do
    cluster_wait 60 eval 'no_jobs'
    file_says $name.log "update 201 is skipped" "== status 0: done"
done
check "one update is skipped" [ "$(grep -c '"skipped"' skips/metrics.jsonl)" = 1 ]
file_says rewinds.log "updates in a row were skipped" "going back to"
file_says rewinds/metrics.jsonl '"kind": "rewind"'

progress "a rank dies again and again before there is a checkpoint"
train hopeless checkpoint.every=0 train.updates=100000 train.evaluate_every=0 jobs.max_failures=2
for number in 1 2; do
    cluster_wait 30 eval 'let_begin; [ "$(starts_of hopeless)" = $number ]'
    cluster_wait 30 rank_processes >/dev/null
    sleep 2 # what dies while it is being launched is launched again
    kill -KILL "$(rank_processes | head -n 1)"
    cluster_wait 30 no_rank_is_left
done
cluster_wait 60 ended_or_begins "$job"
scancel "$job"
check "it is given up: $(state_of "$job")" [ "$(state_of "$job")" = FAILED ]
file_says hopeless/stopped.txt "2 starts in a row without a checkpoint"

progress "a configuration that cannot work"
train doomed model.heads=3
cluster_wait 30 has_ended "$job"
check "it has failed at once" [ "$(state_of "$job")" = FAILED ]
check "one start" [ "$(starts_of doomed)" = 1 ]
file_says doomed/stopped.txt "status 78" "heads"

progress "a job of a partition that goes first takes the nodes"
train preempted
cluster_wait 30 has_updates preempted 50
urgent=$(sbatch --parsable --partition=urgent --nodes=2 --exclusive --output=/dev/null --wrap="sleep 2")
check "the urgent job runs" cluster_wait 60 has_ended "$urgent"
finishes preempted "$job"
file_says preempted.log "with a checkpoint: SIGTERM" "resumed from"
check "two starts" [ "$(starts_of preempted)" = 2 ]
same_weights preempted

progress "a run that begins with the checkpoint of another, and is stopped"
write_config branch.ini "$inputs/data.h5" "${usual[@]}" train.updates=1600 train.evaluate_every=0
branch=$(sbatch --parsable --output=branch.log "$sources/jobs/train.sbatch" branch.ini --run branch \
    --resume straight)
cluster_wait 30 has_updates branch 50
scancel --signal=USR1 "$branch"
finishes branch "$branch"
file_says branch.log "resumed from straight/checkpoints" "without --resume straight" \
    "resumed from branch/checkpoints"

progress "the controller is away while a training stops"
train away watchdog.step=0 watchdog.save=0 watchdog.evaluation=0
cluster_wait 30 has_updates away 50
rank_processes | xargs kill -STOP # it may not finish while the controller does
controller_stop
rank_processes | xargs kill -USR1
rank_processes | xargs kill -CONT
check "it stops" cluster_wait 20 no_rank_is_left
sleep 3
controller_start
check "it is started again" cluster_wait 90 eval 'let_begin; starts_again away 1 "$job"'
finishes away "$job"
file_says away.log "== status 75: again"
same_weights away

progress "a folder that another job is writing into"
train writer train.updates=1000000 train.evaluate_every=0 checkpoint.every=100000
writer=$job
cluster_wait 30 has_updates writer 20
second=$(sbatch --parsable --output=second.log "$sources/jobs/train.sbatch" writer.ini --run writer)
finishes_so() { cluster_wait 60 ended_or_begins "$1" && [ "$(state_of "$1")" = "$2" ]; }
check "the second one fails" finishes_so "$second" FAILED
check "and leaves the folder alone" [ ! -e writer/stopped.txt ]
check "and counts nothing there" [ ! -e writer/failures.txt ]
check "the first one runs" is_running "$writer"
scancel "$writer"
cluster_wait 30 no_jobs
file_says second.log "== status 72: busy"

# ---- chains and sweeps ---------------------------------------------------------------------------

progress "a chain: two links stop at their limit, the third finishes, the fourth is not needed"
write_config chain.ini "$inputs/data.h5" "${usual[@]}" train.updates=1000000
"$sources/jobs/chain.sh" --links=4 --nodes=2 --time=1 --output="$work/chain-%j.log" -- \
    "$work/chain.ini" --run "$work/chain" >chain.out
names=$(squeue --noheader --format=%j | sort -u)
check "singletons of one name: $names" [ "$(wc -l <<<"$names")" = 1 ]
links() { cat chain-*.log 2>/dev/null | grep -c '^== job'; }
check "the second link begins" cluster_wait 40 eval '[ "$(links)" = 2 ]'
cluster_wait 20 rank_processes >/dev/null
sleep 1 # it has read its configuration; the third reads another one
write_config chain.ini "$inputs/data.h5" "${usual[@]}" \
    train.updates=$(($(wc -l <chain/metrics.jsonl) + 10))
check "the chain ends" cluster_wait 60 no_jobs
check "three links ran: $(links)" [ "$(links)" = 3 ]
check "two stopped at their limit" [ "$(grep -l 'time limit is near' chain-*.log | wc -l)" = 2 ]
check "one finished" [ "$(grep -l '^== status 0: done' chain-*.log | wc -l)" = 1 ]

progress "a chain whose configuration is doomed"
write_config bad.ini "$inputs/data.h5" model.heads=3
"$sources/jobs/chain.sh" --links=3 --output="$work/bad-%j.log" --export=palimpsest -- "$work/bad.ini" --run "$work/bad" \
    >bad.out
check "the chain ends" cluster_wait 30 no_jobs
check "one link ran" [ "$(grep -l '^== job' bad-*.log | wc -l)" = 1 ]
file_says bad/stopped.txt "status 78"

progress "a sweep; one whose task does not end within its limit; a chain that is too short"
"$sources/jobs/chain.sh" --links=1 --time=1 --output="$work/short-%j.log" -- \
    "$work/straight.ini" --run "$work/short,1" --set train.updates=1000000 >short.out
printf '%s\n' train.updates=1000000 >one.txt
long=$(sbatch --parsable --array=1-1 --time=1 --output=one.log "$sources/jobs/sweep.sbatch" \
    straight.ini one.txt)
printf '%s\n' train.lr_peak=1e-3 train.lr_peak=3e-3 '' 'train.lr_peak=1e-2 model.dropout=0' \
    train.lr_peak=3e-2 >rates.txt
write_config sweep.ini "$inputs/data.h5" "${usual[@]}" train.updates=100
sweep=$(sbatch --parsable --array=1-4 --output="sweep-%a.log" "$sources/jobs/sweep.sbatch" \
    sweep.ini rates.txt)
check "the sweep ends" cluster_wait 60 eval '! squeue --noheader --format=%F | grep -qx "$sweep"'
for number in 1 2 3 4; do
    check "run folder $number" [ -f "runs/rates/$number/config.ini" ]
done
check "dropout of run 3" grep -q '^dropout = 0$' runs/rates/3/config.ini
check "a table of four results: $(cat runs/rates/results.txt)" \
    [ "$(grep -cE '^ +[1-4] +100 +[0-9.]+ +[0-9.]+ +[0-9.]+ finished  train' runs/rates/results.txt)" = 4 ]
sed -i 's/=1e-3$/=2e-3/' rates.txt
changed=$(sbatch --parsable --array=1-1 --output=changed.log "$sources/jobs/sweep.sbatch" \
    sweep.ini rates.txt)
check "a task whose line has changed" cluster_wait 30 has_ended "${changed}_1"
file_says changed.log "is another training, sweep.ini: train.lr_peak=1e-3"
check "the table" grep -qE '^ +1 +- .* another +train.lr_peak=2e-3' \
    <("$sources/jobs/sweep-table.sh" rates.txt runs/rates)
check "the long task is started again" cluster_wait 60 eval 'let_begin; starts_again one 1 "${long}_1"'
check "it goes on" cluster_wait 30 grep -q "resumed from runs/one/1" one.log
scancel "$long"
check "the short chain ends" cluster_wait 60 no_jobs
file_says short,1/stopped.txt "the chain has no link left"

# ---- nodes ---------------------------------------------------------------------------------------

progress "a node dies, and comes back"
train dead
cluster_wait 30 has_updates dead 50
node_kill pal2
check "SLURM notices it" cluster_wait 60 eval '! is_running "$job"'
node_start pal2
finishes dead "$job" 90
file_says dead.log "resumed from"
same_weights dead

progress "a node is cut off"
train cut
cluster_wait 30 has_updates cut 50
node_cut pal2
check "no rank is left" cluster_wait 60 no_rank_is_left
file_says cut/log.txt "watchdog: " "rank 1 on pal2"
node_join pal2
finishes cut "$job" 120
same_weights cut

progress "evaluation and preparation"
sbatch --wait --nodes=2 --output=evaluate.log "$sources/jobs/evaluate.sbatch" straight --json \
    >/dev/null
check "evaluate" grep -q '"kind": "evaluate"' evaluate.log
sbatch --wait --nodes=2 --ntasks-per-node=2 --output=prepare.log "$sources/jobs/prepare.sbatch" \
    "$inputs/text" -o again.h5 >/dev/null
check "prepare" grep -q '^wrote again.h5' prepare.log

finish
