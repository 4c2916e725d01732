#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Wrong use, wrong configuration, wrong numbers of ranks: what the program says, with which status
# it ends, and that it leaves nothing behind and nobody waiting.
#
#   tests/test_wrong_configuration.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

wrong_use() {
    refused 64 "command is missing" --
    refused 64 "unknown command 'trane'" "palimpsest --help" -- trane x.ini
    refused 64 "train: unknown option '--rnu'" "--set" "--run" "--help" -- \
        train "$inputs/tiny.ini" --rnu r
    refused 64 "--run wants a value" -- train "$inputs/tiny.ini" --run
    refused 64 "--run is empty" "folder" -- train "$inputs/tiny.ini" --run ""
    refused 64 "train: too few arguments" "train CONFIG.ini" -- train
    on=2 refused 64 "'more.ini' is one argument too many" "train CONFIG.ini" -- \
        train "$inputs/tiny.ini" more.ini
    refused 64 "--json takes no value" -- evaluate "$inputs/run" --json=yes
    refused 64 "--tokens wants a whole number, not '1e3'" -- generate "$inputs/run" --tokens 1e3
    refused 64 "--tokens wants a whole number, not '99999999999999999999'" -- \
        generate "$inputs/run" --tokens 99999999999999999999
    refused 64 "--temperature wants a number, not 'warm'" -- \
        generate "$inputs/run" --temperature warm
    refused 64 "--rows" "1 to 65536" -- evaluate "$inputs/run" --rows 0
    refused 64 "'dev' is no split" "train, validation or test" -- \
        evaluate "$inputs/run" --split dev
    refused 64 "--updates" "1 to" -- bench "$inputs/tiny.ini" --updates 0
    refused 64 "--sweep" "0,512,1024" "many" -- bench "$inputs/tiny.ini" --sweep many
    on="1 2" refused 78 "--sweep: M + N = 18" "does not divide model.memory = 9" -- \
        bench "$inputs/tiny.ini" --updates 1 --sweep 0,16,18
    check "no size is timed before all are checked" [ ! -s "$folder/out" ]
}

# refused_text TEXT WORDS...: of a configuration.
refused_text() {
    # shellcheck disable=SC2059
    printf "$1" >"$inputs/wrong.ini"
    shift
    refused 78 "$@" -- train "$inputs/wrong.ini" --run r
}

wrong_keys() {
    sed 's/^window = 8/widnow = 8/' "$inputs/tiny.ini" >"$inputs/unknown.ini"
    local line
    line=$(grep -n widnow "$inputs/unknown.ini" | cut -d: -f1)
    on="1 3" refused 78 "unknown.ini:$line:" "unknown key model.widnow" \
        "did you mean model.window?" -- train "$inputs/unknown.ini" --run r
    refused 78 "--set" "unknown key train.lr_pek" "did you mean train.lr_peak?" -- \
        train "$inputs/tiny.ini" --run r --set train.lr_pek=1
    refused 78 "rows" "batch.rows" -- train "$inputs/tiny.ini" --run r --set rows=4
    refused_text '[modle]\nlayers = 2\n' "unknown section [modle]" "model, data, batch"
    refused_text 'layers = 2\n' ":1:" "outside a section" "[model]"
    refused_text '[model]\nlayers\n' ":2:" "key = value"
    refused_text '[model]\nlayers = 2\n' "data.path is missing" "palimpsest prepare"
    refused_text '[data]\npath = d.h5\n[batch] rows=3\n' ":3:" "'rows=3' follows [batch]"
    mkfifo "$inputs/pipe.ini"
    refused 78 "pipe.ini" "is a pipe" "INI file" -- train "$inputs/pipe.ini" --run r

    { cat "$inputs/tiny.ini"; printf '\n[model]\nheads = 4\n'; } >"$inputs/repeated.ini"
    local first last
    first=$(grep -n heads "$inputs/repeated.ini" | head -n 1 | cut -d: -f1)
    last=$(grep -n heads "$inputs/repeated.ini" | tail -n 1 | cut -d: -f1)
    on="1 2" refused 78 "repeated.ini:$last:" "model.heads" "first in line $first" "remove one" -- \
        train "$inputs/repeated.ini" --run r
}

# refused_value KEY=VALUE WORDS...
refused_value() {
    local assignment=$1
    shift
    refused 78 "$@" -- train "$inputs/tiny.ini" --run r --set "$assignment"
}

wrong_values() {
    refused_value model.layers=0 "model.layers = 0" "whole number in [1, 256]"
    refused_value model.layers=257 "model.layers = 257" "whole number in [1, 256]"
    refused_value model.layers=2.5 "model.layers = 2.5" "whole number"
    refused_value model.dropout=1 "model.dropout = 1" "number in [0, 1)"
    refused_value train.lr_peak=fast "train.lr_peak = fast" "a number"
    refused_value train.clip=nan "train.clip = nan" "a number"
    refused_value model.compression=zip "model.compression = zip" "conv" "most_used"
    refused_value model.tie_embeddings=maybe "model.tie_embeddings = maybe" "true or false"
    refused_value checkpoint.keep=1 "checkpoint.keep = 1" "[2,"
    refused_value model.memory=8,8,8 "model.memory" "3 entries" "1, or 2"

    on="1 2" refused_value model.compression_rate=3 "model.compression_rate = 3" \
        "does not divide model.window = 8" "e.g. 9"
    refused_value model.memory=10 "model.compression_rate = 4" \
        "does not divide model.memory = 10" "e.g. 12"
    refused_value model.memory=8,6 "does not divide model.memory = 6" "of layer 1"
    refused_value model.heads=3 "model.heads = 3" "does not divide model.width = 8"
    refused_value model.width=9 "model.width = 9 is odd"
    refused_value model.compression=mean "mean" "compression_loss = none"
    refused_value model.compression_loss=task "train.update_every = 1" "model.bptt_windows = 1"
    refused_value model.adaptive_cutoffs=50,20 "20 follows 50" "rising order"
    refused_value model.adaptive_cutoffs=0,20 "0 follows 0" "one 0 for a softmax without"
    refused_value model.adaptive_cutoffs=50,100 "model.width = 8" "by 16 = " "adaptive_divisor^2" \
        "cluster 2" "fewer cut-offs"
    on="1 2" refused_value model.adaptive_cutoffs=257 "257 is no token of a vocabulary of 257" \
        "expected 256 at most"
    refused_value model.adaptive_divisor=0 "model.adaptive_divisor = 0" "whole number in [1,"
    refused_value train.type=float16 "train.type = float16" "float32|bfloat16"

    # What the checkpoint cannot be read into.
    refused 78 "does not divide model.window = 6" -- evaluate "$inputs/run" --set model.window=6
    on=2 refused 65 "/weights/" "shape (" "the model wants (" -- \
        evaluate "$inputs/run" --set model.feed_forward=24
}

wrong_ranks() {
    on=2 refused 64 "started on 2 ranks" "without mpirun" -- generate "$inputs/run" --tokens 3
}

prepare_inputs
wrong_use
wrong_keys
wrong_values
wrong_ranks
finish
