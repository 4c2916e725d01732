#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How long checkpoints take: in the background, what training notices of them; in the foreground,
# every way to the disk beside `dd` with fsync of as many bytes. A checkpoint of 1 GB; medians of
# five. Everything is written into one folder and removed. Six minutes on two cores.
#
#   jobs/bench-checkpoints.sh [FOLDER] [--set ...]      (default: build/bench-checkpoints)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/bench-checkpoints}
shift $(($# < 1 ? $# : 1))
program=$PWD/build/palimpsest
if [ ! -x "$program" ]; then
    echo "$program: is not there; build it first (README.md)" >&2
    exit 66
fi
launcher=(mpirun --bind-to none --oversubscribe)
[ "$(id -u)" = 0 ] && launcher+=(--allow-run-as-root)
mkdir -p "$folder"
trap 'rm -rf "$folder"/{dd,text,data.h5,run}; rmdir --ignore-fail-on-non-empty "$folder"' EXIT

# A wide, shallow model with short windows: much to save, short updates between saves.
model=(--set model.layers=2 --set model.width=1024 --set model.heads=8
    --set model.feed_forward=18432 --set model.window=32 --set model.memory=64
    --set model.compressed_memory=64 --set model.compression_rate=2 --set batch.rows=2)

# saves RANKS SETTINGS...: the lines that `bench` prints about checkpoints.
saves() {
    local ranks=$1
    shift
    "${launcher[@]}" -n "$ranks" "$program" bench configs/bench.ini --updates 1 --save "$folder" \
        "${model[@]}" "$@" | grep '^saves: '
}

# The rate that dd reaches on this disk, fsync included: the median of three.
dd_rate() {
    for _ in 1 2 3; do
        dd if=/dev/zero of="$folder/dd" bs=64M count=16 conv=fsync 2>&1 |
            awk '/copied/ { print 1024 / $(NF - 3) }'
        rm -f "$folder/dd"
    done | sort -g | sed -n 2p
}

for ranks in 1 2; do
    echo "asynchronous, ranks: $ranks"
    saves "$ranks" "$@"
done

printf '\n%-36s %8s %14s\n' "synchronous, two ranks" "MiB/s" "of dd's rate"
for way in direct independent:romio321 independent:ompio collective:romio321 collective:ompio; do
    transfer=${way%:*}
    [ "$transfer" = direct ] || export OMPI_MCA_io=${way#*:}
    line=$(saves 2 --set checkpoint.async=false --set "checkpoint.transfer=$transfer" "$@")
    unset OMPI_MCA_io
    rate=$(sed -nE 's/.* ([0-9]+) MiB\/s .*/\1/p' <<<"$line")
    named=$(sed -E 's/.*synchronous, (.*): [0-9.]+ s.*/\1/' <<<"$line")
    printf '%-36s %8d %13.2f\n' "$named" "$rate" \
        "$(awk "BEGIN { print $rate / $(dd_rate) }")"
done

# A run that goes on: from the start of mpirun to the end of its first update.
mkdir -p "$folder/text"/{train,validation,test}
for split in train validation test; do seq 20000 >"$folder/text/$split/1.txt"; done
"$program" prepare "$folder/text" -o "$folder/data.h5" >/dev/null
# train RANKS UPDATES: seconds of the whole job on the last line.
train() {
    local start=$EPOCHREALTIME
    "${launcher[@]}" -n "$1" "$program" train configs/bench.ini --run "$folder/run" "${model[@]}" \
        --set "data.path=$folder/data.h5" --set "train.updates=$2" --set train.warmup=1 \
        --set train.decay=1000 --set train.evaluate_every=0 "${@:3}"
    awk "BEGIN { printf \"the whole job, with its last checkpoint: %.2f s\n\",
        $EPOCHREALTIME - $start }"
}
for ranks in 1 2; do
    printf '\ngoing on, ranks: %s\n' "$ranks"
    rm -rf "$folder/run"
    train "$ranks" 1 "$@" >/dev/null
    train "$ranks" 2 "$@" | grep -E '^(resumed|first update|saved|the whole)'
done
