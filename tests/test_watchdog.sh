#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs that make no progress: the watchdog of every rank ends them within the limits of their
# configuration, with a report of each rank and a line that names the one that keeps the others
# waiting; a run that was stopped as a whole goes on. A rank that is slow is named.
#
#   tests/test_watchdog.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"
share_memory_apart

prepare_inputs
long=(train.updates=100000 train.log_every=100000 watchdog.step=3 watchdog.save=3
    watchdog.evaluation=3)

lines_of() {
    cat "$1" 2>/dev/null | wc -l
}

# start RANKS RUN KEY=VALUE...: a training in the background, up to its tenth update.
start() {
    local ranks=$1 run=$2
    shift 2
    write_config "$run.ini" "$inputs/data.h5" "${long[@]}" "$@"
    "${launcher[@]}" -n "$ranks" "$palimpsest" train "$run.ini" --run "$run" \
        >"$folder/out" 2>"$folder/err" </dev/null &
    job=$!
    local waited=0
    until [ "$(lines_of "$run/metrics.jsonl")" -ge 10 ] || [ $waited = 600 ]; do
        waited=$((waited + 1))
        sleep 0.05
    done
}

# rank_process RANK: of the job.
rank_process() {
    local process
    for process in $(pgrep -P "$job"); do
        if tr '\0' '\n' <"/proc/$process/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then
            echo "$process"
        fi
    done
}

# A zombie waits for its parent alone.
is_gone() {
    [ ! -e "/proc/$1/stat" ] || grep -q '^State:.Z' "/proc/$1/status"
}

# ends STATUS SECONDS: the job ends so, and soon enough.
ends() {
    local expected=$1 most=$2 waited=0 processes
    processes=$(pgrep -P "$job")
    while kill -0 "$job" 2>/dev/null && [ $waited -lt $((most * 10)) ]; do
        waited=$((waited + 1))
        sleep 0.1
    done
    check "it has ended after $most s" [ $waited -lt $((most * 10)) ]
    if [ $waited -ge $((most * 10)) ]; then
        # shellcheck disable=SC2086
        kill -CONT $processes
        # shellcheck disable=SC2086
        kill -KILL "$job" $processes
    fi
    status=0
    wait "$job" || status=$?
    checks=$((checks + 1))
    [ "$status" = "$expected" ] || bad "status $status instead of $expected"
    local process
    for process in $processes; do
        check "process $process has ended" is_gone "$process"
    done
}

host=$(hostname | cut -c 1-63)

# One rank is stopped: the others report, and name it.
start 3 stopped parallel.data=3 batch.rows=3
kill -STOP "$(rank_process 1)"
ends 71 30
file_says stopped/log.txt "2 of 3 ranks report; not rank 1 on $host: stopped, dead, or cut off"
file_says stopped/watchdog/rank-0.txt "rank 0 on $host: no progress for" "in step (limit 3 s)" \
    "waiting for others in group_" "calls of the main thread" "MPI_"
if command -v addr2line >/dev/null; then
    file_says stopped/watchdog/rank-0.txt "of this program:" command_train
fi
check "the stopped rank does not report" [ ! -e stopped/watchdog/rank-1.txt ]

# The root is stopped: another rank writes into the log. In a pipeline, whose ranks wait in turn.
start 2 root parallel.pipeline=2
kill -STOP "$(rank_process 0)"
ends 71 30
file_says root/log.txt "1 of 2 ranks report; not rank 0 on $host"

# Such a run goes on from its checkpoint like any other, and its reports are gone.
must 2 train root.ini --run root --set train.updates=1
check "no report of an earlier start" [ -z "$(ls -A root/watchdog)" ]

# A command without a run folder says it on the terminal.
yes 'words of a long text' | head -c 300000000 >text
"${launcher[@]}" -n 3 "$palimpsest" prepare text -o text.h5 --watchdog 2 \
    >"$folder/out" 2>"$folder/err" </dev/null &
job=$!
waited=0
until compgen -G 'text.h5.*' >/dev/null || [ $waited = 2000 ]; do
    waited=$((waited + 1))
    sleep 0.01
done
kill -STOP "$(rank_process 1)"
ends 71 30
file_says "$folder/err" "watchdog: rank 0 on $host: no progress for" "watchdog: rank 2 on $host" \
    "watchdog: of 3 ranks, those that are not named above are stopped, dead, or cut off"
check "the stopped rank is not named" [ "$(grep -c 'watchdog: rank 1' "$folder/err")" = 0 ]
rm -f text text.h5*

# All are stopped, as by a batch system that suspends jobs, and continued: nothing happens.
start 3 suspended parallel.data=3 batch.rows=3
mapfile -t processes < <(pgrep -P "$job")
kill -STOP "${processes[@]}"
sleep 8
before=$(lines_of suspended/metrics.jsonl)
kill -CONT "${processes[@]}"
sleep 6
check "it goes on" [ "$(lines_of suspended/metrics.jsonl)" -gt "$before" ]
check "no report" [ ! -e suspended/watchdog ]
kill -TERM "${processes[@]}"
ends 75 30

# One rank is stopped again and again, each time for longer than the others compute between two
# looks: when that comes while it computes, and not while it waits, it is named; and when it no
# longer is slow, that too.
start 3 slow parallel.data=3 batch.rows=3 train.log_every=20 jobs.straggler_seconds=0.5 \
    jobs.straggler_factor=3
slow=$(rank_process 2)
for _ in $(seq 60); do
    kill -STOP "$slow"
    sleep 1.5
    kill -CONT "$slow"
    sleep 0.2
    ! grep -q "is slow" slow/log.txt || break
done
file_says slow/log.txt "rank 2 on $host is slow: it computed "
check "no other rank is" [ "$(grep -c 'is slow' slow/log.txt)" = 1 ]
waited=0
until grep -q "rank 2 on $host is as fast as the others again" slow/log.txt || [ $waited = 100 ]; do
    waited=$((waited + 1))
    sleep 0.1
done
check "it is fast again" [ $waited -lt 100 ]
mapfile -t processes < <(pgrep -P "$job")
kill -USR1 "${processes[@]}"
ends 75 30
finish
