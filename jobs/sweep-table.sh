#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The results of a sweep as a table: one line a training, with its last figures.
#
#   jobs/sweep-table.sh SETTINGS SWEEP      SWEEP has the run folders 1, 2, ... of SETTINGS' lines
#   jobs/sweep-table.sh --count SETTINGS    how many there are
#   jobs/sweep-table.sh --line N SETTINGS   one of them
set -euo pipefail

# lines SETTINGS: those that are a training.
lines() {
    LC_ALL=C awk 'NR == 1 { sub(/^\357\273\277/, "") } # the byte order mark of some editors
        { gsub(/^[ \t]+|[ \t\r]+$/, "") }
        $0 != "" && !/^#/' "$1"
}

if [ $# = 2 ] && [ "$1" = --count ]; then
    lines "$2" | wc -l
    exit
elif [ $# = 3 ] && [ "$1" = --line ]; then
    lines "$3" | awk -v number="$2" 'NR == number'
    exit
elif [ $# != 2 ]; then
    sed -n '4,8s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi

# shellcheck source=policy.sh
source "$(dirname "$0")/policy.sh"

# last_number FILE KIND KEY: of the last line of this kind; - where there is none.
last_number() {
    local number
    number=$(grep "\"kind\": \"$2\"" "$1" 2>/dev/null | tail -n 1 |
        sed -n "s/.*\"$3\": \([-+.0-9eE]*\).*/\1/p")
    echo "${number:--}"
}

printf '%4s %10s %10s %14s %14s %8s  %s\n' run updates loss bits/byte 'word ppl' state settings
number=0
while read -r line; do
    number=$((number + 1))
    run=$2/$number
    metrics=$run/metrics.jsonl
    updates=$(last_number "$metrics" train update)
    state="under way"
    if [ -f "$run/settings.txt" ] && [[ $(cat "$run/settings.txt") != *": $line" ]]; then
        state=another
        metrics=
        updates=-
    elif is_finished "$run"; then
        state=finished
    elif [ -f "$run/stopped.txt" ]; then
        state=stopped
    elif [ ! -f "$metrics" ]; then
        state=waits
    fi
    printf '%4d %10s %10.10s %14.10s %14.10s %8s  %s\n' "$number" "$updates" \
        "$(last_number "$metrics" train loss)" \
        "$(last_number "$metrics" evaluate bits_per_byte)" \
        "$(last_number "$metrics" evaluate word_perplexity)" "$state" "$line"
done < <(lines "$1")
