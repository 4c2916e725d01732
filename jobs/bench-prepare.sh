#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How fast `palimpsest prepare` is, on one core, and how much memory it takes. First the rate of
# subwords beside that of SentencePiece's own program, spm_encode, with the same model, and of bytes:
# the two programs take turns, medians of the pairs. Then every tokenizer over text of more than
# memory should hold: the books of the training split, again and again under other names.
#
#   jobs/bench-prepare.sh FOLDER [PAIRS] [MEGABYTES]     (default: 3 pairs, 1000 MB of text)
#
# FOLDER is a data set in PG-19's layout, with enough books to learn 32,000 subwords from. Needs the
# packages of `jobs/install-packages.sh bench tests`; five minutes.
set -euo pipefail
if [ $# -lt 1 ] || [ ! -d "$1/train" ]; then
    echo "usage: $0 FOLDER [PAIRS] [MEGABYTES], FOLDER with train/, validation/ and test/" >&2
    exit 64
fi
folder=$(cd "$1" && pwd)
pairs=${2:-3}
megabytes=${3:-1000}
cd "$(dirname "$0")/.."
program=$PWD/build/palimpsest
for needed in "$program" spm_encode; do
    if ! command -v "$needed" >/dev/null; then
        echo "$needed: is not there (README.md; jobs/install-packages.sh bench)" >&2
        exit 66
    fi
done
scratch=$(mktemp -d "${TMPDIR:-/tmp}/bench-prepare.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

failed() {
    cat "$scratch/log" >&2
    exit 1
}

# one_core COMMAND...
one_core() { taskset -c 0 "$@"; }

# median FILE
median() { sort -g "$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

# rate COMMAND...: MB of the training split per second of the clock
rate() {
    local start=$EPOCHREALTIME
    "$@" >"$scratch/log" 2>&1 || failed
    awk "BEGIN { print $bytes / 1e6 / ($EPOCHREALTIME - $start) }"
}

# repeat_books: links to the books of the training split, until there are $megabytes MB of text
repeat_books() {
    local total=0 number=1000000 book
    mkdir -p "$scratch/much/train"
    ln -s "$folder/validation" "$folder/test" "$scratch/much"
    while [ "$total" -lt "${megabytes}000000" ]; do
        for book in "$folder"/train/*.txt; do
            ln -s "$book" "$scratch/much/train/$number.txt"
            number=$((number + 1))
            total=$((total + $(stat -L -c %s "$book")))
        done
    done
}

# The training split, as a folder of its own and as one file.
mkdir "$scratch/text"
ln -s "$folder/train" "$scratch/text"
cat "$folder"/train/*.txt >"$scratch/text.txt"
bytes=$(stat -c %s "$scratch/text.txt")

echo "== One core, $((bytes / 1000000)) MB of text: MB/s"
"$program" prepare "$folder" --subset --tokenizer sentencepiece -o "$scratch/model.h5" \
    >"$scratch/log" 2>&1 || failed
/usr/bin/python3 -c 'import h5py, sys
with h5py.File(sys.argv[1]) as data, open(sys.argv[2], "wb") as model:
    model.write(bytes(data["/tokenizer/model"]))' "$scratch/model.h5" "$scratch/subwords.model"
for ((i = 0; i < pairs; i++)); do
    rate one_core spm_encode --model="$scratch/subwords.model" --output_format=id \
        --output=/dev/null "$scratch/text.txt" >>"$scratch/theirs"
    rate one_core "$program" prepare "$scratch/text" --tokenizer-from "$scratch/model.h5" \
        -o "$scratch/ours.h5" >>"$scratch/ours"
    rate one_core "$program" prepare "$scratch/text.txt" -o "$scratch/ours.h5" >>"$scratch/raw"
done
while read -r file name; do
    printf '%-32s %8.1f   (%s)\n' "$name" "$(median "$scratch/$file")" \
        "$(paste -sd ' ' "$scratch/$file")"
done <<'NAMES'
theirs spm_encode
ours prepare, the same 32,000 subwords
raw prepare, bytes
NAMES

repeat_books
for tokenizer in bytes words sentencepiece; do
    printf '\n== One core, %s MB of text, %s\n' "$megabytes" "$tokenizer"
    one_core "$program" prepare "$scratch/much" --tokenizer $tokenizer -o "$scratch/much.h5" \
        >"$scratch/log" 2>&1 || failed
    tail -n 2 "$scratch/log" | sed "s|$scratch/||"
    rm "$scratch/much.h5"
done
