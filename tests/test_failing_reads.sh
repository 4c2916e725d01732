#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A disk that gives an error while a run reads its newest checkpoint, at one read after another: the
# start ends and says so, nothing is taken for damaged, and the next start goes on.
#
#   tests/test_failing_reads.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

# Beside the program's own tests; absent where the sanitizers want to be loaded first.
shim=$(dirname "$palimpsest")/tests/libfailing_reads.so
if [ ! -f "$shim" ]; then
    skip "reads that fail; $shim is not built"
    exit 77
fi

prepare_inputs
must 1 train "$inputs/tiny.ini" --run r --set train.updates=6 --set checkpoint.every=2
newest=r/checkpoints/step-00000006.h5
cp "$newest" good.h5
real=$palimpsest
palimpsest=$work/shimmed
cat >"$palimpsest" <<SCRIPT
#!/bin/sh
LD_PRELOAD=$shim exec "$real" "\$@"
SCRIPT
chmod +x "$palimpsest"
export FAILING_FILE=step-00000006.h5
words=("step-00000006.h5" "Input/output error")

# fails_at READ RANKS WHO: false when there is no such read any more.
fails_at() {
    export FAILING_READ=$1
    run "$2" train "$inputs/tiny.ini" --run r --set train.updates=6
    [ "$status" != 0 ] || return 1
    ended 74 "$2 ranks" "train, read $1 fails on $3"
    checks=$((checks + 1))
    cmp -s "$newest" good.h5 || bad "read $1 on $3 of $2 ranks: the checkpoint is another one"
    [ "$(ls r/checkpoints)" = "$(printf '%s\n' latest step-00000004.h5 step-00000006.h5)" ] ||
        bad "read $1 on $3 of $2 ranks: other files"
}

# all_reads RANKS STEP WHO: the first ones, in which HDF5 finds its way, then one in so many.
all_reads() {
    local read=0
    while fails_at $read "$1" "$3"; do
        read=$((read < 6 ? read + 1 : read + $2))
    done
    check "there are such reads: $read" [ $read -gt 20 ]
}

all_reads 1 61 "all"
all_reads 2 97 "all"
for rank in 0 1; do
    export FAILING_RANK=$rank
    all_reads 2 197 "rank $rank"
done
unset FAILING_RANK FAILING_READ
must 2 train "$inputs/tiny.ini" --run r --set train.updates=8
check "it goes on when it can" [ -f r/checkpoints/step-00000008.h5 ]
finish
