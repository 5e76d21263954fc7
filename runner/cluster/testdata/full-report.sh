#!/bin/bash
#SBATCH --job-name=ablate-tiny-report
#SBATCH --partition=gpu
#SBATCH --signal=TERM@120
#SBATCH --account=vision
#SBATCH --exclude=n7
#SBATCH --requeue --open-mode=append --output=/dev/null
# The comparison table, when all tasks have ended, whatever became of them.
cd '/home/o'\''brien' && exec >>'/runs of mine/tiny/.submit/1'/report.log 2>&1 || exit 75
module load cuda
export TMPDIR="$SLURM_TMPDIR"
'/runs of mine/tiny/.submit/ablate-0123' task '/runs of mine/tiny/.submit/1/plan.json' --report --runs '/runs of mine'
