#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A training as a chain of jobs, where jobs cannot be requeued or do not run long enough: each link
# goes on where the one before has stopped, one at a time. The link that finishes the training, or
# finds that it is doomed (RUN/stopped.txt), cancels all links of its run folder that wait. Where a
# chain of this run folder is in the queue, the new links come behind its own.
#
#   jobs/chain.sh [--links=N] [--dry-run] [options of sbatch --] CONFIG.ini [options of train]
#   jobs/chain.sh --links=20 --nodes=4 --time=12:00:00 -- configs/quickstart.ini --run runs/long
set -euo pipefail

usage() {
    sed -n '4,/^set /s/^# \{0,1\}//p' "$clone/jobs/chain.sh" | sed '$d'
}

clone=$(realpath "$(dirname "$0")/..")
cd "$clone"
# shellcheck source=site.sh
source jobs/site.sh || exit 78
# shellcheck source=arguments.sh
source jobs/arguments.sh
# shellcheck source=policy.sh
source jobs/policy.sh

links=10
dry=
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --links=*) links=${1#--links=} ;;
        --dry-run) dry="echo" ;;
        --help | -h)
            usage
            exit 0
            ;;
        --requeue | --dep* | -d* | --job-name* | -J* | --array* | -a* | --wrap* | --chdir* | -D*)
            echo "chain: $1: the links of a chain have one name, wait for each other, are not" \
                "requeued, and run jobs/train.sbatch here" >&2
            exit 64
            ;;
        --)
            shift
            break
            ;;
        -*) options+=("$1") ;;
        *) break ;;
    esac
    shift
done
if ! [[ $links =~ ^[1-9][0-9]{0,3}$ ]]; then
    echo "chain: --links=$links: expected a number from 1 to 9999" >&2
    exit 64
elif [ $# = 0 ]; then
    usage >&2
    exit 64
fi
config=$1
if [ ! -r "$config" ]; then
    echo "chain: $config: cannot be read (paths are from $clone; values of options follow a =," \
        "as in --links=3)" >&2
    exit 66
fi

run=$(run_folder "$@")
resume=$(each_option resume "$@" | tail -n 1)
if [[ -n $resume && $resume != auto ]] && ! is_own "$resume" "$run" &&
    [ "$(newest_step "$run")" -ge 0 ]; then
    echo "chain: $run holds a run already, and --resume $resume is none of its checkpoints; leave it" \
        "out to go on with that run, or give another folder with --run" >&2
    exit 64
fi

# One name for all links of a run folder, by which SLURM runs them one after another, and which
# those of no other folder have.
place=$(realpath -m -- "$run" | cksum | cut -d ' ' -f 1)
name=palimpsest-chain-$(basename -- "$run" | tr -c 'A-Za-z0-9._\n-' _)-$place
if [ -z "$dry" ]; then
    queued=$(squeue --noheader --name="$name" --me --format=%i)
    if [ -z "$queued" ]; then
        rm -f "$run/stopped.txt" "$run/failures.txt"
    elif was_doomed_by "$run" "$name"; then
        echo "chain: the chain of $run stops, see $run/stopped.txt, but links of it are still in" \
            "the queue; try again when they have ended, or end them: scancel --name=$name" >&2
        exit 75
    fi
fi
export PALIMPSEST_CLONE=$clone
arguments=("$@")
for ((link = 1; link <= links; link++)); do
    $dry sbatch ${options[@]+"${options[@]}"} --job-name="$name" --dependency=singleton --no-requeue \
        jobs/train.sbatch "${arguments[@]}"
    # The next one goes on from what this one has saved.
    if [ -n "$resume" ] && is_own "$resume" "$run"; then
        without_resume
    fi
done
echo "chain of $links links, run folder $run; to end it: scancel --name=$name"
