# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Starting the program by srun, and hearing what it says; sourced by train.sbatch.

# end_stuck_launcher PROCESS ERRORS: when a rank has ended badly srun ends the others, and for those
# on a node that does not answer it would wait to the end of the job.
end_stuck_launcher() {
    until grep -aqE '^srun: error: [^:]*: tasks? [^:]*: ' "$2"; do
        sleep 1
        kill -0 "$1" 2>/dev/null || return
    done
    for _ in {1..60}; do
        sleep 1
        kill -0 "$1" 2>/dev/null || return
    done
    kill -KILL "$1"
}

# start COMMAND...: the command, its messages also kept for `judge`. Sets $status, $message, and
# $launched: whether srun could start it at all.
# Signals that the shell traps interrupt only the waiting.
start() {
    local errors process
    errors=$(mktemp)
    "$@" 2>"$errors" &
    process=$!
    tail --pid=$process --lines=+1 --follow "$errors" >&2 &
    end_stuck_launcher $process "$errors" 2>/dev/null &
    status=0
    wait $process || status=$?
    while kill -0 $process 2>/dev/null; do
        status=0
        wait $process || status=$?
    done
    message=$(grep -aE '^(palimpsest|watchdog): ' "$errors" | head -n 1)
    message=${message:-$(grep -aE '^(srun|slurmstepd)[: ]' "$errors" | head -n 1)}
    message=${message:-no message}
    launched=true
    if grep -aqE '^srun: .*(launch failed|before step completely launched)' "$errors"; then
        launched=false
    fi
    rm -f "$errors"
}
