#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A model that one rank has no memory for, trained by four: under a limit on the address space of
# every process, one rank says how many bytes are missing for what, and 1 x 2 x 2 ranks train.
#
#   tests/test_memory_limit.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

some_text 40000 >"$inputs/long.txt"
must 1 prepare "$inputs/long.txt" -o "$inputs/data.h5"
cat >"$inputs/large.ini" <<'INI'
[model]
layers = 8
width = 256
heads = 4
feed_forward = 1024
window = 256
memory = 2048
compressed_memory = 1024
compression_rate = 4
compression = conv
compression_loss = attention
[data]
path = data.h5
[batch]
rows = 4
[train]
updates = 1
evaluate_every = 0
log_every = 1
[parallel]
threads = 1
INI
sed -i "s|data.h5|$inputs/data.h5|" "$inputs/large.ini"

# What the program and its libraries take without any model, in KiB.
program_takes() {
    "$palimpsest" prepare "$inputs/long.txt" -o "$inputs/other.h5" >"$folder/out" 2>&1 &
    local peak=0 now
    while kill -0 $! 2>/dev/null; do
        now=$(awk '/VmPeak/ { print $2 }' "/proc/$!/status" 2>/dev/null)
        [ "${now:-0}" -gt "$peak" ] && peak=$now
    done
    echo "$peak"
}

base=$(program_takes)
# The model takes 640 MiB on one rank, some 200 on each of four.
limit=$((base + 500 * 1024))
limited() { (ulimit -v "$limit" && "$@") >"$folder/out" 2>"$folder/err"; }

limited "$palimpsest" train "$inputs/large.ini" --run one
check "one rank has too little memory: status 69" [ $? = 69 ]
check "the missing bytes are named" \
    grep -Eq 'out of memory .*: [0-9]+ bytes are missing for .*needs 0\.[0-9]+ GiB' "$folder/err"
check "what to try is named" grep -q 'parallel.tensor' "$folder/err"

# Whatever was asked for first, the message knows what the run needs: as much as one that fits takes.
needs() { grep -o 'needs [0-9.]* GiB' "$folder/err" | grep -o '[0-9.]*[0-9]'; }
first=$(needs)
limit=$((base + 100 * 1024))
limited "$palimpsest" train "$inputs/large.ini" --run one
check "with less memory it needs the same" [ "$(needs)" = "$first" ]
run 1 train "$inputs/large.ini" --run unlimited
check "and as much is taken when it is there" awk -v needs="$first" '
    /^memory per rank/ { taken = $4 / 1024 }
    END { exit !(needs > 0.99 * taken && needs < 1.01 * taken) }' "$folder/out"
limit=$((base + 500 * 1024))

limited "${launcher[@]}" -n 4 "$palimpsest" train "$inputs/large.ini" --run four \
    --set parallel.tensor=2 --set parallel.pipeline=2
check "four ranks train it" [ $? = 0 ]
check "and save it" [ -s four/checkpoints/step-00000001.h5 ]
finish
