#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A rank that dies, or a person who has had enough: the whole job ends at once, with a status that
# says so, and no process stays behind.
#
#   tests/test_killed_rank.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

patience=10 # seconds

# start RANKS FOLDER: a training that would take hours; returns when it makes updates.
start() {
    "${launcher[@]}" -n "$1" "$palimpsest" train "$inputs/tiny.ini" --run "$2" \
        --set batch.rows=4 --set train.updates=100000000 --set train.log_every=1000000 \
        >"$folder/out" 2>"$folder/err" </dev/null &
    job=$!
    local waited=0
    until [ -s "$2/metrics.jsonl" ] || [ $waited = 300 ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    check "training on $1 ranks begins" [ -s "$2/metrics.jsonl" ]
    # The program's own processes below mpirun, in the order of their ranks.
    mapfile -t ranks < <(pgrep -P "$job" | sort -n)
    check "there are $1 ranks" [ ${#ranks[@]} = "$1" ]
}

alive() {
    local process
    for process in "$@"; do
        # A zombie waits for its parent alone.
        [ -e "/proc/$process/stat" ] && ! grep -q '^State:.Z' "/proc/$process/status" && return 0
    done
    return 1
}

# ends WHAT: within the time, with a status that is not 0, and with all ranks.
ends() {
    local limit=$((SECONDS + patience))
    while alive "$job" "${ranks[@]}" && [ $SECONDS -lt $limit ]; do
        sleep 0.1
    done
    checks=$((checks + 1))
    if alive "$job" "${ranks[@]}"; then
        bad "$1: still running after $patience s"
        kill -KILL "$job" "${ranks[@]}" 2>/dev/null
    fi
    status=0
    wait "$job" 2>/dev/null || status=$?
    check "$1: ended with status 0" [ "$status" != 0 ]
}

whole_lines() { ! head -n -1 "$1" | grep -qv '^{.*}$'; }

write_text "$inputs/text"
must 1 prepare "$inputs/text" -o "$inputs/data.h5"
write_config "$inputs/tiny.ini" "$inputs/data.h5"

start 3 killed
kill -KILL "${ranks[1]}"
ends "one of three ranks killed"
check "metrics are whole lines" whole_lines killed/metrics.jsonl

start 2 first
kill -KILL "${ranks[0]}"
ends "rank 0 of two killed"

start 2 interrupted
kill -INT "$job"
ends "interrupted (Ctrl-C)"

start 2 terminated
kill -TERM "$job"
ends "terminated"
finish
