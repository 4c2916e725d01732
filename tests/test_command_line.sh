#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a person types and gets: help, version, the run folder and its files, exit status 75, output
# for a terminal and for a file. (What is in the files: test_run_files.py.)
#
#   tests/test_command_line.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

says() { grep -qF -- "$1" "$folder/out"; }

# Commands that the table of commands has, options that each command's own table has.
help() {
    local commands command option
    must 1 --help
    commands=$(sed -nE 's/^ *\{ ?"([a-z]+)", .*/\1/p' "$sources/src/run/commands.c")
    check "six commands or more are known" [ "$(wc -w <<<"$commands")" -ge 6 ]
    for command in $commands; do
        check "--help lists $command" grep -qE "^  $command +[A-Z]" "$folder/out"
    done
    check "--help tells the exit statuses" says "75  stopped early"
    cp "$folder/out" "$folder/help"
    must 1 -h
    check "-h is --help" cmp "$folder/out" "$folder/help"
    must 2 --help
    check "--help is printed once on two ranks" cmp "$folder/out" "$folder/help"

    for command in $commands; do
        must 1 "$command" --help
        check "$command --help shows its use" grep -q "^palimpsest $command [A-Z]" "$folder/out"
        local options
        options=$(sed -nE 's/^ *\{ ?"([a-z-]+)", OPTION_.*/\1/p' \
            "$sources/src/run/command_$command.c")
        [ "$command" = verify ] || check "$command has options" [ -n "$options" ]
        for option in $options help; do
            [ ${#option} = 1 ] && option=-$option || option=--$option
            check "$command --help has $option" grep -qE "^  $option( .*)? [A-Za-z]" "$folder/out"
        done
        cp "$folder/out" "$folder/help"
        must 1 "$command" nothing --nonsense -h
        check "$command: help goes before everything else" cmp "$folder/out" "$folder/help"
    done
}

# Every key of the table, in its section, with its default; and config.ini has the same ones.
help_config() {
    local keys section key
    keys=$(sed -nE 's/^ *\{ ?"([a-z]+)", "([a-z_]+)", KEY_.*/\1 \2/p' "$sources/io/config_keys.c")
    check "many keys are known" [ "$(wc -l <<<"$keys")" -gt 40 ]
    must 1 --help-config
    while read -r section key; do
        check "--help-config has $section.$key" awk -v section="[$section]" -v key="$key" '
            /^\[/ { current = $0 } current == section && $1 == key { found = 1 }
            END { exit !found }' "$folder/out"
    done <<<"$keys"
    check "--help-config has nothing else" \
        [ "$(grep -cE '^  [a-z_]+ ' "$folder/out")" = "$(wc -l <<<"$keys")" ]
    while read -r section key; do
        check "config.ini has $section.$key" awk -v section="[$section]" -v key="$key" '
            /^\[/ { current = $0 } current == section && $1 == key { found = 1 }
            END { exit !found }' "$inputs/run/config.ini"
    done <<<"$keys"
}

version() {
    local number
    number=$(sed -nE 's/^project\(palimpsest VERSION ([0-9.]+).*/\1/p' "$sources/CMakeLists.txt")
    must 1 --version
    check "--version" [ "$(cat "$folder/out")" = "palimpsest $number" ]
}

run_folder() {
    must 1 train "$inputs/tiny.ini" --run a/b/c
    check "the run folder has its four parts and no more" \
        [ "$(cd a/b/c && echo *)" = "checkpoints config.ini log.txt metrics.jsonl" ]
    check "the last checkpoint and a link to it" \
        [ "$(cd a/b/c/checkpoints && echo *)" = "latest step-00000003.h5" ]
    check "latest points there" [ "$(readlink a/b/c/checkpoints/latest)" = step-00000003.h5 ]
    check "the log is what was printed" cmp a/b/c/log.txt "$folder/out"

    # Without --run: runs/ and the configuration's name.
    must 1 train "$inputs/tiny.ini"
    check "the folder's name is the configuration's" [ -f runs/tiny/metrics.jsonl ]

    must 1 train "$inputs/tiny.ini" --run none --set train.updates=0
    check "no update: the initial checkpoint" [ -f none/checkpoints/step-00000000.h5 ]
    check "no update: no metrics" [ ! -s none/metrics.jsonl ]

    must 2 train "$inputs/tiny.ini" --run kept --set train.updates=5 --set checkpoint.every=1
    check "the two newest checkpoints stay" \
        [ "$(cd kept/checkpoints && echo step-*)" = "step-00000004.h5 step-00000005.h5" ]
    rm -rf a runs none kept
}

step_lines() {
    must 2 train "$inputs/tiny.ini" --run lines --set train.updates=25 --set train.log_every=10
    local number='[0-9.e+-]+'
    local line="^update [0-9]+/25  loss $number  compression $number  norms $number $number  "
    line+="lr $number  [0-9]+ tok/s  [0-9]+% of product rate  wait [0-9]+%  [0-9:]+ left$"
    check "step lines at 10, 20 and the end" \
        [ "$(grep -oE '^update [0-9]+/25' "$folder/out" | tr '\n' ' ')" = \
        "update 10/25 update 20/25 update 25/25 " ]
    check "a step line has all of its parts" [ "$(grep -cE "$line" "$folder/out")" = 3 ]
    check "memory per rank by purpose" \
        grep -qE '^memory per rank, at most: [0-9.]+ MiB: weights .*memory and comp' "$folder/out"
    check "no control characters in a file" [ -z "$(tr -d '\n -~' <"$folder/out")" ]
    check "nothing on stderr" [ ! -s "$folder/err" ]
    check "no control characters in the log" [ -z "$(tr -d '\n -~' <lines/log.txt)" ]
    rm -rf lines
}

# On a terminal a bar is drawn over and over in one line; the log does not have it.
progress_bar() {
    if ! script -qec true /dev/null >/dev/null 2>&1; then
        skip "progress on a terminal: no script(1)"
        return
    fi
    TERM=xterm script -qec "'$palimpsest' train '$inputs/tiny.ini' --run bar \
        --set train.updates=400 --set train.log_every=400" /dev/null >"$folder/out" 2>&1 </dev/null
    check "a bar is drawn" grep -qE $'\r.*\\[[#.]+\\] +[0-9]+ %.* left' "$folder/out"
    check "the bar is wiped before a line" grep -q $'\r\033\[Kupdate 400/400' "$folder/out"
    check "no bar in the log" [ -z "$(tr -d '\n -~' <bar/log.txt)" ]
    rm -rf bar
}

# 75: stopped early, with a checkpoint, which can be used.
out_of_time() {
    local ranks last
    for ranks in 1 2; do
        run $ranks train "$inputs/tiny.ini" --run "early$ranks" --set train.updates=1000000 \
            --set train.minutes=0.002 --set train.log_every=1000000
        check "status 75 when time is over, on $ranks ranks" [ "$status" = 75 ]
        check "no error is said" [ -z "$(grep '^palimpsest:' "$folder/err")" ]
        check "it says that it stopped" says "train.minutes is over"
        last=$(wc -l <"early$ranks/metrics.jsonl")
        check "a checkpoint of the last update" \
            [ -f "early$ranks/checkpoints/$(printf 'step-%08d.h5' "$last")" ]
        must 1 evaluate "early$ranks" --json
    done
    # Not early: the last update falls together with the end of the time.
    must 1 train "$inputs/tiny.ini" --run exact --set train.updates=1 --set train.minutes=1e-9
    rm -rf early* exact
}

evaluate_and_generate() {
    must 1 evaluate "$inputs/run" --data "$inputs/data.h5" --split test --json
    check "every document has a line" [ "$(grep -cE '^30[12] ' "$folder/out")" = 2 ]
    check "the last line is the JSON object" \
        grep -qE '^\{"kind": "evaluate", .*"split": "test".*"bits_per_byte": [0-9.]+.*\}$' \
        <(tail -n 1 "$folder/out")

    # Standard output has the text alone: the prompt, and as many bytes as were asked for.
    must 1 generate "$inputs/run" --prompt "the whale" --tokens 40
    check "prompt and 40 bytes" [ "$(wc -c <"$folder/out")" = 49 ]
    check "the prompt comes first" [ "$(head -c 9 "$folder/out")" = "the whale" ]
    cp "$folder/out" "$folder/text"
    must 1 generate "$inputs/run" --prompt "the whale" --tokens 40
    check "the same seed, the same text" cmp "$folder/out" "$folder/text"
    must 1 generate "$inputs/run" --prompt "the whale" --tokens 40 --seed 2
    check "another seed, another text" [ "$(cmp -s "$folder/out" "$folder/text"; echo $?)" = 1 ]
    must 1 generate "$inputs/run" --prompt --help --tokens 1
    check "a value may look like an option" [ "$(head -c 6 "$folder/out")" = "--help" ]
    must 1 generate "$inputs/run" --prompt=--help --help
    check "help beside a value" grep -q "^palimpsest generate" "$folder/out"
    must 1 generate "$inputs/run" --prompt-file "$inputs/text/train/101.txt" --tokens 5
    check "a prompt longer than window and memory" [ "$(wc -c <"$folder/out")" = 705 ]

    must 1 inspect "$inputs/run"
    check "inspect: weights with shape and norm" \
        grep -qE '^/weights/layers/01/compression/conv +\(32, 8\) +float32 +1024 +[0-9.]+' \
        "$folder/out"
    check "inspect: the configuration" says "compression_rate = 4"
    must 1 inspect "$inputs/data.h5" --documents
    check "inspect: documents" grep -qE '^301 +203 ' "$folder/out"
}

quickstart() {
    mkdir -p books/train
    echo text >books/train/1.txt
    status=0
    bash "$sources/jobs/quickstart.sh" books >"$folder/out" 2>"$folder/err" || status=$?
    check "quickstart without test books ends at once" [ "$status" = 64 ]
    check "quickstart says what is missing" grep -q "no books .*/books/test/" "$folder/err"
    check "quickstart begins nothing" [ ! -s "$folder/out" ]

    local numbers
    echo '{"bits_per_byte": 2.25, "word_perplexity": null}' >figures
    eval "$(sed -n '/^json_number() {/,/^}/p' "$sources/jobs/quickstart.sh")"
    numbers=$(json_number bits_per_byte figures why; echo; json_number word_perplexity figures why)
    check "figures of quickstart" [ "$numbers" = $'2.250\nnone: why' ]
    rm -r books figures
}

# A run that diverges, and weights that are no numbers.
not_a_number() {
    run 1 train "$inputs/tiny.ini" --run nan --set train.updates=60 --set train.warmup=1 \
        --set train.lr_peak=100 --set train.lr_end=100 \
        --set train.weight_decay=1
    check "a run diverges" [ "$status" = 70 ]
    check "what is no number is nan" grep -q "nan" "$folder/err"
    check "and never -nan" [ -z "$(grep -e -nan "$folder/err" "$folder/out")" ]
    rm -rf nan
}

# Every configuration in configs/ is a right one: what is missing is its text.
configurations() {
    local config
    for config in "$sources"/configs/*.ini; do
        on=1 refused 66 "no-text.h5" "No such file" -- train "$config" --run configs-run \
            --set data.path=no-text.h5
    done
    rm -rf configs-run
}

prepare_inputs
help
version
help_config
run_folder
step_lines
progress_bar
out_of_time
evaluate_and_generate
quickstart
not_a_number
configurations
finish
