# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What becomes of a run whose program has ended; sourced by the scripts that start it.
#
#   status of the program          verdict
#   0                              done       when the last update has a checkpoint: srun has been
#                                             seen to end so when it could not start the program
#   64 65 76 78  the input         doomed     it would end the same way again
#   73  the run folder is          doomed     and the folder is left as it is
#       another job's
#   75  stopped as asked           again      the next start goes on from the checkpoint
#   all others                     again
#                                  doomed     after jobs.max_failures in a row without a newer
#                                             checkpoint, also of status 75
#
# In the run folder: failures.txt counts those in a row, stopped.txt says why a run is doomed.

# run_folder ARGUMENTS of `palimpsest train`...: as the program chooses it.
run_folder() {
    local config='' folder=''
    while [ $# -gt 0 ]; do
        case $1 in
            --run) folder=${2:-} && shift ;;
            --run=*) folder=${1#--run=} ;;
            --set | --resume) shift ;;
            -*) ;;
            *) config=${config:-$1} ;;
        esac
        shift
    done
    config=${config##*/}
    echo "${folder:-runs/${config%.ini}}"
}

# newest_step RUN: the update of its newest checkpoint; -1: it has none.
newest_step() {
    local newest
    newest=$(find "$1/checkpoints" -maxdepth 1 -name 'step-*.h5' -printf '%f\n' 2>/dev/null |
        sort | tail -n 1)
    newest=${newest#step-}
    newest=${newest%.h5}
    echo $((10#${newest:-0} - (${#newest} == 0)))
}

# configured RUN KEY DEFAULT: a whole number of the run's configuration, once it has one.
configured() {
    local found
    found=$(sed -n "s/^$2 *= *\([0-9]*\).*/\1/p" "$1/config.ini" 2>/dev/null)
    echo "${found:-$3}"
}

# is_finished RUN: its last update has a checkpoint.
is_finished() {
    [ "$(newest_step "$1")" -ge "$(configured "$1" updates 1)" ]
}

# doom RUN WHY...: for good.
doom() {
    local run=$1
    shift
    mkdir -p "$run"
    printf '%s  %s\n' "$(date '+%F %T')" "$*" >>"$run/stopped.txt"
    echo "$(basename "$0"): $run stops for good: $*" >&2
}

# judge RUN STATUS MESSAGE: prints done, again or doomed, and keeps the books.
judge() {
    local run=$1 status=$2 message=$3 step failures=0 last=-2
    if [ "$status" = 0 ] && ! is_finished "$run"; then
        message="the launcher says that all is well, but the training has not come to its end"
        status=1
    fi
    case $status in
        0)
            rm -f "$run/failures.txt"
            echo "done"
            return
            ;;
        64 | 65 | 76 | 78)
            doom "$run" "status $status: $message"
            echo doomed
            return
            ;;
        73)
            echo "$(basename "$0"): status $status: $message" >&2
            echo doomed
            return
            ;;
    esac
    step=$(newest_step "$run")
    if [ -f "$run/failures.txt" ]; then
        read -r failures last <"$run/failures.txt"
    fi
    failures=$((step > ${last:--2} ? 1 : ${failures:-0} + 1))
    if ! { mkdir -p "$run" && echo "$failures $step" >"$run/failures.txt"; }; then
        doom "$run" "status $status: $message; and $run/failures.txt cannot be written"
        echo doomed
    elif [ "$failures" -lt "$(configured "$run" max_failures 3)" ]; then
        echo again
    else
        doom "$run" "$failures starts in a row without a checkpoint after update $step (-1: none);" \
            "the last one had status $status: $message"
        rm -f "$run/failures.txt"
        echo doomed
    fi
}

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
    message=$(grep -aE '^(palimpsest|watchdog|srun|slurmstepd)[: ]' "$errors" | head -n 1)
    message=${message:-no message}
    launched=true
    if grep -aqE '^srun: .*(launch failed|before step completely launched)' "$errors"; then
        launched=false
    fi
    rm -f "$errors"
}
