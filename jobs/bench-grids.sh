#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How much faster two ranks are than one, for each way of dividing the work: one thread a rank, the
# same work. The two jobs of a pair take turns, a second or less each, while the other is stopped:
# what else goes on in the machine meets both alike. Times are those in which the ranks were not
# stopped (the line `processor:` of `palimpsest bench`); medians over the pairs. Then how long two
# pipeline stages wait for each other when an update spans more and more windows of the same rows.
# Eighteen minutes on two cores.
#
#   jobs/bench-grids.sh [PAIRS] [CONFIG] [--set ...]      (default: 3 pairs of configs/bench.ini)
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=${1:-3}
config=${2:-configs/bench.ini}
shift $(($# < 2 ? $# : 2))
program=build/palimpsest
if [ ! -x "$program" ]; then
    echo "$program: is not there; build it first (README.md)" >&2
    exit 66
fi
launcher=(mpirun --bind-to none --oversubscribe)
[ "$(id -u)" = 0 ] && launcher+=(--allow-run-as-root)
output=$(mktemp -d)
jobs=()

# signal NAME MPIRUN: to the ranks that this mpirun has started, if there are any.
signal() { pkill "-$1" -P "$2" || true; }

clean_up() {
    local job
    for job in ${jobs[@]+"${jobs[@]}"}; do
        signal CONT "$job"
        kill "$job" 2>/dev/null || true
    done
    rm -rf "$output"
}
trap clean_up EXIT

# bench RANKS SETTINGS...
bench() {
    local ranks=$1
    shift
    exec "${launcher[@]}" -n "$ranks" "$program" bench "$config" --updates "${updates:-1}" \
        --set parallel.threads=1 --set train.update_every=8 "$@"
}

# take_turns JOB JOB: until one of them has ended; the second gets a little more than half as long.
take_turns() {
    while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do
        signal STOP "$2"
        signal CONT "$1"
        sleep 0.9
        signal STOP "$1"
        signal CONT "$2"
        sleep 0.5
    done
    signal CONT "$1"
    signal CONT "$2"
}

# pair GRID SETTINGS...: milliseconds of an update on one rank and on two, and their ratio
pair() {
    local grid=$1
    shift
    bench 1 "$@" >"$output/1" &
    jobs=($!)
    bench 2 --set "parallel.$grid=2" "$@" >"$output/2" &
    jobs+=($!)
    take_turns "${jobs[@]}"
    wait "${jobs[0]}"
    wait "${jobs[1]}"
    jobs=()
    awk '/^processor: / { ms[++n] = $2 }
        END { printf "%.1f %.1f %.3f\n", ms[1], ms[2], ms[1] / ms[2] }' "$output/1" "$output/2"
}

# median COLUMN FILE
median() {
    sort -g -k "$1,$1" "$2" | awk -v c="$1" '{ a[NR] = $c } END { print a[int((NR + 1) / 2)] }'
}

printf '%-9s %12s %12s %7s   %s\n' grid 'one rank ms' 'two ranks ms' ratio 'all ratios'
for grid in data tensor pipeline; do
    for ((i = 0; i < pairs; i++)); do pair "$grid" "$@"; done >"$output/pairs"
    printf '%-9s %12.1f %12.1f %7.3f   %s\n' "$grid" "$(median 1 "$output/pairs")" \
        "$(median 2 "$output/pairs")" "$(median 3 "$output/pairs")" \
        "$(awk '{ printf "%s ", $3 }' "$output/pairs")"
done

for windows in 1 2 4 8; do
    (updates=$((40 / windows)) bench 2 --set parallel.pipeline=2 --set parallel.row_groups=1 \
        --set train.update_every=$windows "$@") | grep '^pipeline: .*idle .* of its time'
done
