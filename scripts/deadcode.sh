#!/usr/bin/env bash
# Fails if there is a function that neither the program nor a test reaches.
set -euo pipefail
cd "$(dirname "$0")/.."
dead=$(go run golang.org/x/tools/cmd/deadcode@v0.52.0 -test -tags long ./...)
[ -z "$dead" ] || { printf '%s\n' "$dead"; exit 1; }
