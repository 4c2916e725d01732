#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Threads and cores of a node's ranks: what the log says, and where the system says that the ranks
# and their threads may run.
#
#   tests/test_cores.sh build/palimpsest
source "$(dirname "$0")/support.sh"

launcher=(mpirun --allow-run-as-root --oversubscribe)

# start RANKS BINDING [SETTINGS...]: a training of many hours under mpirun --bind-to BINDING, until
# it makes updates. Then $ranks are its processes.
start() {
    rm -rf run
    "${launcher[@]}" --bind-to "$2" -n "$1" "$palimpsest" train "$inputs/tiny.ini" --run run \
        --set batch.rows="$1" --set train.updates=100000000 --set train.log_every=1000000 \
        --set parallel.threads=auto "${@:3}" >"$folder/out" 2>"$folder/err" </dev/null &
    job=$!
    for ((waited = 0; waited < 300; waited++)); do
        [ -s run/metrics.jsonl ] && break
        sleep 0.1
    done
    check "training on $1 ranks bound to $2 begins" [ -s run/metrics.jsonl ]
    mapfile -t ranks < <(pgrep -P "$job" | sort -n)
    check "there are $1 ranks" [ ${#ranks[@]} = "$1" ]
}

stop() {
    kill -TERM "$job" 2>/dev/null
    wait "$job" 2>/dev/null
}

# says WORDS...: in the line about the device, or in a warning.
says() { grep -qF -- "$*" "$folder/out" "$folder/err"; }
says_not() { ! says "$@"; }

# allowed RANK: the processing units that its main thread may use, as 0,2-3.
allowed() { taskset -cp "${ranks[$1]}" | sed 's/.*: //'; }

every_rank_has_the_same_cores() {
    local rank first
    first=$(allowed 0)
    for ((rank = 1; rank < ${#ranks[@]}; rank++)); do
        [ "$(allowed $rank)" = "$first" ] || return 1
    done
}

no_two_ranks_share_a_core() {
    local rank
    for ((rank = 0; rank < ${#ranks[@]}; rank++)); do
        allowed $rank
    done | tr ',' '\n' | awk -F- '
        { for (i = $1; i <= ($2 == "" ? $1 : $2); i++) if (taken[i]++) shared = 1 }
        END { exit shared }'
}

write_text "$inputs/text"
must 1 prepare "$inputs/text" -o "$inputs/data.h5"
write_config "$inputs/tiny.ini" "$inputs/data.h5"

# A core may be several processing units, which nproc counts.
must 1 train "$inputs/tiny.ini" --run alone --set parallel.threads=auto
check "a lone rank has nothing to say about binding" says_not "launcher"
cores=$(sed -n 's/^device: .* 1 rank x \([0-9]*\) thread.*/\1/p' "$folder/out")
check "a lone rank has 1 to $(env -u OMP_NUM_THREADS nproc) threads" \
    [ "${cores:-0}" -ge 1 -a "$cores" -le "$(env -u OMP_NUM_THREADS nproc)" ]
if [ "$cores" = 1 ]; then
    skip "one core cannot be shared between ranks"
    finish
    exit
fi

start 2 none
check "unbound ranks get cores of their own" no_two_ranks_share_a_core
check "the log says so" says "x $((cores / 2)) thread"
check "the log says so" says "each rank on its own cores"
stop

start 2 none --set parallel.bind=false
check "parallel.bind = false leaves ranks where they are" every_rank_has_the_same_cores
check "the log says so" says "where the launcher put them"
stop

start 2 core
check "mpirun's own binding stays" no_two_ranks_share_a_core
check "the log says so" says "2 ranks x 1 thread, bound by the launcher"
stop

start $((cores + 1)) none
check "more ranks than cores are not bound" every_rank_has_the_same_cores
check "and warned about" says "warning: $((cores + 1)) x 1 threads"
stop

start 2 none --set parallel.threads=$((cores + 1))
check "more threads than cores are not bound" every_rank_has_the_same_cores
check "and warned about" says "warning: 2 x $((cores + 1)) threads"
stop

export OMP_PROC_BIND=true
start 2 none
check "OMP_PROC_BIND is left alone, with a warning" says "OMP_PROC_BIND is set"
check "the log says so" says "where the launcher put them"
stop
export OMP_PLACES=cores
must 1 train "$inputs/tiny.ini" --run pinned --set parallel.threads=auto
check "a lone rank that OpenMP has pinned has all its cores" says "1 rank x $cores thread"
check "and no warning" says_not "warning"
start 2 core
check "what mpirun has bound and OpenMP pinned keeps its cores" no_two_ranks_share_a_core
check "without a warning" says_not "warning"
check "the log says so" says "2 ranks x 1 thread, bound by the launcher"
stop
unset OMP_PROC_BIND OMP_PLACES

finish
