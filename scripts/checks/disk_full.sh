#!/usr/bin/env bash
# Fills the file system under a real server: writes are refused, retention frees space, a restart answers.
# Mounts need root; without it, or where mounts are forbidden, the check says so and counts as skipped.
set -euo pipefail
CHECK=disk_full
cd "$(dirname "$0")"
. ../tools.bash
folder=$(mktemp -d)
as_root true 2>/dev/null && as_root mount -t tmpfs -o size=96m,mode=1777 tmpfs "$folder" 2>/dev/null || {
    rmdir "$folder"
    skip 'mounting a file system needs root'
}
small=$(mktemp -d)
trap 'as_root umount -l "$folder" "$small" 2>/dev/null; rmdir "$folder" "$small" 2>/dev/null || true' EXIT
as_root mount -t tmpfs -o size=8m,mode=1777 tmpfs "$small"
python3 -B disk_full.py "$folder" "$small"
