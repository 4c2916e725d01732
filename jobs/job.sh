# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# This job as SLURM knows it: its number, state, requeueing and the other links of its chain.
#
# Sets $job, the job's number, of an array its task's alone: the last task has the array's number as
# its own; and $restarts, how often SLURM has requeued it.

# know_job: from the controller, once it answers; before that from variables, which may be of the job
# that this one was submitted in, since sbatch hands them on.
known=false
know_job() {
    local record
    [ "$known" = false ] || return 0
    record=$(trap '' TERM && scontrol --oneliner show job "$SLURM_JOB_ID" 2>/dev/null |
        grep "^JobId=$SLURM_JOB_ID ")
    if [ -n "$record" ]; then
        known=true
        [[ $record == *" ArrayTaskId="* ]] || unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID
    fi
    job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
    job=${job:-$SLURM_JOB_ID}
    restarts=${SLURM_RESTART_COUNT:-0}
    if [[ $record =~ " Restarts="([0-9]+) ]]; then
        restarts=${BASH_REMATCH[1]}
    fi
    [ "$known" = true ]
}
know_job || true

# pause SECONDS: signals that the shell traps end it.
pause() {
    local sleeper
    sleep "$1" &
    sleeper=$!
    wait $sleeper || kill $sleeper 2>/dev/null
}

# What SLURM says of this job; empty when its controller does not answer, or never has.
# A signal to all processes of the job does not end the question.
says_of_job() (
    trap '' TERM
    know_job || return
    scontrol show job "$job" 2>/dev/null | grep -oE '(JobState|Reason|Requeue)=[^ ]*' | tr '\n' ' '
)

# is_late SAID: its time is up.
is_late() { [[ $1 == *Reason=TimeLimit* ]]; }

# has_nodes SAID: SLURM's names for what a job that runs may be doing at the moment.
has_nodes() {
    [[ $1 =~ JobState=(RUNNING|SUSPENDED|STOPPED|SIGNALING|RESIZING|CONFIGURING)( |$) ]]
}

# is_taken SAID: SLURM ends this start for another reason, and knows itself what becomes of the job.
is_taken() { [[ $1 == *JobState=* ]] && ! has_nodes "$1" && ! is_late "$1"; }

# requeue: fails where that is forbidden, and when SLURM's controller has been away for ten minutes.
# A job that was taken away in the meantime stays as SLURM wants it.
requeue() {
    local said refusals=0
    [ "${may_requeue:-true}" = true ] || return
    for _ in {1..120}; do
        know_job
        said=$(says_of_job)
        if is_taken "$said"; then
            echo "== taken away by SLURM, not requeued"
            return 0
        fi
        case $said in
            *Requeue=0*) return 1 ;;
            *JobState=*)
                ! scontrol requeue "$job" || return 0
                refusals=$((refusals + 1))
                [ $refusals -lt 3 ] || return 1
                ;;
        esac
        pause 5
    done
    return 1
}

# ---- chains --------------------------------------------------------------------------------------

# is_link: the links of a chain have its name, also where they get none of its variables.
is_link() { [[ $SLURM_JOB_NAME == palimpsest-chain-* ]]; }

# waiting_links: the numbers of those after this one; fails where SLURM does not answer.
waiting_links() {
    squeue --noheader --states=PENDING --name="$SLURM_JOB_NAME" --me --format=%i
}

cancel_waiting_links() {
    scancel --quiet --state=PENDING --name="$SLURM_JOB_NAME" --me
}
