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

# with_status FILE COMMAND...: the command; its status is in the file at the end, where that has room.
# SLURM's signals may come to this shell too.
with_status() {
    local status=0
    trap : TERM
    "${@:2}" || status=$?
    echo $status >"$1"
    return $status
}

# message_of ERRORS: what the program has said first; of the watchdog's reports the last, which
# names who is to blame; else what srun said. With SLURM_LABELIO lines begin with a rank.
message_of() {
    local label='^( *[0-9]+: )?' message
    message=$(grep -aE "${label}palimpsest: " "$1" | head -n 1)
    message=${message:-$(grep -aE "${label}watchdog: " "$1" | tail -n 1)}
    message=${message:-$(grep -aE '^(srun|slurmstepd)[: ]' "$1" | head -n 1)}
    echo "${message:-no message}"
}

started_at= # $SECONDS when the command was started that runs now

# hear_end: of a command that has ended. Sets $status, $message, and $launched: whether srun could
# start it at all.
hear_end() {
    status=$(cat "$ended")
    status=${status:-$waited}
    message=$(message_of "$errors")
    launched=true
    if grep -aqE '^srun: .*(launch failed|before step completely launched)' "$errors"; then
        launched=false
    fi
    started_at=
}

# start COMMAND...: until `hear_end`. Its messages go on to the log.
# Signals that the shell traps interrupt the waiting, after which Bash's `wait` does not always know
# how a process has ended that did so at the same moment.
start() {
    local process waited=137
    if ! errors=$(mktemp) || ! ended=$(mktemp); then
        status=73
        message="${TMPDIR:-/tmp} takes no temporary file on $(hostname)"
        launched=true
        return
    fi
    started_at=$SECONDS
    with_status "$ended" "$@" 2>"$errors" &
    process=$!
    (trap '' TERM && exec tail --pid=$process --lines=+1 --follow "$errors" >&2) &
    end_stuck_launcher $process "$errors" 2>/dev/null &
    while kill -0 $process 2>/dev/null; do
        wait $process
        waited=$?
    done
    # Bash's `wait` ends with 128 and more also where the signal was its own.
    [ "$waited" -lt 128 ] || waited=137
    hear_end
    rm -f "$errors" "$ended"
}

# at_time_limit: sets $status and $message to what it makes of the command; of one that tries again
# to get the run folder, and may not have looked yet, to those of the try before.
at_time_limit() {
    if [ -z "$started_at" ]; then
        return
    elif [ -s "$ended" ]; then
        hear_end
    elif [ "$status" != 72 ] || [ $((SECONDS - started_at)) -ge 60 ]; then
        status=71
        message="the time limit came before training had stopped"
    fi
}
