#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What can be said of tests/gpu without a GPU: run.sh ends where there is none, bench_kernels runs on
# the emulated device, and with stand-ins for the driver and the tools run.sh goes from its first line
# to its table.
#
#   tests/test_gpu_script.sh build/tests/palimpsest_unchecked build/tests/bench_kernels_emulated
bench=$(realpath "$2")
set -- "$1"
source "$(dirname "$0")/support.sh"
script=$sources/tests/gpu/run.sh

# script_ends STATUS ARGUMENTS...: output as of `run`.
script_ends() {
    local expected=$1
    shift
    status=0
    timeout 300 bash "$script" "$@" >"$folder/out" 2>"$folder/err" </dev/null || status=$?
    check "run.sh $*: status $status, expected $expected" [ "$status" = "$expected" ]
}

# ---- without a GPU -------------------------------------------------------------------------------

says_that_there_is_no_gpu() {
    CUDA_VISIBLE_DEVICES='' script_ends 69 --build nothing
    check "one message of the GPU" [ "$(grep -c '^run.sh: no GPU: ' "$folder/err")" = 1 ]
    check "nothing is built" [ ! -e nothing ]
    script_ends 0 --help
    file_says "$folder/out" '--build DIR' '--only STEP' compute-sanitizer 'Exit status'
    script_ends 64 --only everything
    file_says "$folder/err" "not 'everything'"
    script_ends 64 --rows 0
    script_ends 64 --rows 4097
    script_ends 64 --build
}

# ---- the kernels ---------------------------------------------------------------------------------

times_the_kernels() {
    check "bench_kernels ends well in bfloat16" "$bench" --sizes tiny --runs 1 --type bfloat16 \
        >halves 2>"$folder/err"
    check "bench_kernels ends well" "$bench" --sizes tiny --runs 1 >lines 2>"$folder/err"
    check "the same kernels in both types" [ "$(cut -f2 halves)" = "$(cut -f2 lines)" ]
    check "a line for every kernel" [ "$(wc -l <lines)" -ge 30 ]
    # shellcheck disable=SC2016
    check "sizes, kernel, six columns; nothing is instantaneous" awk -F'\t' '
        NF != 8 || $1 != "tiny" || !($3 > 0) || !($4 > 0) || $5 !~ /^[0-9.]+$/ { print; bad = 1 }
        END { exit bad }' lines
    file_says lines 'yardstick: copy' 'yardstick: product' 'attention forward' \
        'attention backward, keys' 'layer norm backward' 'cross entropy' adam
    check "operations of the paper's sizes" "$bench" --work >work
    # shellcheck disable=SC2016
    check "forward: three products of all visible pairs, in both models" awk -F'\t' '
        function forward(rows, window, slots, width) {
            return 3 * 2 * width * rows * (window * slots + window * (window + 1) / 2)
        }
        $2 == "attention forward" { found[$1] = $4 }
        END {
            exit !(found["pg19"] == forward(8, 512, 1024, 1024) &&
                   found["enwik8"] == forward(8, 768, 1920, 1024))
        }' work
}

# ---- the script, with stand-ins ------------------------------------------------------------------

# stand_in FILE LINE...: a script.
stand_in() {
    mkdir -p "$(dirname "$1")"
    printf '%s\n' '#!/usr/bin/env bash' "${@:2}" >"$1"
    chmod +x "$1"
}

make_stand_ins() {
    # shellcheck disable=SC2016
    stand_in tools/compute-sanitizer \
        'while [ "${1#-}" != "$1" ]; do case $1 in --tool | --*code | --report* | --print*) shift ;; esac; shift; done' \
        'exec "$@"'
    stand_in tools/nvidia-smi 'echo "stand-in, 9.0, 4096 MiB, 0, Default"'
    stand_in tools/cmake 'exit 0'
    stand_in tools/python3 'exit 0'
    # shellcheck disable=SC2016
    stand_in made/tests/test_cuda_ops_gpu 'exit ${OPS_STATUS:-0}'
    stand_in made/tests/test_cuda_attention_gpu 'exit 0'
    # What it has printed before: it is slow.
    stand_in made/tests/bench_kernels "case \$* in *bfloat16*) cat $PWD/halves ;; *) cat $PWD/lines ;; esac"
    local sets=(batch.rows=1 model.layers=1 model.width=8 model.heads=2 model.feed_forward=8
        model.window=8 model.memory=8 model.compressed_memory=8)
    stand_in made/palimpsest "exec $palimpsest \"\$@\" ${sets[*]/#/--set }"
    export PATH=$PWD/tools:$PATH CUDACXX=/bin/true
    unset CUDA_VISIBLE_DEVICES
}

goes_to_its_table() {
    script_ends 0 --build made
    cp "$folder/out" whole
    file_says whole 'GPU: stand-in' 'test_cuda_ops ' 'test_cuda_training ' \
        'racecheck test_cuda_attention ' 'tiny, attention forward ' 'tiny, adam ' \
        'tiny bfloat16, attention forward ' 'bench float32, update' 'bench bfloat16, update' \
        'bench float32, attention backward ' 'bench float32, norms, residuals, dropout ' \
        'bound by' '0 failed'
    check "the table is in a file" [ "$(grep -vc '^==' made/gpu/report.txt)" -ge 40 ]
    OPS_STATUS=1 script_ends 1 --build made --only tests
    check "a failed test is in the table" grep -qE 'test_cuda_ops +FAILED: status 1' "$folder/out"
    check "no other step is" [ "$(grep -c '^bench ' "$folder/out")" = 0 ]
    OPS_STATUS=77 script_ends 1 --build made --only sanitizer
    check "one that skips itself has failed" grep -qE 'memcheck test_cuda_ops +FAILED: skipped' \
        "$folder/out"
    stand_in tools/nvidia-smi 'echo "old, 7.0, 4096 MiB, 0, Default"'
    script_ends 69 --build made
    file_says "$folder/err" 'compute capability' 8.0
    stand_in tools/nvidia-smi 'echo "small, 8.6, 24576 MiB, 0, Default"'
    script_ends 69 --build made
    file_says "$folder/err" 'small (compute capability 8.6)' '163 KiB'
    stand_in tools/nvidia-smi 'echo "No devices were found"; exit 6'
    script_ends 69 --build made
    file_says "$folder/err" 'no GPU: nvidia-smi finds none' 'No devices were found'
}

says_that_there_is_no_gpu
times_the_kernels
make_stand_ins
goes_to_its_table
finish
