#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How much faster two ranks are than one, for each way of dividing the work: pairs of runs one after
# the other, one thread a rank, the same work; medians of the ratios. Beside it how many times the
# work of one core the machine's two do at that time when they wait for each other at every step, in
# matrix products alone ("machine"), and what part of that was reached ("of it"). Then how long two
# pipeline stages wait for each other when an update spans more and more windows of the same rows.
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

# figures RANKS SETTINGS...: milliseconds of an update, and what the machine gives (1 of one rank)
figures() { bench "$@" | awk '/^update: / { ms = $2 } /^machine: / { gain = $(NF - 6) }
    END { print ms, gain == "" ? 1 : gain }'; }

# divide A B
divide() { awk "BEGIN { printf \"%.3f\", $1 / $2 }"; }

# median NUMBER...
median() { printf '%s\n' "$@" | sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

printf '%-9s %11s %12s %6s %8s %6s   %s\n' grid 'one rank ms' 'two ranks ms' ratio machine \
    'of it' 'ratios, and the machine, of all pairs'
for grid in data tensor pipeline; do
    one=() two=() ratios=() gains=() parts=()
    for ((i = 0; i < pairs; i++)); do
        read -r alone _ < <(figures 1 "$@")
        read -r together gain < <(figures 2 --set "parallel.$grid=2" "$@")
        one+=("$alone") two+=("$together") gains+=("$gain")
        ratios+=("$(divide "$alone" "$together")")
        parts+=("$(divide "${ratios[-1]}" "$gain")")
    done
    printf '%-9s %11.1f %12.1f %6.3f %8.3f %6.3f   %s · %s\n' "$grid" "$(median "${one[@]}")" \
        "$(median "${two[@]}")" "$(median "${ratios[@]}")" "$(median "${gains[@]}")" \
        "$(median "${parts[@]}")" "${ratios[*]}" "${gains[*]}"
done

for windows in 1 2 4 8; do
    updates=$((40 / windows)) bench 2 --set parallel.pipeline=2 --set parallel.row_groups=1 \
        --set train.update_every=$windows "$@" | grep '^pipeline: .*idle .* of its time'
done
