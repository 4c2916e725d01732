#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Under a real SLURM of two nodes (slurm_cluster.sh): ranks started by srun on both prepare a text
# and train together; asked to stop by SLURM's signal they end with status 75, and go on to the
# losses of a training that was never stopped. Skipped, by name, where there is no SLURM or no right
# to make network namespaces.
#
#   tests/test_slurm.sh build/palimpsest
source "$(dirname "$0")/support.sh"
source "$sources/tests/slurm_cluster.sh"

cluster_begin "the tests under SLURM"

# on_nodes ARGUMENTS...: the program with a rank on each node, in the background; sets $job.
on_nodes() {
    srun --mpi=pmix --kill-on-bad-exit=1 --job-name=palimpsest --nodes=2 --ntasks=2 \
        "$palimpsest" "$@" >"$folder/out" 2>"$folder/err" </dev/null &
    job=$!
}

srun_ended() {
    status=0
    wait "$job" || status=$?
    checks=$((checks + 1))
    [ "$status" = "$1" ] || bad "status $status instead of $1 under srun"
}

has_updates() { [ -s "$1/metrics.jsonl" ]; }

write_text "$inputs/text"
must 1 prepare "$inputs/text" -o "$inputs/data.h5"
write_config "$inputs/tiny.ini" "$inputs/data.h5" train.updates=400 train.decay=1000 \
    train.log_every=400 model.dropout=0.1

on_nodes train "$inputs/tiny.ini" --run straight
srun_ended 0
check "the grid has two ranks" grep -q '^grid: 2 ranks = data 2' "$folder/out"

on_nodes prepare "$inputs/text" -o "$inputs/shared.h5"
srun_ended 0
on_nodes train "$inputs/tiny.ini" --run shared --set "data.path=$inputs/shared.h5"
srun_ended 0
check "the text is the same when both nodes prepare it" diff <(losses straight) <(losses shared)

for signal in USR1 TERM; do
    on_nodes train "$inputs/tiny.ini" --run "$signal"
    check "training begins" cluster_wait 30 has_updates "$signal"
    scancel --name=palimpsest --signal="$signal"
    srun_ended 75
    check "it says why" grep -q "with a checkpoint: SIG$signal" "$folder/out"
    on_nodes train "$inputs/tiny.ini" --run "$signal"
    srun_ended 0
    check "it went on" grep -q '^resumed from' "$folder/out"
    check "the losses are those without a stop, SIG$signal" \
        diff <(losses straight) <(losses "$signal")
done

finish
