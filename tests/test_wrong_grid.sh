#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Process grids that cannot be: one message that lists those that can, status 78, and nobody waits.
#
#   tests/test_wrong_grid.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

# refused_grid RANKS KEY=VALUE... -- WORDS...
refused_grid() {
    local ranks=$1 sets=()
    shift
    while [ "$1" != -- ]; do
        sets+=(--set "$1")
        shift
    done
    shift
    on=$ranks refused 78 "parallel" "$@" -- train "$inputs/tiny.ini" --run r "${sets[@]}"
    check "ranks stay behind: $*" nobody_left
}

nobody_left() { ! pgrep -f "$inputs/tiny.ini" >/dev/null; }

# Two layers, two rows, two heads, windows of two groups.
wrong_products() {
    refused_grid 1 parallel.tensor=2 -- "tensor 2 does not fit 1 rank" "can be 1 x 1 x 1"
    refused_grid 4 parallel.data=2 parallel.pipeline=1 parallel.tensor=1 -- \
        "data 2 x pipeline 1 x tensor 1 does not fit 4 ranks" \
        "can be 2 x 1 x 2, 2 x 2 x 1, 1 x 2 x 2"
    refused_grid 2 parallel.data=2 parallel.pipeline=2 parallel.tensor=2 -- \
        "does not fit 2 ranks" "can be 2 x 1 x 1, 1 x 1 x 2, 1 x 2 x 1"
    refused_grid 4 parallel.pipeline=3 -- "pipeline 3" "2 x 2 x 1"
    refused_grid 3 -- "auto" "does not fit 3 ranks" "no grid has as many ranks" "start fewer"
}

beyond_limits() {
    refused_grid 3 parallel.data=3 -- "rows = 2 (data at most)" "start fewer"
    refused_grid 3 parallel.pipeline=3 model.heads=1 batch.rows=3 -- \
        "layers = 2 (pipeline at most)" "can be 3 x 1 x 1"
    refused_grid 4 parallel.tensor=4 -- "heads = 2" "tensor divides them" "1 x 2 x 2"
    # Heads allow it, the others do not.
    refused_grid 3 parallel.tensor=3 model.width=12 model.heads=3 model.feed_forward=15 \
        model.layers=3 -- "window / compression_rate = 2" "can be 1 x 3 x 1"
    refused_grid 2 parallel.tensor=2 model.feed_forward=15 -- "feed_forward = 15" \
        "can be 2 x 1 x 1, 1 x 2 x 1"
    refused_grid 2 parallel.tensor=2 model.heads=1 -- "heads = 1" "can be 2 x 1 x 1, 1 x 2 x 1"
}

micro_batches() {
    refused_grid 2 parallel.pipeline=2 parallel.row_groups=3 -- "row_groups = 3" "1 to 2" \
        "batch.rows = 2" "auto"
    refused_grid 2 parallel.data=2 parallel.row_groups=2 -- "row_groups = 2" "1 to 1"
    refused_grid 2 parallel.pipeline=2 parallel.row_groups=20000 batch.rows=20000 \
        train.update_every=2000 -- "20000 row groups x train.update_every = 2000" "at most"
    must 2 train "$inputs/tiny.ini" --run by-hand --set parallel.layers_per_stage=1,1
    check "the list of layers gives the stages" grep -q 'pipeline 2' "$folder/out"
    rm -rf by-hand
}

# A checkpoint is as choosy as the configuration that it came from.
evaluation() {
    on=2 refused 78 "tensor 4 does not fit 2 ranks" "1 x 2 x 1" -- \
        evaluate "$inputs/run" --set parallel.tensor=4
    on=3 refused 78 "pipeline 3" "layers = 2 (pipeline at most)" "can be 3 x 1 x 1" -- \
        evaluate "$inputs/run" --set parallel.pipeline=3
    on=2 refused 78 "parallel" "can be 2 x 1 x 1" -- \
        bench "$inputs/tiny.ini" --set parallel.data=3
}

prepare_inputs
wrong_products
micro_batches
beyond_limits
evaluation
finish
