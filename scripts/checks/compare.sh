#!/usr/bin/env bash
# The comparison with other databases, without those databases: its tests, and a small run with this server alone, which
# must lose nothing, count every sample and answer every query.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${BAROGRAPH:?path of the server binary}"
command -v python3 >/dev/null || { echo 'compare: SKIPPED (no python3)'; exit 77; }
export PYTHONDONTWRITEBYTECODE=1

python3 benches/compare/tests.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 benches/compare --barograph "$BAROGRAPH" --peers none --size tiny --sets cpu,hist,churn --work "$work" >"$work/report.md"

passed=0 failed=0
holds() {
    if grep -qE "$2" "$work/report.md"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "  FAIL  $1: no line matches $2"
    fi
}
holds 'every acknowledged sample survives' '^\| barograph .* 0 of [0-9]+ \| 100\.00% '
holds 'queries over many series are answered' '^\| double-groupby-all \| [0-9.]+ / '
holds 'queries over histograms are answered' '^\| h-p99-all-6h \| [0-9.]+ / '
holds 'queries over churned series are answered' '^\| c-all-series-by-code \| [0-9.]+ / '
if grep -E '\| error' "$work/report.md"; then failed=$((failed + 1)); else passed=$((passed + 1)); fi
echo "compare: $passed passed, $failed failed"
[ "$failed" = 0 ]
