# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What every batch script needs first: the clone, the site's environment, and how ranks are started.
# Sourced by the *.sbatch scripts, which SLURM runs as copies somewhere else.
# After job.sh. Sets $palimpsest and $launcher.

# give_up STATUS WHY...: the job cannot work. Scripts that have a run folder have one of their own.
if ! declare -F give_up >/dev/null; then
    give_up() {
        echo "${*:2}" >&2
        exit "$1"
    }
fi

# shellcheck source=site.sh
source "$clone/jobs/site.sh" ||
    give_up 78 "$site: cannot be read, is no shell script, or ends the shell; see the job's log"
palimpsest=${palimpsest:-$clone/build/palimpsest}
if [ ! -x "$palimpsest" ]; then
    give_up 66 "$palimpsest: is not there; build it, or name it in $site"
fi

# SLURM 22 and earlier do not tell a job when it ends.
if [ -z "${SLURM_JOB_END_TIME:-}" ]; then
    job_end=$(SLURM_TIME_FORMAT=standard squeue --noheader --jobs="$job" --format=%e 2>/dev/null)
    if [ -n "$job_end" ] && job_end=$(date --date="$job_end" +%s 2>/dev/null); then
        export SLURM_JOB_END_TIME=$job_end
    fi
fi

# srun does not take over the job's number by itself since SLURM 22.05.
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
    export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
fi

# ROMIO has been seen to write HDF5 files on every file system; Open MPI's own MPI-IO has not.
if [ -z "${OMPI_MCA_io:-}" ] && command -v ompi_info >/dev/null; then
    romio=$(ompi_info --parsable 2>/dev/null | sed -n 's/^mca:io:\(romio[0-9]*\):.*/\1/p' | head -n 1)
    if [ -n "$romio" ]; then
        export OMPI_MCA_io=$romio
    fi
fi
# Many cluster file systems have no locks; the program keeps other writers away by itself.
export HDF5_USE_FILE_LOCKING=${HDF5_USE_FILE_LOCKING:-FALSE}

mpi_plugin=${mpi_plugin:-pmix}
if ! srun --mpi=list 2>&1 | tr -s ' \t' '\n' | grep -qx "$mpi_plugin"; then
    srun --mpi=list >&2
    give_up 69 "srun has no --mpi=$mpi_plugin; choose mpi_plugin in $site from what it lists"
fi
# All ranks end with the first that fails.
launcher=(srun "--mpi=$mpi_plugin" --kill-on-bad-exit=1)
