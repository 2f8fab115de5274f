#!/usr/bin/env bash
# Runs small programs that embed the database, each in a separate process: closing, fork, daemon, exec, chdir,
# directories without write permission, short runs. Ends with "embed: N passed, 0 failed". Takes names of programs as
# arguments.
#
# embed.sh ten_thousand_lives   opens, writes one sample and closes 10,000 times; prints what the database costs then
set -euo pipefail
cd "$(dirname "$0")/../.."
exec cargo test --quiet --release --workspace --test embed -- "$@"
