# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What becomes of a run whose program has ended; sourced by the scripts that start it. `judge` needs
# job.sh too.
#
#   status of the program          verdict
#   0                              done       when the last update has a checkpoint: srun has been
#                                             seen to end so when it could not start the program
#   64 65 76 78  the input         doomed     it would end the same way again
#   72  another job's ranks        busy       the folder, which is theirs, is left as it is
#       write into the run folder
#   75  stopped as asked           again      the next start goes on from the checkpoint
#   all others                     again
#
# After jobs.max_failures in a row that have brought no other checkpoint (of status 75 too) a run is
# doomed. In the run folder: failures.txt counts those in a row of a job or chain, stopped.txt says why
# a run is doomed.

# newest_step RUN: the update of its newest checkpoint; -1: it has none.
newest_step() {
    local newest
    newest=$(find "$1/checkpoints/" -maxdepth 1 -printf '%f\n' 2>/dev/null |
        sed -nE 's/^step-([0-9]+)\.h5$/\1/p' | sort -n | tail -n 1)
    if [ -n "$newest" ]; then
        echo $((10#$newest))
    else
        echo -1
    fi
}

# configured FILE KEY DEFAULT: a whole number of a configuration file, where it has one.
configured() {
    local found
    found=$(sed -nE "s/^[[:space:]]*$2[[:space:]]*=[[:space:]]*([0-9]+).*/\1/p" "$1" 2>/dev/null | tail -n 1)
    echo "${found:-$3}"
}

# is_finished RUN: its last update has a checkpoint.
is_finished() {
    [ "$(newest_step "$1")" -ge "$(configured "$1/config.ini" updates 1)" ]
}

# note RUN WHO WHY...: why nobody goes on with this run.
note() {
    local file=$1/stopped.txt
    echo "train.sbatch: $1 stops: ${*:3}" >&2
    if ! { mkdir -p "$1" && printf '%s  %s: %s\n' "$(date '+%F %T')" "$2" "${*:3}" >>"$file"; } \
        2>/dev/null; then
        echo "train.sbatch: $file cannot be written" >&2
        [ -s "$file" ] || rm -f "$file"
    fi
}

# doom RUN WHY...: no start of this job, or of its chain, goes on.
doom() { note "$1" "job $SLURM_JOB_ID ($SLURM_JOB_NAME)" "${@:2}"; }

# count_failures RUN FAILURES STEP WHOSE: whole or not at all.
count_failures() {
    mkdir -p "$1" && echo "${*:2}" >"$1/failures.txt.part" &&
        mv "$1/failures.txt.part" "$1/failures.txt"
} 2>/dev/null

# was_doomed_by RUN NAME: by a job of this name.
was_doomed_by() { grep -qsF -- " ($2): " "$1/stopped.txt"; }

# judge RUN STATUS MESSAGE MOST STEP_BEFORE: prints done, again, busy or doomed, and keeps the books.
# MOST: failures in a row; STEP_BEFORE: the newest step when the program was started.
judge() {
    local run=$1 status=$2 message=$3 most=$4 step_before=$5 step whose=$job failures last
    if [ "$status" = 0 ] && ! is_finished "$run"; then
        message="the launcher says that all is well, but the training has not come to its end: $message"
        status=1
    fi
    case $status in
        0)
            rm -f "$run/failures.txt" "$run/stopped.txt"
            echo "done"
            return
            ;;
        72)
            echo "train.sbatch: $run is left alone: $message" >&2
            echo busy
            return
            ;;
        64 | 65 | 76 | 78)
            doom "$run" "status $status: $message"
            echo doomed
            return
            ;;
    esac
    step=$(newest_step "$run")
    ! is_link || whose=$SLURM_JOB_NAME
    read -r failures last _ < <(grep -sxE -- "[0-9]+ -?[0-9]+ $whose" "$run/failures.txt")
    # Another step, not a later one: after a rewind the newest is an older one.
    if [ "$step" -ne "$step_before" ]; then
        failures=0
    elif [ "$step" -ne "${last:-$step}" ]; then
        failures=1
    else
        failures=$((${failures:-0} + 1))
    fi
    # Where nothing can be noted, as on a full disk, each start before this one counts as a failure.
    if ! count_failures "$run" "$failures" "$step" "$whose"; then
        echo "train.sbatch: $run/failures.txt cannot be written" >&2
        rm -f "$run/failures.txt.part"
        [ "$failures" = 0 ] || failures=$((restarts + 1))
    fi
    if [ "$failures" -lt "$most" ]; then
        rm -f "$run/stopped.txt"
        echo again
    else
        doom "$run" "$failures starts in a row without a checkpoint after update $step (-1: none);" \
            "the last one had status $status: $message"
        rm -f "$run/failures.txt"
        echo doomed
    fi
}
