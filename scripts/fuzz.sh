#!/usr/bin/env bash
# Runs every fuzz target for some seconds: scripts/fuzz.sh [SECONDS [PACKAGE…]]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
shift || true
[ $# -gt 0 ] || set -- $(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's,^,./,')
for package in "$@"; do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz'); do
    printf '\n== %s %s\n' "$package" "$target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" "$package"
  done
done
