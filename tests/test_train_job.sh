#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# jobs/train.sbatch, chain.sh and sweep.sbatch from their first line to their last, without SLURM:
# its commands and the program are small scripts here, which do what a row of the tables below says
# and note how they were called. tests/test_jobs.sh has the real ones.
#
#   tests/test_train_job.sh build/palimpsest
source "$(dirname "$0")/support.sh"

# ---- the commands --------------------------------------------------------------------------------

real_sleep=$(command -v sleep)
export real_sleep bin=$folder/bin
mkdir "$bin"

# What the code of a row consists of. The current folder is the stage, with the files script: the
# process of the job script, calls: what it has asked SLURM, starts: one line for each of the
# program, and answer: what SLURM says of the job.
cat >"$bin/words" <<'WORDS'
term() { kill -TERM "$(cat script)"; }
term_all() {
    trap '' TERM
    kill -TERM 0
    "$real_sleep" 0.1
}
lasts() { "$real_sleep" "$1"; }
starts() { wc -l <starts; }
says() { echo "$*" >&2; }
saves() { touch "$(printf 'r/checkpoints/step-%08d.h5' "$1")"; }
state() { echo "   JobState=$1 Reason=${2:-None} Requeue=${requeue:-1} Restarts=0" >answer; }
limit() {
    state COMPLETING TimeLimit
    term
}
WORDS

# command_is NAME: the rest of its script is the input.
command_is() {
    {
        printf '#!/usr/bin/env bash\nsource "$bin/words"\n'
        cat
    } >"$bin/$1"
    chmod +x "$bin/$1"
}

command_is sleep <<'SH'
[ "$1" != 10 ] || eval "${asleep:-}"
exec "$real_sleep" 0.02
SH
command_is srun <<'SH'
if [ "$1" = --mpi=list ]; then
    eval "${before:-}"
    echo "MPI plugin types are... pmix"
    exit
fi
while [[ $1 == -* ]]; do shift; done
exec "$@"
SH
command_is palimpsest <<'SH'
echo "$*" >>starts
eval "$program"
SH
command_is scontrol <<'SH'
if [ "$1" = --oneliner ]; then
    eval "${first_question:-}"
    [ -z "${away:-}" ] || echo x >>asked
    [ -n "${away:-}" ] && [ "$(wc -l <asked)" -le "$away" ] ||
        echo "${record-JobId=9 ${SLURM_ARRAY_TASK_ID:+ArrayTaskId=x }Restarts=${SLURM_RESTART_COUNT:-0} }"
elif [ "$1" = requeue ]; then
    echo "$*" >>calls
    eval "${refusal:-}"
    state PENDING BeginTime
else
    eval "${question:-}"
    lasts "${slow:-0}"
    echo x >>asked
    [ "$(wc -l <asked)" -gt "${away:-0}" ] && cat answer
fi
SH
command_is squeue <<'SH'
case $* in
    *--states=PENDING*) printf '%s' "${waiting:-}" ;;
    *--name=*) printf '%s' "${queued:-}" ;;
esac
SH
command_is find <<'SH'
eval "${found:-}"
exec /usr/bin/find "$@"
SH
command_is mv <<'SH'
eval "${noted:-}"
exec /usr/bin/mv "$@"
SH
for name in scancel sbatch; do
    command_is $name <<'SH'
echo "$(basename "$0") $*" >>calls
SH
done
command_is ompi_info </dev/null

# ---- a job ---------------------------------------------------------------------------------------

cp -r "$sources/jobs" "$folder/clone"
mkdir "$folder/clone/jobs"
mv "$folder/clone"/*.* "$folder/clone/jobs"
environment=$folder/clone/jobs/environment.sh
link=SLURM_JOB_NAME=palimpsest-chain-r-1
usual=("PATH=$bin:$PATH" "palimpsest=$bin/palimpsest" "PALIMPSEST_CLONE=$folder/clone"
    folder_patience=600 SLURM_JOB_ID=9 SLURM_JOB_NAME=palimpsest SLURM_JOB_NODELIST=n SLURM_NTASKS=1
    SLURM_JOB_END_TIME=1)
script=train.sbatch
arguments=(c.ini --run r)
stage=0

# plays WHAT PROGRAM [NAME=VALUE...]: a job of this program, with these in its environment, besides
# those of SLURM and of environment.sh:
#   before, asleep, refusal, first_question, question, noted, found   code while the script starts,
#                             waits for 10 s, asks for requeueing, asks about the job first and
#                             later, notes failures, looks for checkpoints
#   record                    what SLURM says of the job when the script begins
#   requeue=0                 of a job with --no-requeue
#   waiting, queued           the links of its chain that are pending, or in the queue at all
#   slow, away                seconds until SLURM says what it knows of the job, questions before
#                             it answers
plays() {
    stage=$((stage + 1))
    mkdir -p "$work/$stage/r/checkpoints"
    cd "$work/$stage" || exit 70
    printf '[train]\nupdates = 10\n[jobs]\nmax_failures = 2\n' | tee r/config.ini >c.ini
    plays_on "$@"
}

# plays_on WHAT PROGRAM [NAME=VALUE...]: the same for another start in the same folder.
plays_on() {
    what=$1
    local program=$2
    shift 2
    rm -f asked
    : >starts
    : >calls
    env "${usual[@]}" program="$program" "$@" bash -c 'source "$bin/words"; state RUNNING'
    status=0
    # shellcheck disable=SC2016
    env "${usual[@]}" program="$program" "$@" timeout 20 bash -c \
        'echo $$ >script; exec bash "$@"' - "$folder/clone/jobs/$script" "${arguments[@]}" \
        >log 2>&1 || status=$?
}

# ends STATUS VERDICT REQUEUED LINKS STARTS [WORDS OF stopped.txt...]: so the last job ended.
# VERDICT: all of them that its log has; REQUEUED: how often it asked for that; LINKS: `cancelled`
# or `kept`.
ends() {
    local wanted="status $1, $2, requeued $3, links $4, starts $5" found links=kept
    shift 5
    found=$(sed -nE 's/^== status ([0-9]+: [a-z]*)$/\1/p; s/^== (taken) away by SLURM; .*/\1/p;
        s/^(nothing) to do.*/\1/p' log | paste -sd ' ')
    ! grep -q '^scancel .*--state=PENDING --name=palimpsest-chain-r-1 ' calls || links=cancelled
    found="status $status, $found, requeued $(grep -c '^requeue 9$' calls), links $links"
    found="$found, starts $(wc -l <starts)"
    checks=$((checks + 1))
    [ "$found" = "$wanted" ] || {
        bad "$stage, $what: $found; wanted: $wanted"
        sed 's/^/    log: /' log
    }
    if [ $# -gt 0 ]; then
        file_says r/stopped.txt "$@"
    else
        check "$stage, $what: no stopped.txt" [ ! -e r/stopped.txt ]
    fi
}

# ---- how the program ends ------------------------------------------------------------------------

plays "all is well" 'saves 10'
ends 0 '0: done' 0 kept 1
plays "it stops as asked" 'saves 5; exit 75'
ends 75 '75: again' 1 kept 1
plays "it fails" 'exit 1'
ends 75 '1: again' 1 kept 1
plays_on "and again" 'says "palimpsest: no memory"; exit 70' SLURM_RESTART_COUNT=1
ends 1 '70: doomed' 0 kept 1 "job 9 (palimpsest): 2 starts in a row" "no memory"
plays "a job fails" 'exit 1' SLURM_JOB_ID=8
plays_on "another begins a new count, also in its second start" 'exit 1' SLURM_RESTART_COUNT=1
ends 75 '1: again' 1 kept 1
plays_on "a checkpoint that it has found is none of its own" 'saves 5; exit 75'
plays_on "a new job comes no further" 'exit 1'
ends 75 '1: again' 1 kept 1
plays_on "and again" 'exit 1' SLURM_RESTART_COUNT=1
ends 1 '1: doomed' 0 kept 1 "2 starts in a row without a checkpoint after update 5"
rm r/checkpoints/*
echo stale >r/stopped.txt
plays_on "what goes on has not stopped" 'saves 5; exit 75' SLURM_RESTART_COUNT=1
ends 75 '75: again' 1 kept 1
plays_on "a rewind leaves an older checkpoint" 'rm r/checkpoints/*; saves 4; exit 75' \
    SLURM_RESTART_COUNT=2
ends 75 '75: again' 1 kept 1
plays_on "none is a failure" 'exit 75' SLURM_RESTART_COUNT=3
ends 75 '75: again' 1 kept 1
plays_on "two are the end" 'exit 75' SLURM_RESTART_COUNT=4
ends 1 '75: doomed' 0 kept 1 "2 starts in a row without a checkpoint after update 4"
plays "the input is wrong" 'says "watchdog: slow"; says "watchdog: rank 3 is lost"
    says "srun: error"; exit 78'
ends 1 '78: doomed' 0 kept 1 "status 78: watchdog: rank 3 is lost"

plays "a link stops" 'saves 5; exit 75' $link waiting=12
ends 75 '75: again' 0 kept 1
plays "the last link stops" 'saves 5; exit 75' $link
ends 75 '75: again' 0 kept 1 "job 9: the chain has no link left" "update 5"
plays_on "a link that chain.sh has added" 'saves 6; exit 75' $link waiting=12
ends 75 '75: again' 0 kept 1
plays_on "it is doomed" 'exit 65' $link waiting=12
ends 1 '65: doomed' 0 cancelled 1 "(palimpsest-chain-r-1): status 65"
plays_on "its chain has stopped" 'exit 75' $link waiting=12
ends 1 nothing 0 kept 0 "status 65"
sed -i 's/-r-1)/-r-2)/' r/stopped.txt
plays_on "another chain has stopped" 'saves 7; exit 75' $link waiting=12
ends 75 '75: again' 0 kept 1
plays "a link finishes" 'saves 10' $link waiting=12
ends 0 '0: done' 0 cancelled 1
plays "a link is doomed" 'exit 65' $link waiting=12
ends 1 '65: doomed' 0 cancelled 1 "status 65"

# ---- the folder of another job -------------------------------------------------------------------

plays "the owner's count" 'exit 1'
cp r/failures.txt kept
plays_on "another job" 'exit 72' folder_patience=0
ends 72 '72: busy' 0 kept 1
check "the owner's count stays" cmp r/failures.txt kept

holds() { check "$stage, $what: r has $*" [ "$(cd r && echo *)" = "$*" ]; }

plays "its owner leaves" '[ "$(starts)" -gt 5 ] || exit 72; saves 5; exit 75'
ends 75 '75: again' 1 kept 6
plays "its owner saves meanwhile" '[ "$(starts)" -gt 1 ] || { saves 5; exit 72; }; exit 1'
ends 75 '1: again' 1 kept 2
file_says r/failures.txt "1 5 9"
plays "its owner stays" 'exit 72' folder_patience=0
ends 72 '72: busy' 0 kept 1
holds checkpoints config.ini
plays "its owner stays, for the last link" 'exit 72' folder_patience=1 $link
check "it tries until its time is up" [ "$(wc -l <starts)" -gt 1 ]
ends 72 '72: busy' 0 kept "$(wc -l <starts)"
holds checkpoints config.ini
plays "preemption while it waits" 'exit 72' asleep=term
ends 72 '72: busy' 1 kept 1
holds checkpoints config.ini
plays "preemption while it waits, and it cannot be requeued" 'exit 72' asleep=term requeue=0
ends 72 '72: busy' 0 kept 1
file_says log "it cannot be requeued"
plays "the time limit while it waits" 'exit 72' asleep=limit
ends 72 '72: busy' 0 kept 1
holds checkpoints config.ini
plays "the time limit while it tries again" '[ "$(starts)" = 2 ] || exit 72; limit; lasts 0.5; exit 72'
ends 72 '72: busy' 0 kept 2
holds checkpoints config.ini
plays "a cancelled job that waits" 'exit 72' asleep='state CANCELLED; term'
ends 75 taken 0 kept 1

# ---- launches ------------------------------------------------------------------------------------

fails='says "srun: error: task 0 launch failed: no node"; exit 1'
plays "three launches fail" "$fails"
ends 75 '1: again' 1 kept 3
plays "the third succeeds" "[ \$(starts) = 3 ] || { $fails; }; saves 5; exit 75"
ends 75 '75: again' 1 kept 3
plays "waiting for the folder is no failed launch" \
    "[ \$(starts) -gt 3 ] || exit 72; [ \$(starts) -gt 5 ] || { $fails; }; saves 5; exit 75"
ends 75 '75: again' 1 kept 6
deaths='[ $(starts) -gt 4 ]'
plays "each node that died may cost a launch" "$deaths || { $fails; }; saves 5; exit 75" \
    SLURM_RESTART_COUNT=2
ends 75 '75: again' 1 kept 5
plays "SIGTERM before anything" 'exit 1' first_question='[ -e once ] || { touch once; term; }'
ends 75 '75: again' 1 kept 0
plays "SIGTERM while it looks for checkpoints" 'exit 1' \
    found='echo x >>looks; [ "$(wc -l <looks)" != 2 ] || term'
ends 75 '75: again' 1 kept 0
plays "SIGTERM before the program" 'saves 5; exit 75' before=term
ends 75 '75: again' 1 kept 0
plays "cancelled before the program" 'exit 75' before='state CANCELLED; term'
ends 75 taken 0 kept 0
plays "SIGTERM while it is launched" "term; $fails"
ends 75 '1: again' 1 kept 1

# ---- SLURM takes the job -------------------------------------------------------------------------

plays "SIGTERM, and the program ends while the script asks what it means" \
    'term; lasts 0.1; saves 10' slow=0.4
ends 0 '0: done' 0 kept 1
plays "SIGTERM while the job runs on, as preemption with time to spare" 'term; saves 5; exit 75'
ends 75 '75: again' 1 kept 1
plays "SIGTERM three times" 'term; lasts 0.1; term; lasts 0.1; term; lasts 0.1; saves 5; exit 75'
ends 75 '75: again' 1 kept 1
plays "cancelled" 'state CANCELLED; term; saves 5; exit 75'
ends 75 taken 0 kept 1
plays "cancelled, and the signal does not come to the script" 'state CANCELLED; exit 75'
ends 75 taken 0 kept 1
for now in SUSPENDED STOPPED SIGNALING RESIZING; do # between two requests of somebody's
    plays "it stops while SLURM calls it $now" "state $now; saves 5; exit 75"
    ends 75 '75: again' 1 kept 1
done
plays "a link is cancelled" 'state CANCELLED; exit 75' $link waiting=12
ends 75 taken 0 kept 1
plays "the last link is cancelled" 'state CANCELLED; exit 75' $link
ends 75 taken 0 kept 1 "no link left"

plays "the time limit, and the program ends while the script asks what it means" \
    'limit; lasts 0.1; saves 10' slow=0.4
ends 0 '0: done' 0 kept 1
plays "the time limit before the program" '' palimpsest=none question='[ -e asked ] || limit'
ends 75 '66: again' 1 kept 0
plays "SIGTERM to all processes while it judges" 'saves 5; exit 75' noted=term_all
ends 75 '75: again' 1 kept 1
plays "and while it asks, being cancelled" 'state CANCELLED; exit 75' question='[ -e asked ] || term_all'
ends 75 taken 0 kept 1
plays "what the program says after it" 'term_all; says "palimpsest: no memory"; exit 70'
ends 75 '70: again' 1 kept 1
file_says log "palimpsest: no memory"
plays "the time limit when the program has just ended" 'saves 5; exit 75' \
    question='[ -e asked ] || limit'
ends 75 '75: again' 1 kept 1
plays "when it has come to its end" 'saves 10' question='[ -e asked ] || limit'
ends 0 '0: done' 0 kept 1

# The verdict does not wait for the program's end.
in_time='limit
    for _ in {1..50}; do ! grep -q "^== status 71" log || { says in time; break; }; lasts 0.1; done
    exit 75'
plays "the time limit" "$in_time"
ends 75 '71: again' 1 kept 1
file_says log "in time"
plays_on "the time limit, once more" "$in_time" SLURM_RESTART_COUNT=1
ends 1 '71: doomed' 0 kept 1 "status 71: the time limit came"
plays "the time limit of a job that may not be requeued" "$in_time" may_requeue=false
ends 75 '71: again' 0 kept 1 "cannot be requeued"
plays "the time limit of a job with --no-requeue" "$in_time" requeue=0
ends 75 '71: again' 0 kept 1 "cannot be requeued"
plays "the time limit of a link" "$in_time" $link waiting=12
ends 75 '71: again' 0 kept 1
plays "the time limit of the last link" "$in_time" $link
ends 75 '71: again' 0 kept 1 "no link left"
plays_on "the time limit that dooms a chain" "$in_time" $link waiting=12
ends 1 '71: doomed' 0 cancelled 1 "status 71: the time limit came"
plays "the time limit, not heard of" 'state TIMEOUT TimeLimit; saves 5; exit 75'
ends 75 '75: again' 1 kept 1

# ---- requeueing ----------------------------------------------------------------------------------

plays "it may not be requeued" 'saves 5; exit 75' may_requeue=false
ends 75 '75: again' 0 kept 1 "cannot be requeued" "update 5"
plays "--no-requeue" 'saves 5; exit 75' requeue=0
ends 75 '75: again' 0 kept 1 "cannot be requeued" "update 5"
plays "SLURM refuses" 'saves 5; exit 75' refusal='exit 1'
ends 75 '75: again' 3 kept 1 "cannot be requeued"
plays "SLURM refuses once" 'saves 5; exit 75' refusal='[ "$(wc -l <calls)" -gt 1 ] || exit 1'
ends 75 '75: again' 2 kept 1
plays "SLURM is away for a while" 'saves 5; exit 75' away=9
ends 75 '75: again' 1 kept 1
plays "SLURM is away" 'saves 5; exit 75' away=1000
ends 75 '75: again' 0 kept 1 "cannot be requeued"
plays "cancelled between two tries" 'saves 5; exit 75' refusal='state CANCELLED; exit 1'
ends 75 '75: again' 1 kept 1

# ---- a job that was submitted in another ---------------------------------------------------------

foreign=(SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=1 SLURM_RESTART_COUNT=3)
plays "variables of an array's task" 'exit 1' "${foreign[@]}" record='JobId=9 JobName=x Restarts=0 '
ends 75 '1: again' 1 kept 1
file_says log "== job 9, start 1 on"
plays "and SLURM answers later" 'saves 5; exit 75' "${foreign[@]}" record='JobId=9 Restarts=0 ' away=3
ends 75 '75: again' 1 kept 1
plays "its own" 'saves 5; exit 75' "${foreign[@]}" SLURM_ARRAY_JOB_ID=9 \
    record='JobId=9 ArrayJobId=9 ArrayTaskId=1 Restarts=2 '
check "the task is requeued" grep -qx 'requeue 9_1' calls
file_says log "start 3 on"

# ---- a job that cannot begin ---------------------------------------------------------------------

plays "no program" '' palimpsest=none
ends 75 '66: again' 1 kept 0
plays_on "still none" '' palimpsest=none SLURM_RESTART_COUNT=1
ends 1 '66: doomed' 0 kept 0 "2 starts in a row" "none: is not there"
plays "another plug-in" '' mpi_plugin=other
ends 75 '69: again' 1 kept 0
plays "another plug-in, in a chain" '' mpi_plugin=other $link waiting=12
ends 75 '69: again' 0 kept 0
plays "no place for temporary files" 'exit 75' TMPDIR=/nowhere
ends 75 '73: again' 1 kept 0
mv "$environment" "$folder/kept"
cat "$folder/kept" - <<<': "$variable_of_a_module"; false; : "$another"' >"$environment"
plays "an environment of careless modules" 'saves 5; exit 75'
ends 75 '75: again' 1 kept 1
check "chain.sh reads it too" "$folder/clone/jobs/chain.sh" --dry-run "$work/$stage/c.ini" >dry
check "and has its options again" [ "$(clone=$folder/clone bash -euc \
    'before=$-; source "$clone/jobs/site.sh"; [ $- != "$before" ] || echo same')" = same ]
cat "$folder/kept" - <<<'exit 0' >"$environment"
plays "an environment that ends the shell" 'exit 75'
ends 1 '78: doomed' 0 kept 0 "status 78" "ends the shell"
check "chain.sh sees it too" eval '! "$folder/clone/jobs/chain.sh" --dry-run "$work/$stage/c.ini" 2>dry'
: >"$environment"
plays "an environment that says nothing" 'saves 5; exit 75'
ends 75 '75: again' 1 kept 1
echo 'if' >"$environment"
plays "an environment that is no script" 'exit 75' $link waiting=12
ends 1 '78: doomed' 0 cancelled 0 "status 78" "environment.sh"
mv "$folder/kept" "$environment"

# ---- chains --------------------------------------------------------------------------------------

# chain ARGUMENTS...: chain.sh, which works in its clone, with the names of its links in `names`.
chain() {
    local calls=$folder/clone/calls
    : >"$calls"
    status=0
    env "${usual[@]}" queued="$queued" "$folder/clone/jobs/chain.sh" "$@" >log 2>&1 || status=$?
    grep -oE '\-\-job-name=[^ ]*' "$calls" | sort -u >names
    links=$(grep -c ^sbatch "$calls")
}

plays "a chain" 'saves 5; exit 1'
printf 'DATE  job 1 (x): old\n' >r/stopped.txt
queued=
chain --links=3 -- "$PWD/c.ini" --run "$PWD/r"
check "three links: status $status" [ "$status/$links" = 0/3 ]
check "of one name" [ "$(wc -l <names)" = 1 ]
check "what an earlier chain has left is gone" [ "$(cd r && echo *)" = "checkpoints config.ini" ]
name=$(sed 's/.*=//' names)
check "a name without a date: $name" [ "$name" = \
    "palimpsest-chain-r-$(realpath r | cksum | cut -d ' ' -f 1)" ]
chain "$PWD/c.ini" --run "$PWD/../$stage/r"
check "the same for the same folder" grep -qxF -- "--job-name=$name" names
chain "$PWD/c.ini" --run "$PWD/other/r"
check "another for another folder" [ "$(grep -vcxF -- "--job-name=$name" names)" = 1 ]

printf 'DATE  job 1 (x): old\n' >r/stopped.txt
touch r/failures.txt
queued=17
chain --links=3 -- "$PWD/c.ini" --run "$PWD/r"
check "links behind those of a chain: status $status" [ "$status/$links" = 0/3 ]
check "whose files stay" [ "$(cd r && echo *)" = "checkpoints config.ini failures.txt stopped.txt" ]
printf 'DATE  job 1 (%s): all is lost\n' "$name" >r/stopped.txt
chain --links=3 -- "$PWD/c.ini" --run "$PWD/r"
check "none behind a doomed one: status $status" [ "$status/$links" = 75/0 ]
for option in --links=0 --requeue --dep=afterok:3 --job-name=x --array=1-2; do
    chain $option -- "$PWD/c.ini" --run "$PWD/r"
    check "$option: status $status" [ "$status/$links" = 64/0 ]
    file_says log "chain: $option: "
done

# ---- sweeps --------------------------------------------------------------------------------------

script=sweep.sbatch
arguments=(c.ini s.txt)
printf '\357\273\277train.lr_peak=1\r\n\n# no training\ntrain.lr_peak=2' >"$work/s.txt"
table=$folder/clone/jobs/sweep-table.sh
check "two trainings" [ "$("$table" --count "$work/s.txt")" = 2 ]
check "without a byte order mark" [ "$("$table" --line 1 "$work/s.txt")" = train.lr_peak=1 ]
task=(SLURM_ARRAY_JOB_ID=9 SLURM_ARRAY_TASK_ID=2 "PALIMPSEST_CLONE=$folder/clone")
plays "no settings" 'exit 75' "${task[@]}"
check "they are missed: $status" [ "$status" = 66 ]
cp ../s.txt .
plays_on "the last line of the settings" 'exit 75' "${task[@]}"
file_says starts "train c.ini --run runs/s/2 --set=train.lr_peak=2"
check "the task alone is requeued" grep -qx 'requeue 9_2' calls
file_says runs/s/results.txt "train.lr_peak=2"
cp c.ini d.ini
arguments=(d.ini s.txt)
plays_on "the same line of another configuration" 'exit 75' "${task[@]}"
check "it is refused: $status" [ "$status" = 73 ]
file_says log "another training, c.ini: train.lr_peak=2"

# state_is WANTED: of the second line, in the table.
state_is() {
    "$table" s.txt runs/s >table
    check "the table says $1: $(cat table)" grep -qE "^ +2 .* $1 +train.lr_peak=2$" table
}

cd runs/s/2 && mkdir checkpoints && cp ../../../c.ini config.ini && cd ../../.. || exit 70
echo '{"kind": "train", "update": 10, "loss": 1}' >runs/s/2/metrics.jsonl
state_is "under way" # its last checkpoint is missing
echo old >runs/s/2/stopped.txt
state_is stopped
touch runs/s/2/checkpoints/step-00000010.h5
state_is finished
echo 'c.ini: train.lr_peak=3' >runs/s/2/settings.txt
state_is another
finish
