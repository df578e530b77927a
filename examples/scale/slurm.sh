#!/usr/bin/env bash
# A catalogue on nodes of a Slurm cluster, one worker to each core:
#
#     sbatch --nodes 16 slurm.sh MANIFEST_OR_FOLDER OUTPUT [more options of stemlight batch]
#
# Input, output and the environment with stemlight in it lie on a file system that all nodes share,
# or in an object store. The exit code is that of `stemlight batch`. A job that runs out of time is
# submitted again: what is finished is skipped.
#SBATCH --job-name=stemlight
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --no-kill
#SBATCH --requeue
#SBATCH --time=24:00:00
set -euo pipefail

tracks=$1
output=$2
shift 2
nodes=$SLURM_JOB_NUM_NODES
cores=$SLURM_CPUS_PER_TASK
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts%%$'\n'*} # where this script runs
address=$head:${RAY_PORT:-6379}

export RAY_USAGE_STATS_ENABLED=0
export OMP_NUM_THREADS=1
export RAY_AUTH_MODE=token
[[ -s ~/.ray/auth_token ]] || ray get-auth-token --generate >/dev/null # of all nodes, which share the home
ray start --head --port "${address#*:}" --num-cpus "$cores"

# A node on which Ray ends, or that comes before the first is ready, tries again. The loss of one
# does not end the others: its tracks go to them.
if ((nodes > 1)); then
    srun --overlap --nodes=$((nodes - 1)) --ntasks=$((nodes - 1)) --exclude="$head" \
        --kill-on-bad-exit=0 bash -c \
        'until ray start --block --address "$0" --num-cpus "$1"; do sleep 5; done' \
        "$address" "$cores" &
fi

stemlight batch "$tracks" -o "$output" --engine ray --address "$address" \
    --workers "$((nodes * cores))" --format flac "$@"
