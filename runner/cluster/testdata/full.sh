#!/bin/bash
#SBATCH --job-name=ablate-tiny
#SBATCH --array=0-3%8
#SBATCH --partition=gpu
#SBATCH --time=0-04:00:00
#SBATCH --signal=TERM@120
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --account=vision
#SBATCH --exclude=n7
#SBATCH --requeue --open-mode=append --output=/dev/null
# A task of the array is a group of runs of the plan. It may be started as often as
# Slurm likes, on any node: what is done is skipped, what was begun continues.
me=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
group=$((0 + SLURM_ARRAY_TASK_ID))
log='/runs of mine/tiny/.submit/1'/$group.log

# again CODE TIMES has Slurm start the task once more, unless it is being cancelled or was started so often.
again() {
	[ "$(squeue --noheader --jobs="$me" --format=%T)" = RUNNING ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$2" ] &&
		scontrol requeue "$me" && sleep 120
	exit "$1"
}

# A node without the folder of runs has no log either.
{ true >>"$log"; } 2>/dev/null && cd '/home/o'\''brien' || again 75 50
exec >>"$log" 2>&1
echo "== $(date '+%F %T') task $me on $(hostname), restart ${SLURM_RESTART_COUNT:-0}"
module load cuda
export TMPDIR="$SLURM_TMPDIR"

# A step: it alone gets SIGTERM when a preemption's grace begins and before the time limit.
srun --mpi=none --kill-on-bad-exit=0 ${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} \
	'/runs of mine/tiny/.submit/ablate-0123' task '/runs of mine/tiny/.submit/1/plan.json' --group $group --runs '/runs of mine' \
	--device 'cuda:0' --threads "${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-0}}"
code=$?
echo "== $(date '+%F %T') exit code $code"
case $code in
3 | 75) again $code 50 ;; # saved, or not possible at the moment
137) again $code 3 ;;     # killed, for its memory for one
esac
exit $code
