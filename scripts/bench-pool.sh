#!/usr/bin/env bash
# Runs of one study at the same time on N equal shares of the cores, and as many for each share alone: the
# throughput should be N times as high. Usage: scripts/bench-pool.sh [SHARES] [RUNS A SHARE] [STUDY]
set -euo pipefail
cd "$(dirname "$0")/.."
n=${1:-$(nproc)} runs=${2:-4} study=${3:-quickstart}
threads=$(($(nproc) / n))
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$scratch/ablate" .
shares=$(seq -s , -f 'cpu:%.0f' 0 $((n - 1)))
# of runs, shares and threads: the seconds that they take
take() {
  local from to
  from=$(date +%s.%N)
  "$scratch/ablate" run "$study" --variants baseline --set seeds="$1" --set 'variants={baseline: {}}' \
    --devices "$2" --threads "$3" --runs "$scratch/runs" --fresh >/dev/null 2>"$scratch/log" || { cat "$scratch/log"; exit 1; }
  to=$(date +%s.%N)
  echo "$from $to" | awk '{print $2 - $1}'
}
for round in 1 2 3; do
  one=$(take "$runs" cpu:0 "$threads")
  all=$(take $((runs * n)) "$shares" $((threads * n)))
  echo "$one $all $n" | awk -v round=$round \
    '{printf "round %d: one share %.1f s, %d at a time %.1f s: throughput %.3f × %d\n", round, $1, $3, $2, $1 / $2, $3}'
done
