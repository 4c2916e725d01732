#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How long checkpoints take: in the background, what training notices of them; in the foreground,
# every way to the disk, each save beside a plain write of as many bytes by one process with fsync,
# which is what `dd` does. A checkpoint of 1 GB; medians of five saves. Everything is written into one
# folder and removed. Seven minutes on two cores.
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
trap 'rm -rf "$folder"/{dd,plain-write,text,data.h5,run}; rmdir --ignore-fail-on-non-empty "$folder"' EXIT

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

# The rate that dd reaches once on this disk, fsync included: to see that a plain write is the same.
dd_rate() {
    dd if=/dev/zero of="$folder/dd" bs=64M count=16 conv=fsync 2>&1 |
        awk '/copied/ { printf "%.0f", 1024 / $(NF - 3) }'
    rm -f "$folder/dd"
}

for ranks in 1 2; do
    echo "asynchronous, ranks: $ranks"
    saves "$ranks" "$@"
done

printf '\n%-36s %8s %12s %14s %8s\n' "synchronous, two ranks" "MiB/s" "plain write" \
    "of its rate" "dd"
for way in direct independent:romio321 independent:ompio collective:romio321 collective:ompio; do
    transfer=${way%:*}
    [ "$transfer" = direct ] || export OMPI_MCA_io=${way#*:}
    lines=$(saves 2 --set checkpoint.async=false --set "checkpoint.transfer=$transfer" "$@")
    unset OMPI_MCA_io
    named=$(sed -nE 's/.* synchronous, (.*): [0-9.]+ s.*/\1/p' <<<"$lines")
    rate=$(sed -nE 's/.* ([0-9]+) MiB\/s \(medians.*/\1/p' <<<"$lines")
    plain=$(sed -nE 's/.*\(([0-9]+) MiB\/s\)$/\1/p' <<<"$lines")
    share=$(sed -nE 's/^saves: ([0-9.]+) of the rate.*/\1/p' <<<"$lines")
    printf '%-36s %8d %12d %14s %8d\n' "$named" "$rate" "$plain" "$share" "$(dd_rate)"
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
