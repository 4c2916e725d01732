#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Wrong files: what the program says, with which status it ends, and that it leaves nothing behind
# and nobody waiting.
#
#   tests/test_wrong_input.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

wrong_places() {
    on="1 2" refused 66 "missing.ini" "No such file" -- train missing.ini --run r
    refused 66 "$inputs" "directory" -- train "$inputs" --run r
    refused 78 "data.h5:" "zero byte" -- train "$inputs/data.h5" --run r
    on="1 2" refused 66 "nowhere/data.h5" "No such file" -- \
        train "$inputs/tiny.ini" --run r --set data.path=nowhere/data.h5
    on="1 2" refused 66 "no-run" "no such checkpoint or run folder" -- evaluate no-run
    refused 66 "$inputs/text" "no checkpoint" "latest" -- evaluate "$inputs/text"
    on=2 refused 66 "gone.h5" "No such file" -- evaluate "$inputs/run" --data gone.h5
    refused 66 "gone.h5" "No such file" -- inspect gone.h5
    refused 66 "no-text" "No such file" -- prepare no-text -o d.h5
    refused 66 "gone.txt" "No such file" -- generate "$inputs/run" --prompt-file gone.txt

    # A folder cannot be made below a file, whoever asks.
    on=2 refused 73 "tiny.ini" "cannot be made" "choose a place" -- \
        train "$inputs/tiny.ini" --run "$inputs/tiny.ini/run"
    refused 73 "tiny.ini" "cannot be made" "file of this name" -- \
        train "$inputs/tiny.ini" --run "$inputs/tiny.ini"
    refused 73 "none/d.h5" "cannot be created" "folder that exists" -- \
        prepare "$inputs/text" -o none/d.h5
    on=2 refused 73 "none/l.h5" "cannot be created" "folder that exists" -- \
        evaluate "$inputs/run" --losses none/l.h5
    on="1 2" refused 64 "holds a run already" "step-00000003.h5" "--run" -- \
        train "$inputs/tiny.ini" --run "$inputs/run" --resume none
}

read_only_places() {
    mkdir "$folder/read-only"
    if ! mount -t tmpfs -o ro,size=64k none "$folder/read-only" 2>/dev/null; then
        chmod 555 "$folder/read-only"
        if [ "$(id -u)" = 0 ]; then
            skip "read-only folders: no permission to mount one"
            return
        fi
    else
        mounted+=("$folder/read-only")
    fi
    on=2 refused 73 "read-only/run" "cannot be made" -- \
        train "$inputs/tiny.ini" --run "$folder/read-only/run"
    refused 73 "read-only/d.h5" "cannot be created" -- \
        prepare "$inputs/text" -o "$folder/read-only/d.h5"
}

wrong_texts() {
    mkdir -p "$inputs"/{bare,hollow/train,holed/train,odd/train/1.txt}
    : >"$inputs/holed/train/1.txt"
    : >"$inputs/holed/train/2.txt"
    : >"$inputs/nothing.txt"
    some_text 19 >"$inputs/short.txt"
    some_text 1000 >"$inputs/long.txt"

    on="1 2" refused 65 "bare" "no documents" "train/*.txt validation/*.txt test/*.txt" -- \
        prepare "$inputs/bare" -o d.h5
    refused 65 "hollow" "no documents" "train/*.txt" -- prepare "$inputs/hollow" -o d.h5
    on=2 refused 65 "holed/train/1.txt" "is empty" "every document of the training split" -- \
        prepare "$inputs/holed" -o d.h5
    refused 65 "odd/train/1.txt" "not a file" -- prepare "$inputs/odd" -o d.h5
    refused 65 "nothing.txt" "empty" -- prepare "$inputs/nothing.txt" -o d.h5
    refused 65 "short.txt" "19 bytes" "too short" -- prepare "$inputs/short.txt" -o d.h5
    refused 64 "--split-at 900:" "A,B" "0 < A < B < 1000" -- \
        prepare "$inputs/long.txt" -o d.h5 --split-at 900
    refused 64 "--split-at 900,800:" "0 < A < B < 1000" -- \
        prepare "$inputs/long.txt" -o d.h5 --split-at 900,800
    refused 64 "--split-at 900,1000:" "0 < A < B < 1000" -- \
        prepare "$inputs/long.txt" -o d.h5 --split-at 900,1000
    refused 64 "--split-at is for one file" -- prepare "$inputs/text" -o d.h5 --split-at 1,2
    refused 64 "--tokenizer morse is unknown" "bytes" -- \
        prepare "$inputs/text" -o d.h5 --tokenizer morse
    refused 64 "Give -o" -- prepare "$inputs/text"

    # Fewer tokens than rows in a split that is one stream.
    must 1 prepare "$inputs/long.txt" -o "$inputs/stream.h5" --split-at 3,500
    on=2 refused 65 "3 tokens" "4" -- train "$inputs/tiny.ini" --run r --set batch.rows=4 \
        --set "data.path=$inputs/stream.h5"
    # A split without documents.
    mkdir -p "$inputs/only/train"
    some_text 50 >"$inputs/only/train/1.txt"
    must 1 prepare "$inputs/only" -o "$inputs/only.h5"
    on=2 refused 65 "only.h5" "test split has no documents" -- \
        evaluate "$inputs/run" --data "$inputs/only.h5"
}

# The same five wrong files wherever a data file or a checkpoint is read.
wrong_kinds() {
    local data=$inputs/data.h5 checkpoint=$inputs/run/checkpoints/step-00000003.h5
    on="1 2" refused 65 "is a checkpoint" "expected a data file" -- \
        train "$inputs/tiny.ini" --run r --set "data.path=$checkpoint"
    on=2 refused 65 "is a checkpoint" "expected a data file" -- \
        evaluate "$inputs/run" --data "$checkpoint"
    on="1 2" refused 65 "is a data file" "expected a checkpoint" -- evaluate "$data"
    refused 65 "is a data file" "expected a checkpoint" -- generate "$data" --tokens 3

    must 1 evaluate "$inputs/run" --losses "$inputs/losses.h5" --set parallel.threads=1
    refused 65 "losses.h5" "data file" -- evaluate "$inputs/run" --data "$inputs/losses.h5"
    refused 65 "losses.h5" "checkpoint" -- evaluate "$inputs/losses.h5"
    refused 65 "losses.h5" "neither a checkpoint nor a data file" -- inspect "$inputs/losses.h5"

    : >"$inputs/empty.h5"
    refused 65 "empty.h5" "is empty" "HDF5" -- evaluate "$inputs/run" --data "$inputs/empty.h5"
    on=2 refused 65 "empty.h5" "is empty" "HDF5" -- evaluate "$inputs/empty.h5"
    refused 65 "empty.h5" "is empty" "HDF5" -- inspect "$inputs/empty.h5"
    some_text 3000 >"$inputs/text.h5"
    refused 65 "text.h5" "not a whole HDF5 file" -- \
        train "$inputs/tiny.ini" --run r --set "data.path=$inputs/text.h5"
    refused 65 "text.h5" "not a whole HDF5 file" -- generate "$inputs/text.h5" --tokens 3
    refused 66 "inputs/text" "is a folder" -- evaluate "$inputs/run" --data "$inputs/text"
}

cut_files() {
    local file=$1 name=$2 size length
    shift 2
    size=$(stat -c %s "$file")
    for length in 100 $((size / 2)) $((size - 1)); do
        head -c $length "$file" >"$inputs/$name"
        refused 65 "$name" "not a whole HDF5 file" "cut short" -- "$@" "$inputs/$name"
    done
}

truncated_files() {
    cut_files "$inputs/data.h5" cut-data.h5 evaluate "$inputs/run" --data
    cut_files "$inputs/run/checkpoints/step-00000003.h5" cut-run.h5 generate --tokens 3
    on=2 refused 65 "cut-data.h5" "cut short" -- \
        train "$inputs/tiny.ini" --run r --set "data.path=$inputs/cut-data.h5"
    on=2 refused 65 "cut-run.h5" "cut short" -- evaluate "$inputs/cut-run.h5"
    refused 65 "cut-run.h5" "cut short" -- inspect "$inputs/cut-run.h5"
}

wrong_vocabulary() {
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import h5py' 2>/dev/null && break
        python=
    done
    if [ -z "$python" ]; then
        skip "a data file of another vocabulary: no Python with h5py to write one"
        return
    fi
    cp "$inputs/data.h5" "$inputs/other.h5"
    "$python" -c 'import h5py, sys
with h5py.File(sys.argv[1], "r+") as file:
    file.attrs["vocabulary"] = file.attrs["vocabulary"] + 43' "$inputs/other.h5"
    refused 65 "other.h5" "vocabulary 300" "257" -- inspect "$inputs/other.h5"
    "$python" -c 'import h5py, sys
with h5py.File(sys.argv[1], "r+") as file:
    file.attrs["tokenizer"] = "words"' "$inputs/other.h5"
    on=2 refused 65 "other.h5" "vocabulary of 300" "step-00000003.h5" "257" "tokenizer" -- \
        evaluate "$inputs/run" --data "$inputs/other.h5"
}

wrong_prompts() {
    : >"$inputs/empty.txt"
    refused 64 "--prompt is empty" "leave it out" -- generate "$inputs/run" --prompt ""
    refused 65 "empty.txt" "prompt is empty" "leave out --prompt-file" -- \
        generate "$inputs/run" --prompt-file "$inputs/empty.txt"
    refused 64 "--prompt" "--prompt-file" "give one" -- \
        generate "$inputs/run" --prompt a --prompt-file "$inputs/long.txt"
    refused 64 "--tokens is 0" -- generate "$inputs/run" --tokens 0
    refused 64 "--temperature is -1" -- generate "$inputs/run" --temperature -1
    refused 64 "--temperature is nan" -- generate "$inputs/run" --temperature nan
    refused 64 "--top-k is -2" -- generate "$inputs/run" --top-k -2
    refused 64 "--top-p is 0" -- generate "$inputs/run" --top-p 0
    refused 64 "--top-p is 1.5" -- generate "$inputs/run" --top-p 1.5
}

# What is read, and what is no data file, is never replaced.
precious_files() {
    local checkpoint=$inputs/run/checkpoints/step-00000003.h5 before
    cp "$inputs/data.h5" "$inputs/kept.h5"
    ln -s kept.h5 "$inputs/link.h5"
    cp "$checkpoint" "$inputs/kept-run.h5"
    before=$(cat "$inputs/kept.h5" "$inputs/kept-run.h5" "$inputs/long.txt" | cksum)
    local losses
    for losses in kept-run.h5 kept.h5 link.h5; do
        on="1 2" refused 64 "$losses is the file that is read" "another name" -- \
            evaluate "$inputs/kept-run.h5" --data "$inputs/kept.h5" --losses "$inputs/$losses"
    done
    refused 73 "long.txt" "no HDF5 file" "would be lost" -- \
        prepare "$inputs/long.txt" -o "$inputs/long.txt"
    refused 73 "long.txt" "no HDF5 file" -- \
        evaluate "$inputs/kept-run.h5" --data "$inputs/kept.h5" --losses "$inputs/long.txt"
    on="1 2" refused 73 "kept-run.h5" "is a checkpoint" "would be lost" -- \
        evaluate "$inputs/run" --data "$inputs/data.h5" --losses "$inputs/kept-run.h5"
    refused 73 "kept.h5" "is a data file" -- \
        evaluate "$inputs/run" --data "$inputs/data.h5" --losses "$inputs/kept.h5"
    refused 73 "kept-run.h5" "is a checkpoint" -- \
        prepare "$inputs/long.txt" -o "$inputs/kept-run.h5"
    refused 73 "losses.h5" "did not prepare" -- prepare "$inputs/long.txt" -o "$inputs/losses.h5"
    mkfifo "$inputs/pipe"
    refused 65 "pipe" "is a pipe" -- inspect "$inputs/pipe"
    on="1 2" refused 65 "pipe" "is a pipe" -- evaluate "$inputs/run" --data "$inputs/pipe"
    refused 65 "pipe" "is a pipe" -- generate "$inputs/pipe"
    refused 73 "pipe" "no regular file" -- prepare "$inputs/long.txt" -o "$inputs/pipe"
    check "what is read stays as it is" \
        test "$before" = "$(cat "$inputs/kept.h5" "$inputs/kept-run.h5" "$inputs/long.txt" | cksum)"
}

# A checkpoint is the model that it was trained to be.
another_model() {
    local change
    for change in layers=1 heads=4 norm=post activation=gelu tie_embeddings=false \
        adaptive_cutoffs=100 adaptive_divisor=2; do
        refused 78 "model.${change%=*}" "was trained with" -- \
            evaluate "$inputs/run" --data "$inputs/data.h5" --set "model.$change"
    done
    must 1 train "$inputs/tiny.ini" --run "$inputs/plain" --set model.compressed_memory=4,0
    on="1 2" refused 78 "layer 1" "was trained without compressed memory" "leave it 0" -- \
        evaluate "$inputs/plain" --set model.compressed_memory=4
    refused 78 "was trained without compressed memory" -- \
        generate "$inputs/plain" --set model.compressed_memory=4 --set model.positions=contiguous
    refused 78 "model.compression_loss" "layer 0" "as it was trained" -- \
        evaluate "$inputs/plain" --set model.compression_loss=autoencoding
    refused 78 "model.dilations" "layer 0" -- \
        evaluate "$inputs/plain" --set model.compression=dilated --set model.dilations=1,2
    must 1 train "$inputs/tiny.ini" --run "$inputs/mean" --set model.compression=mean \
        --set model.compression_loss=none --set model.positions=contiguous
    refused 78 "model.compression " "layer 0" -- evaluate "$inputs/mean" --set model.compression=conv
    refused 78 "model.positions" "layer 0" -- \
        evaluate "$inputs/mean" --set model.positions=separate
    printf '[model]\nlayers = 1\n\0[train]\nupdates = 5\n' >"$inputs/zero.ini"
    refused 78 "zero.ini:3" "zero byte" -- train "$inputs/zero.ini" --run r
}

# on_nodes ARGUMENTS...: two ranks, each in a folder of its own, as on nodes that share no disk.
on_nodes() {
    status=0
    # shellcheck disable=SC2016
    timeout --kill-after=5 "$longest_seconds" "${launcher[@]}" -n 2 \
        sh -c 'cd "$0/h$OMPI_COMM_WORLD_RANK" && exec "$@"' "$inputs" "$palimpsest" "$@" \
        >"$folder/out" 2>"$folder/err" </dev/null || status=$?
}

# refused_on_nodes STATUS WORDS... -- ARGUMENTS...
refused_on_nodes() {
    local expected=$1 words
    shift
    take_words "$@"
    shift $((${#words[@]} + 1))
    on_nodes "$@"
    ended "$expected" "two nodes" "$@"
}

nodes_that_share_no_disk() {
    if [ -n "${OMPI_COMM_WORLD_RANK:-}" ] || ! mpirun --version 2>/dev/null | grep -q 'Open MPI'; then
        skip "two nodes: not Open MPI"
        return
    fi
    mkdir "$inputs/h0" "$inputs/h1"
    refused_on_nodes 73 "r/checkpoints" "rank 1 on host" "that all nodes share?" -- \
        train "$inputs/tiny.ini" --run r
    check "nothing is written there" [ -z "$(find "$inputs/h0" -type f)" ]
    refused_on_nodes 73 "l.h5.part" "rank 1 on host" "that all nodes share?" -- \
        evaluate "$inputs/run" --data "$inputs/data.h5" --losses l.h5
    check "no losses are left" [ -z "$(find "$inputs/h0" -type f)" ]

    # Copies of the data, one of them old.
    cp "$inputs/data.h5" "$inputs/h0/d.h5"
    cp "$inputs/data.h5" "$inputs/h1/d.h5"
    on_nodes evaluate "$inputs/run" --data d.h5
    check "equal copies are read" [ "$status" = 0 ]
    some_text 500 | tr w v >"$inputs/h1/new.txt"
    must 1 prepare "$inputs/h1/new.txt" -o "$inputs/h1/d.h5"
    refused_on_nodes 65 "d.h5" "rank 1 on host" "another text" "old copy" -- \
        evaluate "$inputs/run" --data d.h5
    refused_on_nodes 65 "d.h5" "rank 1 on host" "another text" "old copy" -- \
        train "$inputs/tiny.ini" --run "$inputs/r" --set data.path=d.h5
    check "no run begins" [ ! -e "$inputs/r" ]
}

prepare_inputs
wrong_places
read_only_places
wrong_texts
wrong_kinds
truncated_files
wrong_vocabulary
wrong_prompts
precious_files
another_model
nodes_that_share_no_disk
finish
