#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh clone to a trained Compressive Transformer: packages, build, text, training, test
# figures, and a passage that the model writes.
#
#   jobs/quickstart.sh [BOOKS]
#
# BOOKS is a folder of your own books in the layout of PG-19 (train/ validation/ test/, one .txt
# file a book; metadata.csv); without it the text is the King James Bible. Everything written lies
# under build/ and runs/. Every run trains from the start, in a run folder of its own.
set -euo pipefail

books=${1:+$(realpath "$1")}
ranks=2
cd "$(dirname "$0")/.."

usage() {
    printf '%s\nusage: %s [BOOKS]    BOOKS: a folder that holds train/ validation/ test/\n' \
        "$1" "$0" >&2
    exit 64
}

[ $# -le 1 ] || usage "quickstart: $# arguments, expected one or none"
# Training reads the one, the test at the end the other.
for part in ${books:+train test}; do
    compgen -G "$books/$part/*.txt" >/dev/null ||
        usage "quickstart: no books $books/$part/*.txt; expected one .txt file for each book"
done

step=0
heading() {
    step=$((step + 1))
    printf '\n== %d/6  %s  (%d s since the start)\n' "$step" "$1" "$SECONDS"
}

# Shows a command as one would type it, and runs it.
run() {
    local argument line='$'
    for argument in "$@"; do
        case $argument in
            *[!A-Za-z0-9_./=:,-]*) line+=" '$argument'" ;;
            *) line+=" $argument" ;;
        esac
    done
    printf '%s\n' "$line"
    "$@"
}

tell_failure() {
    local status=$?
    if [ $status != 0 ]; then
        printf 'quickstart: stopped in part %d of 6 with status %d\n' "$step" "$status" >&2
    fi
}
trap tell_failure EXIT

# Open MPI refuses root, counts one slot a core, and ties two ranks to one core each; the program
# spreads its threads over cores / ranks by itself.
prepare_launcher() {
    launcher=(mpirun -n "$ranks")
    if mpirun --version 2>/dev/null | grep -q 'Open MPI'; then
        launcher+=(--bind-to none)
        if [ "$(nproc)" -lt "$ranks" ] || [ "$(physical_cores)" -lt "$ranks" ]; then
            launcher+=(--oversubscribe)
        fi
        if [ "$(id -u)" = 0 ]; then
            launcher+=(--allow-run-as-root)
        fi
    fi
    # Threads that wait should sleep: on a machine with other users, spinning costs more than it saves.
    export OMP_WAIT_POLICY=passive
}

physical_cores() {
    lscpu -p=CORE,SOCKET | grep -v '^#' | sort -u | wc -l
}

unused_run_folder() {
    local folder=runs/quickstart number=1
    while [ -e "$folder" ]; do
        number=$((number + 1))
        folder=runs/quickstart-$number
    done
    echo "$folder"
}

# Prints a number from the last line, of JSON, with three decimals, or that there is none (null):
# json_number KEY FILE WHY_NONE
json_number() {
    local number
    number=$(tail -n 1 "$2" | sed -n "s/.*\"$1\": *\([-+.0-9eE]*\).*/\1/p")
    if [ -n "$number" ]; then
        printf '%.3f' "$number"
    else
        printf 'none: %s' "$3"
    fi
}

heading "Packages"
if [ -n "$books" ]; then
    jobs/install-packages.sh build
else
    jobs/install-packages.sh build kjv
fi
after_packages=$SECONDS

heading "Build"
mkdir -p build runs
log=build/quickstart-build.log
build() {
    run cmake -B build -DCMAKE_BUILD_TYPE=Release &&
        run cmake --build build --target palimpsest --parallel "$(nproc)"
}
if ! build >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    printf 'quickstart: the build failed; all of its output is in %s\n' "$log" >&2
    exit 70
fi
grep '^\$ ' "$log"

heading "Text"
if [ -z "$books" ]; then
    books=build/kjv
    run jobs/write-kjv.sh "$books"
fi
data=build/quickstart.h5
run build/palimpsest prepare "$books" --tokenizer bytes -o "$data"

heading "Training"
prepare_launcher
run_folder=$(unused_run_folder)
run "${launcher[@]}" build/palimpsest train configs/quickstart.ini --run "$run_folder"
checkpoint=$(printf '%s\n' "$run_folder"/checkpoints/step-*.h5 | tail -n 1)

heading "Test: books it has never seen"
run "${launcher[@]}" build/palimpsest evaluate "$checkpoint" --data "$data" --split test --json |
    tee "$run_folder/test.txt"

heading "A passage it writes"
run build/palimpsest generate "$checkpoint" --prompt "And it came to pass" \
    --tokens 500 --temperature 0.8 --seed 1 2>"$run_folder/generate.log" |
    tee "$run_folder/passage.txt"
echo

bits=$(json_number bits_per_byte "$run_folder/test.txt" "the model is broken")
perplexity=$(json_number word_perplexity "$run_folder/test.txt" \
    "too few words are separated by white space")
cat <<END

== Done in $SECONDS s, $((SECONDS - after_packages)) s of them after the packages
bits per character of the test books    $bits
perplexity per word of the test books   $perplexity

text          $books
data file     $data
run folder    $run_folder     config.ini  metrics.jsonl  log.txt  test.txt  passage.txt
checkpoint    $checkpoint
program       build/palimpsest            build/palimpsest --help
settings      configs/quickstart.ini      every line has a comment
END
