#!/bin/sh
# A "training" that any shell can do: how small gzip makes 2,000 random numbers.
# train.sh SEED SORT LEVEL
set -eu
awk -v x="$1" 'BEGIN { for (i = 0; i < 2000; i++) { x = (x * 16807) % 2147483647; print x % 1000 } }' > "$ABLATE_RUN/numbers"
if [ "$2" = true ]; then
	sort -n -o "$ABLATE_RUN/numbers" "$ABLATE_RUN/numbers"
fi
bytes=$(gzip -n -c -"$3" < "$ABLATE_RUN/numbers" | wc -c)
printf '{"step": 1, "epoch": 1, "total": 1, "name": "compressed_bytes", "value": %d}\n' "$bytes" >> "$ABLATE_METRICS"
