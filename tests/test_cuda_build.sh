#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What can be said of the CUDA device without a GPU: its sources compile for each architecture
# without a warning, no kernel spills registers, and the program starts where no GPU can be used and
# says so. Skipped without nvcc.
#
#   tests/test_cuda_build.sh build/palimpsest [NVCC, if that program has the CUDA device]
with_cuda=${2:-}
nvcc=${with_cuda:-$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)}
if [ -z "$nvcc" ]; then
    echo "skipped: no nvcc in PATH or /usr/local/cuda"
    exit 77
fi
set -- "$1"
source "$(dirname "$0")/support.sh"

architectures='80 90'

# Kernels that may spill: name, architecture, most bytes. This one lacks eleven registers, in a tile
# of 64 slots, since it makes do v^T before the logits, while keys are on their way.
may_spill='
backward_queries<__nv_bfloat16, 128> sm_80 96
'

# ---- compiling -----------------------------------------------------------------------------------

# compile SOURCE: the assembler's report goes to a file of its name; what is wrong to .wrong.
compile() {
    local name options=() architecture
    name=$(basename "$1")
    for architecture in $architectures; do
        options+=(-gencode "arch=compute_$architecture,code=sm_$architecture")
    done
    "$nvcc" -fatbin -std=c++20 -I "$sources" "${options[@]}" -Xptxas -v -Werror all-warnings \
        -DPAL_CUDA_LIBRARY_DIR='""' "$1" -o "$work/$name.fatbin" >"$work/$name.report" 2>&1 ||
        cp "$work/$name.report" "$work/$name.wrong"
}

compile_all() {
    local source
    export nvcc sources work architectures
    export -f compile
    # The longest first, so that none is left alone at the end.
    ls -S "$sources"/src/tensor/cuda/*.cu |
        xargs -P "$(nproc)" -I '{}' bash -c 'compile "$1"' compile '{}'
    for source in "$sources"/src/tensor/cuda/*.cu; do
        check "$(basename "$source") compiles without a warning" \
            [ ! -e "$work/$(basename "$source").wrong" ]
    done
    cat "$work"/*.wrong 2>/dev/null | grep -v '^ptxas info' | head -n 40
}

# Lines "architecture|registers|shared|spill|stack|name" from the reports. Functions that are not
# inlined into kernels have no registers of their own.
resources() {
    awk '
    function give() {
        if (name != "")
            printf "%s|%s|%d|%d|%d|%s\n", architecture, registers, shared, spill, stack, name
        name = ""
    }
    function number_before(what) {
        return match($0, "[0-9]+ bytes " what) ? substr($0, RSTART) + 0 : 0
    }
    /Compiling entry function/ { give(); split($0, part, "\047"); architecture = part[4] }
    /Function properties for/ {
        give()
        name = $NF
        registers = "-"
        shared = spill = stack = 0
    }
    /bytes stack frame/ {
        stack = number_before("stack frame")
        spill = number_before("spill stores") + number_before("spill loads")
    }
    /Used [0-9]+ registers/ {
        match($0, /Used [0-9]+/)
        registers = substr($0, RSTART + 5, RLENGTH - 5)
        shared = number_before("smem")
    }
    END { give() }' "$work"/*.report | c++filt -p | sed 's/|void /|/'
}

# "static": shared memory that a kernel itself declares. What it is given at a launch depends on the
# call; tests/gpu/README.md has it for attention.
print_table() {
    printf '%-50s %-6s %9s %7s %6s %6s\n' kernel arch registers static spills stack
    sort -t'|' -k6,6 -k1,1 "$work/resources" |
        awk -F'|' '{ printf "%-50s %-6s %9s %7d %6d %6d\n", $6, $1, $2, $3, $4, $5 }'
}

# The kernels that spill more than they may.
spilling() {
    MAY=$may_spill awk -F'|' '
    BEGIN {
        lines = split(ENVIRON["MAY"], line, "\n")
        for (i = 1; i <= lines; i++)
            if (match(line[i], / sm_[0-9]+ /))
                most[substr(line[i], 1, RSTART - 1), substr(line[i], RSTART + 1, RLENGTH - 2)] = \
                    substr(line[i], RSTART + RLENGTH) + 0
    }
    $4 > most[$6, $1] + 0 { print $6 " on " $1 ": " $4 " bytes" }' "$work/resources"
}

kernels_are_sound() {
    compile_all
    resources >"$work/resources"
    print_table
    local kernels
    kernels=$(grep -c '|[0-9]*|' "$work/resources")
    check "there are kernels ($kernels)" [ "$kernels" -ge 20 ]
    check "no kernel spills beyond the list: $(spilling)" [ -z "$(spilling)" ]
    rm -f "$work"/*.fatbin "$work"/*.report "$work"/*.wrong
}

# ---- the program ---------------------------------------------------------------------------------

# cuda_is_refused WORDS...
cuda_is_refused() {
    local words=("$@")
    run 1 train "$inputs/tiny.ini" --run refused --set device.name=cuda
    ended 69 "1 rank" "device.name = cuda"
}

program_starts_without_gpu() {
    local reason="there is no NVIDIA driver"
    if [ -e /proc/driver/nvidia/version ]; then
        reason="no GPU"
    fi
    cuda_is_refused "$reason" "set device.name = cpu"
    must 1 train "$inputs/tiny.ini" --run auto --set device.name=auto
    file_says auto/log.txt "no GPU is used: $reason" "device: cpu (auto: no GPU can be used)"
    must 1 train "$inputs/tiny.ini" --run cpu --set device.name=cpu
    file_says cpu/log.txt "device: cpu (as asked)"
    local needed
    needed=$(ldd "$palimpsest" | grep -iE 'cuda|cublas|nvidia')
    check "no library of CUDA is needed to start: $needed" [ -z "$needed" ]
}

program_has_no_cuda() {
    cuda_is_refused "was built without CUDA" "-DPALIMPSEST_CUDA=ON" "device.name = cpu"
    must 1 train "$inputs/tiny.ini" --run auto
    file_says auto/log.txt "device: cpu (auto: this build has no other)"
}

export CUDA_VISIBLE_DEVICES= # where there are GPUs
prepare_inputs
kernels_are_sound
if [ -n "$with_cuda" ]; then
    program_starts_without_gpu
else
    program_has_no_cuda
fi
finish
