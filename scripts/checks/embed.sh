#!/usr/bin/env bash
# Runs small programs that embed the database, each in a process of its own: closing, fork, daemon, exec, chdir,
# directories without write permission, short lives. Ends in "embed: N passed, 0 failed". Names of programs may be given.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec cargo test --quiet --release --workspace --test embed -- "$@"
