# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Starting the program by srun, and hearing what it says; sourced by train.sbatch.

# end_stuck_launcher PROCESS ERRORS: when a rank has ended badly srun, a child of this process, ends
# the others, and for those on a node that does not answer it would wait to the end of the job.
end_stuck_launcher() {
    trap '' TERM
    until grep -aqE '^srun: error: [^:]*: tasks? [^:]*: ' "$2"; do
        sleep 1
        kill -0 "$1" 2>/dev/null || return
    done
    for _ in {1..60}; do
        sleep 1
        kill -0 "$1" 2>/dev/null || return
    done
    pkill -KILL -P "$1"
}

# with_status FILE COMMAND...: the command; its status is in the file at the end. SLURM's signals
# may come to this shell too.
with_status() {
    trap : TERM
    "${@:2}"
    echo $? >"$1"
}

# message_of ERRORS: what the program has said first; of the watchdog's reports the last, which
# names who is to blame; else what srun said.
message_of() {
    local message
    message=$(grep -aE '^palimpsest: ' "$1" | head -n 1)
    message=${message:-$(grep -aE '^watchdog: ' "$1" | tail -n 1)}
    message=${message:-$(grep -aE '^(srun|slurmstepd)[: ]' "$1" | head -n 1)}
    echo "${message:-no message}"
}

began= # when the command was started that runs now, in $SECONDS

# start COMMAND...: the command, its messages also kept for `judge`. Sets $status, $message, and
# $launched: whether srun could start it at all.
# Signals that the shell traps interrupt the waiting, after which Bash's `wait` does not always know
# how a process has ended that did so at the same moment.
start() {
    local errors ended process
    began=$SECONDS
    errors=$(mktemp)
    ended=$(mktemp)
    with_status "$ended" "$@" 2>"$errors" &
    process=$!
    (trap '' TERM && exec tail --pid=$process --lines=+1 --follow "$errors" >&2) &
    end_stuck_launcher $process "$errors" 2>/dev/null &
    while kill -0 $process 2>/dev/null; do
        wait $process
    done
    status=$(cat "$ended")
    status=${status:-137} # even that was killed
    message=$(message_of "$errors")
    began=
    launched=true
    if grep -aqE '^srun: .*(launch failed|before step completely launched)' "$errors"; then
        launched=false
    fi
    rm -f "$errors" "$ended"
}

# at_time_limit: sets $status and $message to what it makes of the command; of one that tries again
# to get the run folder, and may not have looked yet, to those of the try before.
at_time_limit() {
    if [ -z "$began" ] || { [ "$status" = 72 ] && [ $((SECONDS - began)) -lt 60 ]; }; then
        return
    fi
    status=71
    message="the time limit came before training had stopped"
}
