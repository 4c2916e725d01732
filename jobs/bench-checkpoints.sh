#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How long checkpoints take: in the background, what training notices of them; in the foreground,
# every way to the disk beside `dd` with fsync of as many bytes. Two ranks, a checkpoint of 1 GB.
# Everything is written into one folder and removed.
#
#   jobs/bench-checkpoints.sh [FOLDER] [--set ...]      (default: build/bench-checkpoints)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/bench-checkpoints}
shift $(($# < 1 ? $# : 1))
program=$PWD/build/palimpsest
launcher=(mpirun --bind-to none --oversubscribe)
[ "$(id -u)" = 0 ] && launcher+=(--allow-run-as-root)
mkdir -p "$folder"
trap 'rm -f "$folder/dd"; rmdir --ignore-fail-on-non-empty "$folder"' EXIT

# A wide, shallow model: many weights to save, short updates between saves.
model=(--set model.layers=2 --set model.width=1024 --set model.heads=8
    --set model.feed_forward=16384 --set model.window=32 --set model.memory=512
    --set model.compressed_memory=512 --set batch.rows=2)

# saves SETTINGS...: the lines that `bench` prints about checkpoints.
saves() {
    "${launcher[@]}" -n 2 "$program" bench configs/bench.ini --updates 2 --save "$folder" \
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

echo "asynchronous, two ranks:"
saves "$@"

printf '\n%-36s %8s %14s\n' "synchronous, two ranks" "MiB/s" "of dd's rate"
for way in direct independent:romio321 independent:ompio collective:romio321 collective:ompio; do
    transfer=${way%:*}
    [ "$transfer" = direct ] || export OMPI_MCA_io=${way#*:}
    line=$(saves --set checkpoint.async=false --set "checkpoint.transfer=$transfer" "$@")
    unset OMPI_MCA_io
    rate=$(sed -nE 's/.* ([0-9]+) MiB\/s .*/\1/p' <<<"$line")
    named=$(sed -E 's/.*synchronous, (.*): [0-9.]+ s.*/\1/' <<<"$line")
    printf '%-36s %8d %13.2f\n' "$named" "$rate" \
        "$(awk "BEGIN { print $rate / $(dd_rate) }")"
done
