#!/usr/bin/env bash
# Compares benchmarks of a commit with those of this tree: two builds that alternate,
# so that what else the machine does meets both. benchstat says what differs.
#
#     scripts/compare.sh OLD [PACKAGE [BENCH [ROUNDS]]]
set -euo pipefail
cd "$(dirname "$0")/.."
old=$1 package=${2:-./runner/engine/cpu} bench=${3:-.} rounds=${4:-6}
scratch=$(mktemp -d)
trap 'git worktree remove --force "$scratch/tree" 2>/dev/null; rm -rf "$scratch"' EXIT
git worktree add --quiet --detach "$scratch/tree" "$old"
(cd "$scratch/tree" && go test -c -o "$scratch/old.test" "$package")
go test -c -o "$scratch/new.test" "$package"
for _ in $(seq "$rounds"); do
  for side in old new; do
    (cd "$package" && "$scratch/$side.test" -test.run '^$' -test.bench "$bench") >>"$scratch/$side"
  done
done
go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da old="$scratch/old" new="$scratch/new"
