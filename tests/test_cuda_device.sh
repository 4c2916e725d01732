#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Which device is taken, what the log says about it, and what happens where there is no GPU, an
# unfit one, one too few, or none for one of the ranks. The GPUs are those of the emulation
# (cuda_emulation/README.md).
#
#   tests/test_cuda_device.sh build/tests/palimpsest_emulated [MPIRUN...]
source "$(dirname "$0")/support.sh"
program=$palimpsest

train() { # RANKS RUN SETTINGS...: must succeed
    local ranks=$1 name=$2
    shift 2
    must "$ranks" train "$inputs/tiny.ini" --run "$name" "$@"
}

# with ASSIGNMENTS... -- COMMAND...: the command, under these variables.
with() {
    local names=()
    while [ "$1" != -- ]; do
        export "${1?}"
        names+=("${1%%=*}")
        shift
    done
    shift
    "$@"
    unset "${names[@]}"
}

# Rank 1, and it alone, runs under these variables.
only_rank_1_has() {
    printf '%s\n' '#!/bin/sh' \
        "[ \"\${OMPI_COMM_WORLD_RANK:-\${PMIX_RANK:-0}}\" = 1 ] && export $*" \
        "exec '$program' \"\$@\"" >"$folder/unequal"
    chmod +x "$folder/unequal"
    palimpsest=$folder/unequal
}
ranks_are_equal() { palimpsest=$program; }

# ends_with STATUS WORDS... -- SETTINGS...: a training on $on ranks, with a message that has the words.
ends_with() {
    local expected=$1 words ranks
    shift
    take_words "$@"
    shift $((${#words[@]} + 1))
    for ranks in ${on:-1}; do
        run "$ranks" train "$inputs/tiny.ini" --run ended "$@"
        ended "$expected" "$ranks ranks" "$@"
    done
}

# no_gpu WORDS... -- ASSIGNMENTS...: with a device asked for it is an error; auto goes on.
no_gpu() {
    local words ranks name=auto-$checks
    take_words "$@"
    shift $((${#words[@]} + 1))
    with on=2 "$@" -- ends_with 69 "rank 0 on $(hostname): " "${words[@]}" \
        "set device.name = cpu" -- --set device.name=cuda
    with "$@" -- train 2 "$name"
    file_says "$name/log.txt" "no GPU is used: rank 0 on $(hostname)" "${words[@]}" \
        "device: cpu (auto: no GPU can be used), 2 ranks x 1 thread"
}

takes_the_gpu() {
    train 1 auto
    file_says auto/log.txt "device: cuda (auto), 1 rank x 1 GPU: emulated GPU, 4.0 GiB" \
        "of it on the GPU: weights" "scratch of operations"
    train 1 asked --set device.name=cuda
    file_says asked/log.txt "device: cuda (as asked), 1 rank x 1 GPU: emulated GPU"
    train 1 cpu --set device.name=cpu
    file_says cpu/log.txt "device: cpu (as asked), 1 rank x 1 thread" "scratch of operations"
    check "nothing is on a GPU then" eval '! grep -qi gpu cpu/log.txt'
    must 1 evaluate auto/checkpoints --data "$inputs/data.h5" --split test
    check "evaluate takes the GPU" grep -q '^device: cuda (auto)' "$folder/out"
    must 1 generate auto/checkpoints --prompt "the whale" --tokens 5
}

where_there_is_none() {
    with CUDA_EMULATION_DEVICES=nodriver -- ends_with 69 "there is no NVIDIA driver" \
        "set device.name = cpu" -- --set device.name=cuda
    no_gpu "there is no NVIDIA driver" -- CUDA_EMULATION_DEVICES=nodriver
    no_gpu "the NVIDIA driver is there, but no GPU;" -- CUDA_EMULATION_DEVICES=0
    no_gpu "no GPU (CUDA_VISIBLE_DEVICES is \"7\")" -- CUDA_EMULATION_DEVICES=0 \
        CUDA_VISIBLE_DEVICES=7
    no_gpu "compute capability 7.0; palimpsest needs 8.0" -- CUDA_EMULATION_CAPABILITY=7.0
    no_gpu "99 KiB of shared memory" "attention needs 163" -- CUDA_EMULATION_CAPABILITY=8.9
    no_gpu "no code for (cudaErrorNoKernelImageForDevice)" "-DCMAKE_CUDA_ARCHITECTURES" -- \
        CUDA_EMULATION_CAPABILITY=8.0 CUDA_EMULATION_CODE=90
    no_gpu "cannot be used: CUDA-capable device(s) is/are busy" -- CUDA_EMULATION_BUSY=1
    no_gpu "the GPU is full" "32 MiB" -- CUDA_EMULATION_MEMORY=30000000
}

several_ranks() {
    with CUDA_EMULATION_DEVICES=2 -- train 2 two
    file_says two/log.txt "device: cuda (auto), 2 ranks x 1 GPU: emulated GPU, 4.0 GiB"
    check "each has its own" eval '! grep -q "share one GPU" two/log.txt "$folder/err"'
    train 2 shared
    file_says shared/log.txt "device: cuda (auto), 2 ranks on 1 GPU: emulated GPU"
    check "sharing is warned about" \
        grep -q "2 ranks of $(hostname) share one GPU (emulated GPU" "$folder/out" "$folder/err"
    with CUDA_EMULATION_DEVICES=2 -- train 3 three --set batch.rows=3
    file_says three/log.txt "3 ranks on 2 GPUs: emulated GPU"

    only_rank_1_has CUDA_EMULATION_MEMORY=2147483648
    with CUDA_EMULATION_DEVICES=2 -- train 2 unlike
    file_says unlike/log.txt "2 ranks x 1 GPU, not all alike, the first: emulated GPU, 4.0 GiB"
    only_rank_1_has CUDA_EMULATION_DEVICES=0
    train 2 one-without
    file_says one-without/log.txt "no GPU is used: rank 1 on $(hostname): the NVIDIA driver is" \
        "device: cpu (auto: no GPU can be used), 2 ranks x 1 thread"
    on=2 ends_with 69 "rank 1 on $(hostname): " "no GPU" -- --set device.name=cuda
    ranks_are_equal
}

# Room for the library of products, not for the model; then for all but one rank's.
out_of_memory() {
    local larger=(--set model.width=512 --set model.heads=8 --set model.feed_forward=2048)
    local message=("out of memory on the cuda device" "bytes are missing for" "the run needs"
        "0.056 GiB of the GPU were free at the start" "try more ranks")
    with on="1 2" CUDA_EMULATION_MEMORY=60000000 -- ends_with 69 "${message[@]}" -- "${larger[@]}"
    only_rank_1_has CUDA_EMULATION_MEMORY=60000000
    on=2 ends_with 69 "${message[@]}" -- "${larger[@]}"
    ranks_are_equal

    # Not for all of what operations have for themselves, which is taken last.
    train 1 fits
    local needed
    needed=$(sed -n 's/.* \([0-9.]*\) of it on the GPU: .*/\1/p' fits/log.txt)
    with CUDA_EMULATION_MEMORY="$(awk "BEGIN { print int(($needed - 0.2) * 1048576) }")" -- \
        ends_with 69 "bytes are missing for scratch of operations; the run needs" --
    check "what it needs is what it takes" awk '
        /^memory per rank/ { taken = $4 / 1024 }
        match($0, /the run needs [0-9.]+/) { needs = substr($0, RSTART + 14, RLENGTH - 14) }
        END { exit !(needs > 0.97 * taken && needs < 1.03 * taken) }' fits/log.txt "$folder/err"
}

# The emulation computes when somebody waits, so without exact phases the time would be where the
# losses are read.
phase() { sed -n "s/^$1  *\([0-9.]*\) .*/\1/p" "$folder/out"; }
bench_is_exact() {
    must 1 bench "$inputs/tiny.ini" --updates 3
    local exact sum
    exact=$(sed -n 's/^phases are of updates .*: \([0-9.]*\) ms each (median)$/\1/p' "$folder/out")
    sum=$(awk '/^phase  /{on=1; next} /^phases/{on=0} on {sum += substr($0, 27) + 0}
        END {print sum + 0}' "$folder/out")
    check "the update of the phases is printed" [ -n "$exact" ]
    check "phases ($sum ms) make up their update ($exact ms)" \
        awk -v sum="$sum" -v all="${exact:-0}" 'BEGIN { exit !(sum > 0.5 * all && sum < 1.6 * all) }'
    check "kernels are in their phases" awk -v forward="$(phase 'attention forward')" \
        -v backward="$(phase 'attention backward')" -v all="${exact:-0}" \
        'BEGIN { exit !(forward > 0.02 * all && backward > 0.04 * all) }'
}

heads_too_wide() {
    on=2 ends_with 78 "heads of up to 128 channels, here they have 256" "set more heads" -- \
        --set model.width=512 --set model.heads=2
    train 1 wide --set model.width=512 --set model.heads=2 --set device.name=cpu
}

prepare_inputs
takes_the_gpu
where_there_is_none
several_ranks
out_of_memory
heads_too_wide
bench_is_exact
finish
