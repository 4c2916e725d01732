# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What becomes of a run whose program has ended; sourced by the scripts that start it.
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
# doomed. In the run folder: failures.txt counts those in a row, stopped.txt says why a run is doomed.

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
    found=$(sed -n "s/^ *$2 *= *\([0-9][0-9]*\).*/\1/p" "$1" 2>/dev/null | tail -n 1)
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

# count_failures FAILURES RUN STEP: whole or not at all.
count_failures() {
    mkdir -p "$2" && echo "$1 $3" >"$2/failures.txt.part" &&
        mv "$2/failures.txt.part" "$2/failures.txt"
} 2>/dev/null

# was_doomed_by RUN NAME: by a job of this name.
was_doomed_by() { grep -qsF -- " ($2): " "$1/stopped.txt"; }

# judge RUN STATUS MESSAGE MOST BEGAN_AT: prints done, again, busy or doomed, and keeps the books.
# MOST: failures in a row; BEGAN_AT: the newest step when this start began. No signal ends it.
judge() (
    trap '' TERM
    run=$1 status=$2 message=$3 most=$4 began_at=$5
    if [ "$status" = 0 ] && ! is_finished "$run"; then
        message="the launcher says that all is well, but the training has not come to its end"
        status=1
    fi
    case $status in
        0)
            rm -f "$run/failures.txt" "$run/stopped.txt"
            echo "done"
            exit
            ;;
        72)
            echo "train.sbatch: $run is left alone: $message" >&2
            echo busy
            exit
            ;;
        64 | 65 | 76 | 78)
            doom "$run" "status $status: $message"
            echo doomed
            exit
            ;;
    esac
    step=$(newest_step "$run")
    read -r failures last < <(grep -sxE '[0-9]+ -?[0-9]+' "$run/failures.txt")
    failures=$((${failures:-0} + 1))
    # Another, not a later one: after a rewind the newest is an older one.
    if [ "$step" -ne "${last:-$began_at}" ]; then
        failures=0
    fi
    # Where nothing can be noted, as on a full disk, each start before this one counts as a failure.
    if ! count_failures "$failures" "$run" "$step"; then
        echo "train.sbatch: $run/failures.txt cannot be written" >&2
        rm -f "$run/failures.txt.part"
        failures=0
        [ "$step" -ne "$began_at" ] || failures=$((${SLURM_RESTART_COUNT:-0} + 1))
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
)
