#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds with warnings as errors and runs every test, then once more under the address and
# undefined-behaviour sanitizers.
#
#   jobs/run-tests.sh              release suite, then sanitizer suite
#   jobs/run-tests.sh --quick      release suite without the tests labelled `slow`
#   jobs/run-tests.sh --sanitize   sanitizer suite only
#
# The last line is `N passed, N failed, N skipped`; the status is 0 if none failed. A test that is
# still running, or waiting, when its suite's time is up counts as failed.
# PALIMPSEST_TESTS_TORCH=0 leaves PyTorch away, PALIMPSEST_TESTS_SLURM=0 SLURM (whose daemons Debian
# starts where it installs them); the tests that need them are then skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

release_seconds=2300
sanitizer_seconds=2600

passed=0
failed=0
skipped=0

usage() {
    sed -n '3,/^set /s/^# \{0,1\}//p' "$0" | sed '$d'
}

# What the tests need of the machine: Open MPI as root and with more ranks than cores, ranks not
# tied to one core, idle threads that sleep. Open MPI 4 reads OMPI_, Open MPI 5 PRTE_.
prepare_environment() {
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
    export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
    export PRTE_MCA_hwloc_default_binding_policy=none
    export OMP_WAIT_POLICY=passive
    # The slow unwinder sees through the C library to the library that asked for the memory.
    local leaks=$PWD/jobs/leaks-of-libraries.txt
    export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:fast_unwind_on_malloc=0}
    export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$leaks:print_suppressions=0}
    export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
}

install_packages() {
    jobs/install-packages.sh build tests
    if ! (jobs/install-packages.sh plots); then
        echo "run-tests: going on without gnuplot; pictures of reports are then not looked at"
    fi
    if [ "${PALIMPSEST_TESTS_TORCH:-1}" != 0 ] && ! (jobs/install-packages.sh torch); then
        echo "run-tests: going on without PyTorch; the tests that need it are skipped"
    fi
    if [ "${PALIMPSEST_TESTS_SLURM:-1}" != 0 ] && ! (jobs/install-packages.sh slurm); then
        echo "run-tests: going on without SLURM; the tests that need it are skipped"
    fi
}

# The Python that has most of what the tests import: a python3 that comes first in PATH (pyenv,
# conda) may not be the one that the packages are for.
best_python() {
    local modules python
    for modules in "numpy, h5py, torch" "numpy, h5py"; do
        for python in "$(command -v python3)" /usr/bin/python3; do
            if "$python" -c "import $modules" 2>/dev/null; then
                echo "$python"
                return
            fi
        done
    done
    command -v python3
}

# suite NAME SECONDS CMAKE_OPTION... -- CTEST_OPTION...
suite() {
    local name=$1 seconds=$2 folder=build/tests-$1
    shift 2
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift

    printf '\n== %s: build in %s  (%d s since the start)\n' "$name" "$folder" "$SECONDS"
    mkdir -p "$folder"
    options+=(-DPALIMPSEST_WERROR=ON -DPALIMPSEST_TESTS=ON "-DPython3_EXECUTABLE=$(best_python)")
    if ! { cmake -B "$folder" "${options[@]}" &&
        cmake --build "$folder" --parallel "$(nproc)"; } >"$folder/build.log" 2>&1; then
        grep -nE -A 5 'error:|Error at|Error:' "$folder/build.log" | head -n 60
        printf 'run-tests: the build failed; all of its output is in %s\n' "$folder/build.log"
        failed=$((failed + 1))
        return
    fi

    printf '\n== %s: tests  (%d s since the start)\n' "$name" "$SECONDS"
    local tests=(ctest --test-dir "$folder" "$@")
    timeout "$seconds" "${tests[@]}" --output-on-failure --parallel "$(nproc)" 2>&1 |
        tee "$folder/tests.log" || true
    count "$name" "$folder/tests.log" "$("${tests[@]}" -N | sed -n 's/^Total Tests: //p')"
}

# Adds up one suite's lines `3/40 Test #3: name ....   Passed    0.01 sec`.
count() {
    local name=$1 log=$2 all=${3:-0} ended good left
    ended=$(grep -E '^ *[0-9]+/[0-9]+ Test +#[0-9]+: ' "$log" || true)
    good=$(grep -cE ' Passed +[0-9.]+ sec' <<<"$ended" || true)
    left=$(grep -cE '\*\*\*(Skipped|Not Run \(Disabled\))' <<<"$ended" || true)
    local bad=$((all - good - left))
    if [ "$all" = 0 ]; then
        echo "run-tests: the suite '$name' holds no test"
        bad=1
    elif [ "$(grep -c . <<<"$ended" || true)" -lt "$all" ]; then
        echo "run-tests: the time of the suite '$name' was up; what had not ended counts as failed"
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + left))
}

release=yes
sanitizer=yes
release_selection=()
for argument in "$@"; do
    case $argument in
        --quick)
            sanitizer=no
            release_selection=(-LE slow)
            ;;
        --sanitize) release=no ;;
        --help | -h)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 64
            ;;
    esac
done
if [ $release = no ] && [ $sanitizer = no ]; then
    echo "run-tests: --quick and --sanitize exclude each other" >&2
    exit 64
fi

install_packages
prepare_environment
if [ $release = yes ]; then
    suite release $release_seconds -DCMAKE_BUILD_TYPE=Release -- "${release_selection[@]}"
fi
if [ $sanitizer = yes ]; then
    suite sanitizer $sanitizer_seconds -DCMAKE_BUILD_TYPE=Debug -DPALIMPSEST_SANITIZE=ON --
fi

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
