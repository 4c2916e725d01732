#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tables of README.md: what attention's kernels have to do at the paper's sizes, and what they take
# of an SM. Needs nvcc and a build with the CUDA device, but no GPU.
#
#   tests/gpu/roofline.sh BUILD
#
# Operations and bytes are those of bench_kernels, shared memory and blocks what the sources ask for
# at a launch (attention_launches.cu), registers and spills what ptxas reports.
set -euo pipefail
if [ $# != 1 ] || [ ! -e "$1/CMakeCache.txt" ]; then
    sed -n '4,/^set /s/^# \{0,1\}//p' "$0" | sed '$d' >&2
    exit 64
fi
build=$(realpath "$1")
cd "$(dirname "$0")/../.."
nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
[ -x "$nvcc" ] || { echo "roofline.sh: $build was built without nvcc" >&2; exit 69; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --build "$build" --target bench_kernels attention_launches >"$work/build" 2>&1 ||
    { tail -n 20 "$work/build" >&2; exit 70; }
for source in src/tensor/cuda/attention_*.cu; do
    "$nvcc" -std=c++20 -O3 -I. -Xptxas -v -gencode arch=compute_80,code=sm_80 \
        -gencode arch=compute_90,code=sm_90 -fatbin -o "$work/fatbin" "$source" 2>>"$work/ptxas"
done

# "architecture, function, head size, registers, bytes of spills" of the kernels for a C++ type.
resources_of() {
    awk '
    /Compiling entry function/ { split($0, part, "\047"); architecture = part[4] }
    /Function properties for/ { name = $NF }
    /spill stores/ { match($0, /[0-9]+ bytes spill stores/); spills = substr($0, RSTART) + 0 }
    /Used [0-9]+ registers/ {
        match($0, /Used [0-9]+/)
        print architecture, name, substr($0, RSTART + 5, RLENGTH - 5), spills
    }' "$work/ptxas" | c++filt -p |
        sed -n "s/^\(sm_[0-9]*\) \(void \)\{0,1\}\([a-z_]*\)<$1, \([0-9]*\)> /\1\t\3\t\4\t/p" |
        tr ' ' '\t'
}

# shellcheck disable=SC2016
print_tables() {
    awk -F'\t' '
    function least(a, b) { return a < b ? a : b }
    function ceiling(x, step) { return step * int((x + step - 1) / step) }
    # Blocks that an SM has room for: registers are given to warps by 256, a scheduler has 16384;
    # shared memory by 128 bytes, and 1024 more for each block. `limit`: what there is no more of.
    function blocks_of_sm(arch, regs, warps, bytes,    by_registers, by_shared, found) {
        by_registers = int(4 * int(16384 / ceiling(regs * 32, 256)) / warps)
        by_shared = int(1024 * (arch == "sm_80" ? 164 : 228) / ceiling(bytes + 1024, 128))
        found = least(least(by_registers, by_shared), least(32, int(64 / warps)))
        limit = found == by_shared ? "shared memory" : found == by_registers ? "registers" : "warps"
        return found
    }
    function print_occupancy(key, arch,    part, at, warps, n, why) {
        split(key, part, FS)
        at = arch SUBSEP function_of[key] SUBSEP size[key]
        if (!(at in registers)) {
            print "roofline.sh: ptxas says nothing of " function_of[key] " for " arch >"/dev/stderr"
            exit 1
        }
        warps = threads[key] / 32
        n = blocks_of_sm(arch, registers[at], warps, shared[key])
        why = limit
        if (n * warps < 4) why = why "; " 4 - n * warps " of 4 idle"
        if (fewest[key] < n * (arch == "sm_80" ? 108 : 132)) why = why "; few blocks"
        printf "| %s | %s | %s | %d | %.0f | %s | %d | %d | %d x %d | %s |\n", part[1],
            function_of[key], blocks[key], warps, shared[key] / 1024, arch, registers[at],
            spills[at], n, warps, why
    }

    FILENAME ~ /resources$/ { registers[$1, $2, $3] = $4; spills[$1, $2, $3] = $5; next }
    FILENAME ~ /work$/ {
        if ($2 !~ /^attention/) next
        order[++rows] = $1 FS $2
        bytes[rows] = $3
        operations[rows] = $4
        next
    }
    $6 == 256 { next } # the sums of do * o and of the biases: small
    {
        key = $1 FS $2
        if (!(key in blocks)) { blocks[key] = $5; fewest[key] = $5; function_of[key] = $3 }
        else { blocks[key] = blocks[key] " + " $5; fewest[key] = least(fewest[key], $5) }
        if (function_of[key] != $3) several[key] = 1
        size[key] = $4
        threads[key] = $6
        shared[key] = $7
    }
    END {
        print "| sizes | kernel | GFLOP | MB | FLOP/byte |\n|---|---|---|---|---|"
        for (i = 1; i <= rows; i++) {
            split(order[i], part, FS)
            printf "| %s | %s | %.1f | %.0f | %.0f |\n", part[1], part[2], operations[i] / 1e9,
                bytes[i] / 1e6, operations[i] / bytes[i]
        }
        print "\n| sizes | function | blocks | warps | shared KiB | for | registers | spills |" \
            " on an SM | limited by |"
        print "|---|---|---|---|---|---|---|---|---|---|"
        for (i = 1; i <= rows; i++) {
            if (order[i] in several) continue # backward as a whole
            print_occupancy(order[i], "sm_80")
            print_occupancy(order[i], "sm_90")
        }
    }' "$work/resources" "$work/work" "$work/launches"
}

for type in float32 bfloat16; do
    element=float
    [ $type = float32 ] || element=__nv_bfloat16
    resources_of $element >"$work/resources"
    "$build/tests/bench_kernels" --work --type $type >"$work/work"
    "$build/tests/attention_launches" $type >"$work/launches"
    printf '%s\n\n' "$type"
    print_tables
    echo
done
