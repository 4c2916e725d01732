# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What becomes of a run whose program has ended; sourced by the scripts that start it.
#
#   status of the program          verdict
#   0                              done       when the last update has a checkpoint: srun has been
#                                             seen to end so when it could not start the program
#   64 65 76 78  the input         doomed     it would end the same way again
#   72  another job's ranks        again      as often as jobs.max_failures says; the folder, which
#       write into the run folder             is theirs, is left as it is
#   75  stopped as asked           again      the next start goes on from the checkpoint
#   all others                     again
#
# After jobs.max_failures in a row that have brought no newer checkpoint (of status 75 too) a run is
# doomed. In the run folder: failures.txt counts those in a row, stopped.txt says why a run is doomed.

# newest_step RUN: the update of its newest checkpoint; -1: it has none.
newest_step() {
    local newest
    newest=$(find "$1/checkpoints" -maxdepth 1 -name 'step-*.h5' -printf '%f\n' 2>/dev/null |
        sort | tail -n 1)
    newest=${newest#step-}
    newest=${newest%.h5}
    echo $((10#${newest:-0} - (${#newest} == 0)))
}

# configured FILE KEY DEFAULT: a whole number of a configuration file, where it has one.
configured() {
    local found
    found=$(sed -n "s/^ *$2 *= *\([0-9][0-9]*\).*/\1/p" "$1" 2>/dev/null | tail -n 1)
    echo "${found:-$3}"
}

# is_finished RUN: its last update has a checkpoint.
is_finished() {
    [ "$(newest_step "$1")" -ge "$(configured "$1/config.ini" updates 1)" ]
}

# doom RUN WHY...: for good.
doom() {
    local run=$1
    shift
    mkdir -p "$run"
    printf '%s  job %s: %s\n' "$(date '+%F %T')" "${SLURM_JOB_ID:-}" "$*" >>"$run/stopped.txt"
    echo "$(basename "$0"): $run stops for good: $*" >&2
}

# count_busy RUN MOST: prints again so often for a job, then doomed. In a file of this job's own.
count_busy() {
    local file=$1/busy-${SLURM_JOB_ID:-}.txt count
    count=$(($(grep -sxE '[0-9]+' "$file" || echo 0) + 1))
    if [ "$count" -lt "$2" ] && echo "$count" >"$file"; then
        echo again
    else
        rm -f "$file"
        echo doomed
    fi
}

# judge RUN STATUS MESSAGE MOST: prints done, again or doomed, and keeps the books. MOST: failures in
# a row.
judge() {
    local run=$1 status=$2 message=$3 most=$4 step failures=0 last=-1
    if [ "$status" = 0 ] && ! is_finished "$run"; then
        message="the launcher says that all is well, but the training has not come to its end"
        status=1
    fi
    if [ "$status" = 72 ]; then
        echo "$(basename "$0"): status $status: $message" >&2
        count_busy "$run" "$most"
        return
    fi
    rm -f "$run/busy-${SLURM_JOB_ID:-}.txt"
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
    esac
    step=$(newest_step "$run")
    read -r failures last < <(grep -sxE '[0-9]+ -?[0-9]+' "$run/failures.txt")
    failures=$((${failures:-0} + 1))
    if [ "$step" -gt "${last:--1}" ]; then
        failures=$((status != 75))
    fi
    if ! { mkdir -p "$run" && echo "$failures $step" >"$run/failures.txt"; }; then
        doom "$run" "status $status: $message; and $run/failures.txt cannot be written"
        echo doomed
    elif [ "$failures" -lt "$most" ]; then
        echo again
    else
        doom "$run" "$failures starts in a row without a checkpoint after update $step (-1: none);" \
            "the last one had status $status: $message"
        rm -f "$run/failures.txt"
        echo doomed
    fi
}
