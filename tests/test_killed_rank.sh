#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A rank that dies, a person who has had enough, or data that only some ranks cannot read: the whole
# job ends at once, with a status that says so, and no process stays behind.
#
#   tests/test_killed_rank.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"
share_memory_apart

patience=10 # seconds

# start RANKS FOLDER [ARGUMENTS...]: a training of many hours; returns when it makes updates.
start() {
    "${launcher[@]}" -n "$1" "$palimpsest" train "$inputs/tiny.ini" --run "$2" \
        --set batch.rows=4 --set train.updates=100000000 --set train.log_every=1000000 "${@:3}" \
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
must 1 train "$inputs/tiny.ini" --run "$inputs/run"

start 3 killed
kill -KILL "${ranks[1]}"
ends "one of three ranks killed"
check "metrics are whole lines" whole_lines killed/metrics.jsonl

# The second stage's first half of the layers' heads; the first stage waits for its gradients.
start 4 grid --set parallel.pipeline=2 --set parallel.tensor=2
kill -KILL "${ranks[2]}"
ends "one rank of the grid 1.2.2 killed"
check "mpirun says so" grep -q 'signal 9' "$folder/err"
check "metrics of the grid are whole lines" whole_lines grid/metrics.jsonl

start 2 first
kill -KILL "${ranks[0]}"
ends "rank 0 of two killed"

start 2 interrupted
kill -INT "$job"
ends "interrupted (Ctrl-C)"

start 2 terminated
kill -TERM "$job"
ends "terminated"

# ---- data that only some ranks cannot read -------------------------------------------------------

# spoil FILE SPLIT TOKEN: writes a token beyond the vocabulary.
spoil() {
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import h5py' 2>/dev/null && break
        python=
    done
    [ -n "$python" ] || return 1
    "$python" -c 'import h5py, sys
with h5py.File(sys.argv[1], "r+") as file:
    file[sys.argv[2]]["tokens"][int(sys.argv[3])] = 300' "$@"
}

# Two lanes of 90000 tokens. What ranks compare when they open the file is far from the spoilt token,
# which the row in the second lane meets, and with it one replica of two.
some_text 200000 >"$inputs/long.txt"
must 1 prepare "$inputs/long.txt" -o "$inputs/lanes.h5"
# In a short file all ranks meet it at once.
cp "$inputs/data.h5" "$inputs/bad.h5"

if spoil "$inputs/lanes.h5" train 100000 && spoil "$inputs/bad.h5" test 0; then
    for grid in 2.2.1 2.1.2; do
        IFS=. read -r data pipeline tensor <<<"$grid"
        run 4 train "$inputs/tiny.ini" --run "bad.$grid" --set data.path="$inputs/lanes.h5" \
            --set parallel.data="$data" --set parallel.pipeline="$pipeline" \
            --set parallel.tensor="$tensor"
        check "bad token on $grid: status $status" [ "$status" = 65 ]
        check "bad token on $grid: message" \
            has_one_message lanes.h5 "/train/tokens[100000] is 300" "vocabulary has 257" prepare
        check "bad token on $grid: training had begun" [ -e "bad.$grid/metrics.jsonl" ]
    done
    for size in pipeline tensor; do
        on=4 refused 65 "/test/tokens[0] is 300" -- \
            evaluate "$inputs/run" --data "$inputs/bad.h5" --set parallel.$size=2
    done
else
    skip "a bad token: no Python with h5py to write one"
fi
finish
