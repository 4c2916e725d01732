# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The end of a start of train.sbatch: the verdict of policy.sh, and what follows for the job and the
# other links of its chain.
#
# Reads $run, $most, $chain (true: a link), $step_before (the newest checkpoint when the program was
# started), and $status and $message of the program, or in its place. Sets $asked_to_stop: SLURM's
# signal has come, `take` being the trap.

asked_to_stop=false
requeued=false
taken=false
concluded=false
verdict=

# note_end_of_chain: nobody goes on after this link. Where SLURM does not answer there may be more.
note_end_of_chain() {
    local waiting
    waiting=$(waiting_links) || return
    if [ -z "$waiting" ]; then
        note "$run" "job $SLURM_JOB_ID" "the chain has no link left; jobs/chain.sh goes on from the" \
            "checkpoint of update $(newest_step "$run")"
    fi
}

# come_back: in another start, or by the next link.
come_back() {
    if [ "$chain" = true ]; then
        note_end_of_chain
    elif requeue; then
        requeued=true
    else
        doom "$run" "the job cannot be requeued; submit it again, or use jobs/chain.sh where jobs" \
            "cannot be requeued; it goes on from the checkpoint of update $(newest_step "$run")"
    fi
}

# conclude: the verdict on this start, and what follows; once, whoever comes first. From here on no
# signal to all processes of the job ends what is being done.
conclude() {
    trap '' TERM
    [ "$concluded" = false ] || return 0
    concluded=true
    verdict=$(judge "$run" "$status" "$message" "$most" "$step_before")
    echo "== status $status: $verdict"
    case $verdict in
        done | doomed) [ "$chain" = false ] || cancel_waiting_links ;;
        again) come_back ;;
        busy)
            # One that is preempted has not had its time to wait.
            if [ "$asked_to_stop" = true ] && [ "$chain" = false ]; then
                requeue || echo "== it cannot be requeued; submit it again"
            fi
            ;;
    esac
}

# leave: when all is done that `conclude` has decided.
leave() {
    case $verdict in
        done) exit 0 ;;
        doomed) exit 1 ;;
        busy) exit 72 ;;
    esac
    trap 'exit 75' TERM
    if [ "$requeued" = true ]; then
        pause 60 # until SLURM ends this start of the job
    elif [ "$chain" = true ] && [ "$status" != 75 ]; then
        pause 30 # what is left of the failed start may need time to end
    fi
    exit 75
}

# end_start: whether SLURM takes the job is always asked: the signal may come after the program's
# end, or to the script alone (--signal=B:TERM).
end_start() {
    know_job
    if [ "$concluded" = false ] && { [ "$taken" = true ] || is_taken "$(says_of_job)"; }; then
        trap '' TERM
        echo "== taken away by SLURM; status $status"
        [ "$chain" = false ] || note_end_of_chain
        exit 75
    fi
    conclude
    leave
}

# take: SLURM's signal before it takes the nodes away. What becomes of a job whose time is up is
# decided here, also where the program has not ended yet: the script is killed soon.
take() {
    local said
    know_job
    said=$(says_of_job)
    if is_taken "$said"; then
        taken=true
    elif is_late "$said"; then
        echo "== the time limit has come"
        at_time_limit
        conclude
    fi
    asked_to_stop=true
}
