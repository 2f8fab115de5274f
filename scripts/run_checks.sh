#!/usr/bin/env bash
# Runs every script of scripts/checks (or those given as arguments) against the built server, one after the other, and
# fails if one of them fails. A check that cannot run on this machine (mounts, packages) prints SKIPPED and exits with
# 77.
#
# BAROGRAPH  path of the server binary
set -uo pipefail
cd "$(dirname "$0")/.."
: "${BAROGRAPH:=${CARGO_TARGET_DIR:-$PWD/target}/release/barograph}"
export BAROGRAPH

if ! command -v python3 >/dev/null; then
    CHECK=checks
    . scripts/tools.bash
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3 >/dev/null 2>&1 || {
        echo 'checks: SKIPPED, all of them (no python3: sudo apt-get update && sudo apt-get install python3)'
        exit 0
    }
fi

passed=0 skipped=() failed=()
checks=("$@")
[ ${#checks[@]} -gt 0 ] || checks=(scripts/checks/*.sh)
for check in "${checks[@]}"; do
    name=$(basename "$check" .sh)
    echo
    echo "check $name"
    "$check" </dev/null
    case $? in
        0) passed=$((passed + 1)) ;;
        77) skipped+=("$name") ;;
        *) failed+=("$name") ;;
    esac
done
echo
echo "checks: $passed passed, ${#failed[@]} failed, ${#skipped[@]} skipped${skipped:+ (skipped: ${skipped[*]})}"
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
