#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Several runs on one node that write checkpoints of the same names through MPI-IO: those that were
# killed leave nothing that others wait for, those that go on at the same time do not disturb each
# other.
#
#   tests/test_neighbours.sh build/palimpsest [MPIRUN...]
source "$(dirname "$0")/support.sh"

# train NAME TRANSFER [RUN]: on two ranks, with a checkpoint after every update; its status will be
# in NAME.status.
train() {
    mkdir "$folder/sockets-$1" # see the end of CMakeLists.txt
    write_config "$1.ini" "$inputs/data.h5" train.updates=12 checkpoint.every=1 \
        checkpoint.async=false "checkpoint.transfer=$2"
    local status=0
    OMPI_MCA_orte_tmpdir_base=$folder/sockets-$1 timeout --kill-after=5 "$longest_seconds" \
        "${launcher[@]}" -n 2 "$palimpsest" train "$1.ini" --run "${3:-$1}" \
        >"$1.log" 2>&1 </dev/null || status=$?
    echo $status >"$1.status"
}

ended_well() {
    checks=$((checks + 1))
    [ "$(cat "$1.status")" = 0 ] || bad "$1: status $(cat "$1.status"): $(tail -n 3 "$1.log")"
}

prepare_inputs

# What a run that was killed at the wrong moment leaves: a semaphore, here at 0, which Open MPI's
# MPI-IO names by the file that it guards (see choose_file_pointers in mpi/grid.c).
left=/dev/shm/sem.OMPIO_step-00000007.h5.part
if [ -d /dev/shm ] && [ ! -e $left ]; then
    head -c 32 /dev/zero >$left
    train after_a_kill collective
    rm -f $left
    ended_well after_a_kill
else
    skip "what a killed run leaves: no /dev/shm, or it is there already"
fi

# Names of files that Open MPI makes of the checkpoint's had overrun its memory.
run=$work/$(printf 'a%.0s' {1..120})/$(printf 'b%.0s' {1..120})
train long_name collective "$run"
ended_well long_name

for transfer in collective independent; do
    train "first_$transfer" $transfer &
    train "second_$transfer" $transfer
    wait
    ended_well "first_$transfer"
    ended_well "second_$transfer"
    check "$transfer: checkpoints and nothing else" \
        [ -z "$(find "first_$transfer/checkpoints" -type f ! -name 'step-????????.h5')" ]
    check "$transfer: the same losses" \
        cmp <(losses "first_$transfer") <(losses "second_$transfer")
done
finish
