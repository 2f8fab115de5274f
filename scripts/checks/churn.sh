#!/usr/bin/env bash
# Replaces all series of a server three times, lets their partitions expire, and compares memory, index and disk.
# BAROGRAPH_CHURN_SERIES=1000000 for the size that counts.
set -euo pipefail
exec python3 -B "$(dirname "$0")/churn.py"
