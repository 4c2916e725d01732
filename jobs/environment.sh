# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The one file to edit for your cluster. The job scripts read it on the first node of a job. Source
# it in your shell too, then sbatch knows your account and partition:
#
#   source jobs/environment.sh && sbatch jobs/train.sbatch configs/quickstart.ini

# Who pays, and where to run. sbatch's own options (--account, --partition, --nodes, ...) go first.
#export SBATCH_ACCOUNT=my-project
#export SBATCH_PARTITION=main

# Compiler, MPI, parallel HDF5: what the program was built with (jobs/install-packages.sh lists it).
#module load openmpi hdf5 onednn openblas

# The program, when it is not build/palimpsest of this clone.
#palimpsest=/shared/bin/palimpsest

# How SLURM and your MPI library find each other; `srun --mpi=list` shows what there is.
#mpi_plugin=pmix

# Seconds to wait for a run folder that another job is writing into, or ranks that have lost their
# node: file systems take this long to notice that the holder of a lock is dead.
#folder_patience=1200

# false where users may not requeue their jobs: then use jobs/chain.sh.
#may_requeue=true
