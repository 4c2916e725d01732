#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds for this machine's GPU, tests the CUDA device on it, and times it.
#
#   tests/gpu/run.sh [--build DIR] [--only STEP] [--rows N]
#
#   --build DIR   where to build (default: build/gpu)
#   --only STEP   of the steps below one alone, after the build
#   --rows N      rows of the batch in kernels and bench (default: 8); fewer need less memory
#
# Steps:
#   tests      the kernels against the CPU device and the definition of attention; whole trainings
#   sanitizer  compute-sanitizer (memcheck, racecheck, initcheck, synccheck) over the kernels' tests
#   kernels    the kernels of a training beside their rooflines, at the sizes of PG-19 and Enwik8
#   bench      updates of a model of PG-19's size against the GPU's own product rate
# The last two in float32 and in bfloat16.
#
# One table at the end; it is also in DIR/gpu/report.txt, and what the programs printed beside it.
# Exit status: 0; 1 when anything failed; 64 for wrong use; 69 where there is no GPU, or no tool.
set -uo pipefail
export LC_ALL=C CUDA_DEVICE_ORDER=PCI_BUS_ID

sources=$(realpath "$(dirname "$0")/../..")
build=$sources/build/gpu
only=
rows=8
types='float32 bfloat16'
missing=0

usage() { sed -n '5,/^# Exit status/s/^# \{0,1\}//p' "$0"; }

wrong_use() {
    printf 'run.sh: %s\n\n' "$1" >&2
    usage >&2
    exit 64
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --build | --only | --rows)
            [ $# -ge 2 ] || wrong_use "$1 needs a value"
            case $1 in
                --build) build=$(realpath -m "$2") ;;
                --only) only=$2 ;;
                --rows) rows=$2 ;;
            esac
            shift 2
            ;;
        *) wrong_use "unknown argument '$1'" ;;
    esac
done
case $only in
    '' | tests | sanitizer | kernels | bench) ;;
    *) wrong_use "--only takes tests, sanitizer, kernels or bench, not '$only'" ;;
esac
[[ $rows =~ ^[1-9][0-9]{0,3}$ ]] && [ "$rows" -le 4096 ] ||
    wrong_use "--rows takes a number from 1 to 4096, not '$rows'"

wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }

# ---- what is needed ------------------------------------------------------------------------------

lacks() {
    printf 'run.sh: %s\n' "$*" >&2
    missing=1
}

# find_tool NAME FOLDER...: in PATH or one of the folders.
find_tool() {
    local name=$1 folder
    shift
    command -v "$name" && return
    for folder in "$@"; do
        [ -x "$folder/$name" ] && echo "$folder/$name" && return
    done
    return 1
}

# The GPU that the programs take: the first that they see.
find_gpu() {
    if ! command -v nvidia-smi >/dev/null; then
        lacks "no GPU: there is no nvidia-smi in PATH, which comes with NVIDIA's driver (Debian:" \
            "nvidia-driver and nvidia-smi); on a cluster start on a node with a GPU (SLURM:" \
            "srun --gpus-per-node=1 $0)"
        return
    fi
    if [ "${CUDA_VISIBLE_DEVICES-unset}" = "" ]; then
        lacks "no GPU: CUDA_VISIBLE_DEVICES is empty, which hides all; unset it, or ask the launcher" \
            "for one (SLURM: --gpus-per-node=1)"
        return
    fi
    local first=${CUDA_VISIBLE_DEVICES:-0} line
    line=$(nvidia-smi -i "${first%%,*}" --format=csv,noheader \
        --query-gpu=name,compute_cap,memory.total,driver_version,compute_mode 2>&1) || {
        lacks "no GPU: nvidia-smi finds none numbered ${first%%,*}: $(head -n 1 <<<"$line");" \
            "ask the launcher for one (SLURM: --gpus-per-node=1)"
        return
    }
    IFS=, read -r gpu capability memory driver mode <<<"$(head -n 1 <<<"$line" | sed 's/, */,/g')"
    if ! [[ $capability =~ ^[0-9]+\.[0-9]$ ]] || [ "${capability%.*}" -lt 8 ]; then
        lacks "no GPU that can be used: $gpu has compute capability '$capability', expected 8.0" \
            "(A100) or newer; choose another by CUDA_VISIBLE_DEVICES"
    elif [[ $capability =~ ^(8\.[69]|12\..)$ ]]; then
        lacks "no GPU that can be used: $gpu (compute capability $capability) has less than the 163" \
            "KiB of shared memory for a block of threads that attention needs (8.0, 9.0 and 10.0 have" \
            "it: A100, H100, B200); choose another by CUDA_VISIBLE_DEVICES"
    fi
    if [ "$mode" = Exclusive_Process ]; then
        lacks "$gpu lets one process in at a time, and the tests start several ranks on it:" \
            "sudo nvidia-smi -c DEFAULT"
    fi
}

check_needs() {
    local home=${CUDA_HOME:-${CUDA_PATH:-/usr/local/cuda}} nvcc
    find_gpu
    nvcc=${CUDACXX:-$(find_tool nvcc "$home/bin" /usr/local/cuda/bin)} ||
        lacks "no nvcc in CUDACXX, PATH, $home/bin or /usr/local/cuda/bin: install the CUDA toolkit," \
            "12.0 or newer (Debian: cuda-toolkit of NVIDIA's repository), or load its module"
    export CUDACXX=$nvcc
    command -v cmake >/dev/null ||
        lacks "no cmake in PATH: install it, 3.21 or newer (Debian: cmake)"
    command -v mpirun >/dev/null ||
        lacks "no mpirun in PATH: install an MPI (Debian: openmpi-bin libopenmpi-dev) or load its module"
    if wanted sanitizer; then
        sanitizer=$(find_tool compute-sanitizer "$(dirname "$nvcc")" "$home/bin" \
            "$home/compute-sanitizer") ||
            lacks "no compute-sanitizer in PATH, beside nvcc or in $home/compute-sanitizer: install" \
                "it (Debian: cuda-sanitizer of NVIDIA's repository), or leave it out (--only tests)"
    fi
    if wanted tests; then
        for python in "$(command -v python3)" /usr/bin/python3; do
            "$python" -c 'import numpy, h5py' 2>/dev/null && break
            python=
        done
        [ -n "$python" ] ||
            lacks "no python3 in PATH that has numpy and h5py: install them (Debian: python3-numpy python3-h5py)"
    fi
    [ $missing = 0 ] || exit 69
}

# ---- results -------------------------------------------------------------------------------------

# record WHAT RESULT [MS ROOFLINE SHARE BOUND]
record() {
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "${3:--}" "${4:--}" "${5:--}" "${6:--}" >>"$out/results"
}

# attempt NAME SECONDS COMMAND...: what it prints goes to NAME.txt. Skipping is failing here.
attempt() {
    local name=$1 seconds=$2 log status=0 start=$SECONDS
    shift 2
    log=$out/${name//[^A-Za-z0-9]/_}.txt
    printf '== %s\n' "$name"
    timeout --kill-after=10 "$seconds" "$@" >"$log" 2>&1 </dev/null || status=$?
    attempted=$((SECONDS - start))
    [ $status = 0 ] && return
    tail -n 15 "$log" | cut -c 1-200 | sed 's/^/    /'
    case $status in
        77) record "$name" "FAILED: skipped itself" ;;
        124 | 137) record "$name" "FAILED: not done in $seconds s" ;;
        *) record "$name" "FAILED: status $status" ;;
    esac
    return 1
}

# must_pass NAME SECONDS COMMAND...
must_pass() { attempt "$@" && record "$1" "passed, $attempted s"; }

# ---- steps ---------------------------------------------------------------------------------------

build_all() {
    local options=(-DCMAKE_BUILD_TYPE=Release -DPALIMPSEST_CUDA=ON -DPALIMPSEST_TESTS=ON
        "-DCMAKE_CUDA_ARCHITECTURES=${capability/./}")
    attempt configure 600 cmake -S "$sources" -B "$build" "${options[@]}" &&
        attempt build 3000 cmake --build "$build" --parallel "$(nproc)" \
            --target palimpsest bench_kernels test_cuda_ops_gpu test_cuda_attention_gpu
}

run_tests() {
    must_pass test_cuda_ops 900 "$build/tests/test_cuda_ops_gpu"
    PALIMPSEST_TEST_CASES=60 must_pass test_cuda_attention 900 "$build/tests/test_cuda_attention_gpu"
    local direct=0
    if ompi_info --parsable --all 2>/dev/null | grep -q mpi_built_with_cuda_support:value:true; then
        direct=1
    fi
    PALIMPSEST_TEST_DIRECT=$direct must_pass test_cuda_training 1800 \
        "$python" "$sources/tests/test_cuda_training.py" "$build/palimpsest" "$build/palimpsest"
}

# Small cases: racecheck makes kernels some hundred times slower. Calls that fail are not reported,
# since tests ask for memory that is not there; the device checks every call itself.
run_sanitizer() {
    local tool name
    export PALIMPSEST_TEST_SEED=1 PALIMPSEST_TEST_CASES=0
    for tool in memcheck racecheck initcheck synccheck; do
        for name in test_cuda_ops test_cuda_attention; do
            must_pass "$tool $name" 2400 "$sanitizer" --tool "$tool" --error-exitcode 99 \
                --report-api-errors no --print-limit 20 "$build/tests/${name}_gpu"
        done
    done
    unset PALIMPSEST_TEST_SEED PALIMPSEST_TEST_CASES
}

# Lines of bench_kernels into the table.
record_kernels() {
    local type=$2 sizes name ms roofline share bound gigabytes gigaflops
    while IFS=$'\t' read -r sizes name ms roofline share bound gigabytes gigaflops; do
        [ "$type" = float32 ] || sizes="$sizes $type"
        case $name in
            yardstick:\ copy) record "$sizes, $name" "$gigabytes GB/s" "$ms" ;;
            yardstick:\ product) record "$sizes, $name" "$gigaflops GFLOP/s" "$ms" ;;
            *)
                case $bound in
                    memory) record "$sizes, $name" "$gigabytes GB/s" "$ms" "$roofline" "$share" "$bound" ;;
                    products) record "$sizes, $name" "$gigaflops GFLOP/s" "$ms" "$roofline" "$share" "$bound" ;;
                    *) record "$sizes, $name" "left out: $ms" ;;
                esac
                ;;
        esac
    done < <(grep -P '^[a-z0-9]+\t' "$1")
}

run_kernels() {
    local type
    for type in $types; do
        attempt "kernels $type" 1200 "$build/tests/bench_kernels" --rows "$rows" --type "$type" ||
            continue
        record_kernels "$out/kernels_$type.txt" "$type"
    done
}

# product_rate TYPE: the rate of products that everything is compared with, in GFLOP/s; measured anew
# where the kernels have not been timed.
product_rate() {
    local from=$out/kernels_$1.txt
    if ! grep -qs 'yardstick: product' "$from"; then
        from=$out/yardsticks_$1.txt
        attempt "yardsticks $1" 300 "$build/tests/bench_kernels" --sizes pg19 --yardsticks \
            --type "$1" >/dev/null
    fi
    awk -F'\t' '$2 == "yardstick: product" { print $8; exit }' "$from"
}

# run_bench TYPE
run_bench() {
    local rate label="bench $1"
    rate=$(product_rate "$1")
    [[ $rate =~ ^[0-9.]+$ ]] || { record "$label" "FAILED: no product rate"; return; }
    attempt "$label" 1200 "$build/palimpsest" bench "$sources/tests/gpu/pg19.ini" --updates 5 \
        --set "batch.rows=$rows" --set "train.type=$1" || return
    # Phases (name, ms, share of the update, GFLOP, GFLOP/s, ...), and the two lines of the update.
    local what result ms share bound
    while IFS=$'\t' read -r what result ms share bound; do
        record "$label, $what" "$result" "$ms" - "$share" "$bound"
    done < <(awk -v rate="$rate" '
        /^phase / { phases = 1; next }
        /^update: / { phases = 0; ms = $2; tokens = $5 }
        phases && match($0, / +[0-9.]+ +[0-9.]+% /) {
            name = substr($0, 1, RSTART - 1)
            $0 = substr($0, RSTART)
            if ($3 == "-") printf "%s\t-\t%s\t-\t-\n", name, $1
            else printf "%s\t%.1f GFLOP/s\t%s\t%.3f\tproducts\n", name, $4, $1, $4 / rate
        }
        /^rate: / {
            printf "update, %s tokens/s\t%.1f GFLOP/s\t%s\t%.3f\tproducts\n", tokens, $2, ms, $2 / rate
            found = 1
        }
        END { exit !found }' "$out/bench_$1.txt")
    grep -q "^$label, update" "$out/results" ||
        record "$label" "FAILED: no line 'rate:' in bench_$1.txt"
}

# ---- the table -----------------------------------------------------------------------------------

print_report() {
    printf 'GPU: %s, %s, compute capability %s, driver %s\n' "$gpu" "$memory" "$capability" "$driver"
    printf 'program: %s, %s rows, %s\n\n' \
        "$(git -C "$sources" describe --always --dirty 2>/dev/null || echo 'of no repository')" \
        "$rows" "$(date -u +%Y-%m-%dT%H:%MZ)"
    awk -F'\t' '
        BEGIN {
            form = "%-58s %-24s %10s %10s %6s  %s\n"
            printf form, "what", "result", "ms", "roofline", "share", "bound by"
        }
        { printf form, $1, $2, $3, $4, $5, $6 }' "$out/results"
    printf '\nshare: roofline / time; of bench, its products over the rate of the large product\n'
    printf '%d failed\n' "$failed"
}

check_needs
out=$build/gpu
mkdir -p "$out" || exit 73
rm -f "$out"/*.txt "$out/results"
: >"$out/results"
if build_all; then
    wanted tests && run_tests
    wanted sanitizer && run_sanitizer
    wanted kernels && run_kernels
    wanted bench && for type in $types; do run_bench "$type"; done
fi
failed=$(grep -cP '\tFAILED' "$out/results")
echo
print_report | tee "$out/report.txt"
[ "$failed" = 0 ]
