#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How much faster two ranks are than one, for each way of dividing the work: pairs of runs one after
# the other, one thread a rank, the same work; medians of the ratios. Then how long two pipeline
# stages wait for each other when an update spans more and more windows of the same rows.
#
#   jobs/bench-grids.sh [PAIRS] [CONFIG] [--set ...]      (default: 5 pairs of configs/bench.ini)
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=${1:-5}
config=${2:-configs/bench.ini}
shift $(($# < 2 ? $# : 2))
program=build/palimpsest
launcher=(mpirun --bind-to none --oversubscribe)
[ "$(id -u)" = 0 ] && launcher+=(--allow-run-as-root)

# bench RANKS SETTINGS...
bench() {
    local ranks=$1
    shift
    "${launcher[@]}" -n "$ranks" "$program" bench "$config" --updates "${updates:-1}" \
        --set parallel.threads=1 --set train.update_every=8 "$@"
}

# milliseconds RANKS SETTINGS...: of an update, the median that `bench` prints
milliseconds() { bench "$@" | awk '/^update: / { print $2 }'; }

# median NUMBER...
median() { printf '%s\n' "$@" | sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

printf '%-10s %12s %12s %8s   %s\n' grid 'one rank ms' 'two ranks ms' ratio 'of all pairs'
for grid in data tensor pipeline; do
    ratios=() one=() two=()
    for ((i = 0; i < pairs; i++)); do
        one+=("$(milliseconds 1 "$@")")
        two+=("$(milliseconds 2 --set "parallel.$grid=2" "$@")")
        ratios+=("$(awk "BEGIN { printf \"%.3f\", ${one[-1]} / ${two[-1]} }")")
    done
    printf '%-10s %12.1f %12.1f %8.3f   %s\n' "$grid" "$(median "${one[@]}")" \
        "$(median "${two[@]}")" "$(median "${ratios[@]}")" "${ratios[*]}"
done

for windows in 1 2 4 8; do
    updates=$((40 / windows)) bench 2 --set parallel.pipeline=2 --set parallel.row_groups=1 \
        --set train.update_every=$windows "$@" | grep '^pipeline: .*idle .* of its time'
done
