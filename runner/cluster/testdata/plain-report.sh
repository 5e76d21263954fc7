#!/bin/bash
#SBATCH --job-name=ablate-tiny-report
#SBATCH --signal=TERM@120
#SBATCH --requeue --open-mode=append --output=/dev/null
# The comparison table, when all tasks have ended, whatever became of them.
cd '/home/ada' && exec >>'/runs of mine/tiny/.submit/1'/report.log 2>&1 || exit 75
'/runs of mine/tiny/.submit/ablate-0123' task '/runs of mine/tiny/.submit/1/plan.json' --report --runs '/runs of mine'
