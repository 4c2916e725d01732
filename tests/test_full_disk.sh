#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A disk that gets full while something is written: status 74 and the file's name, no half file, and
# what was there before stays good. Folders are small tmpfs mounts; where these are not allowed,
# only the cases with /dev/full are left.
#
#   tests/test_full_disk.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

full="No space left on device"

# small_disk KIBIBYTES: an empty one at $disk.
disk=$folder/disk
small_disk() {
    mkdir -p "$disk"
    umount "$disk" 2>/dev/null
    mount -t tmpfs -o "size=$1k" none "$disk" 2>/dev/null || return
    mounted=("$disk")
}

# filled STATUS WORDS... -- ARGUMENTS...: as `refused`, but files may have changed.
filled() {
    local expected=$1 words
    shift
    take_words "$@"
    shift $((${#words[@]} + 1))
    run "${on:-1}" "$@"
    ended "$expected" "${on:-1} ranks" "$@"
}

empty_disk() { [ -z "$(ls -A "$disk")" ]; }
no_part_files() { [ -z "$(find "$disk" -name '*.part')" ]; }
whole_lines() {
    [ -s "$1" ] && ! grep -qv '^{.*}$' "$1" && [ -z "$(tail -c 1 "$1" | tr -d '\n')" ]
}

prepared_data() {
    some_text 200000 >"$inputs/long.txt"
    small_disk 128 || return
    on=1 filled 74 "d.h5" "$full" -- prepare "$inputs/long.txt" -o "$disk/d.h5"
    check "prepare left something on the full disk" empty_disk
    on=2 filled 74 "d.h5" "$full" -- prepare "$inputs/long.txt" -o "$disk/d.h5"
    check "prepare on two ranks left more on the full disk than what is ready" \
        [ -z "$(ls -A "$disk" | grep -v '^d.h5.work$')" ]
    rm -rf "$disk/d.h5.work"

    # An older file of that name stays as it is.
    cp "$inputs/data.h5" "$disk/d.h5"
    on=1 filled 74 "d.h5" "$full" -- prepare "$inputs/long.txt" -o "$disk/d.h5"
    check "prepare changed the older file" cmp "$inputs/data.h5" "$disk/d.h5"
}

# The first checkpoint fits, the later ones do not: the run goes on to its end, which says so; the
# first one stays the latest.
checkpoints() {
    local ranks size
    for ranks in 1 2; do
        run "$ranks" train "$inputs/tiny.ini" --run "$inputs/size$ranks" --set model.width=16
        size=$(du -k "$inputs/size$ranks/checkpoints/step-00000003.h5" | cut -f1)

        small_disk $((size / 2))
        on=$ranks filled 74 "step-00000003.h5" "$full" -- \
            train "$inputs/tiny.ini" --run "$disk/run" --set model.width=16
        check "half a checkpoint is left ($ranks ranks)" no_part_files
        check "a checkpoint is there ($ranks ranks)" [ -z "$(ls -A "$disk/run/checkpoints")" ]
        check "metrics of the updates are kept" [ "$(wc -l <"$disk/run/metrics.jsonl")" = 3 ]

        small_disk $((size + size / 2 + 32))
        on=$ranks filled 74 "step-00000003.h5" "$full" -- train "$inputs/tiny.ini" \
            --run "$disk/run" --set model.width=16 --set checkpoint.every=1
        check "half a checkpoint is left ($ranks ranks)" no_part_files
        check "the run went on after a save that failed" \
            grep -q "^warning: no checkpoint of update 2: .*$full" "$folder/err"
        check "all updates are made" [ "$(wc -l <"$disk/run/metrics.jsonl")" = 3 ]
        check "latest is not the first" \
            [ "$(readlink "$disk/run/checkpoints/latest")" = step-00000001.h5 ]
        must "$ranks" evaluate "$disk/run" --data "$inputs/data.h5"
    done
}

# So many updates that their lines fill the disk.
metrics() {
    small_disk 64 || return
    for ranks in 1 2; do
        small_disk 64
        on=$ranks filled 73 "step-00000300.h5" "$full" -- train "$inputs/tiny.ini" \
            --run "$disk/run" --set train.updates=300 --set train.log_every=300
        check "a part of a line is left" whole_lines "$disk/run/metrics.jsonl"
        check "one warning about the metrics" \
            [ "$(grep -c "^warning: .*metrics.jsonl.*$full.*goes on" "$folder/err")" = 1 ]
        check "all updates are made" grep -q '^update 300/300 ' "$folder/out"
    done
}

losses_file() {
    small_disk 8 || return
    for ranks in 1 2; do
        on=$ranks filled 74 "l.h5" "$full" -- \
            evaluate "$inputs/run" --losses "$disk/l.h5" --split train
        check "losses left something on the full disk" empty_disk
    done
}

# Files that are full from the start.
run_files() {
    rm -rf r
    mkdir r
    ln -s /dev/full r/config.ini.part
    on=1 filled 74 "r/config.ini" "$full" -- train "$inputs/tiny.ini" --run r
    check "no update was made without config.ini" [ -z "$(find r -name '*.h5')" ]

    # Lost measurements cost the run nothing but its exit status.
    rm -rf r
    mkdir r
    ln -s /dev/full r/metrics.jsonl
    on=1 filled 74 "r/metrics.jsonl" "3 lines" -- train "$inputs/tiny.ini" --run r
    check "the run is complete without its metrics" [ -f r/checkpoints/step-00000003.h5 ]

    # The log is for people: training goes on without it.
    rm -rf r
    mkdir r
    ln -s /dev/full r/log.txt
    must 1 train "$inputs/tiny.ini" --run r
    check "one warning about the log" \
        [ "$(grep -c "^warning: r/log.txt.*$full" "$folder/err")" = 1 ]
    check "the run is complete" [ -f r/checkpoints/step-00000003.h5 ]
    rm -rf r
}

# What is printed into a full file.
printed() {
    local command
    for command in "generate $inputs/run --tokens 20" "inspect $inputs/run" \
        "evaluate $inputs/run --json" "--help" "train --help"; do
        checks=$((checks + 1))
        status=0
        # shellcheck disable=SC2086
        "$palimpsest" $command >/dev/full 2>"$folder/err" || status=$?
        : >"$folder/out"
        [ "$status" = 74 ] || bad "status $status instead of 74: $command >/dev/full"
        has_one_message "written" || bad "message: $command >/dev/full"
    done
}

prepare_inputs
if small_disk 64; then
    prepared_data
    checkpoints
    metrics
    losses_file
else
    skip "prepare, checkpoints, metrics and losses on a full disk: no permission to mount a tmpfs"
fi
run_files
printed
finish
