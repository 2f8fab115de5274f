#!/usr/bin/env bash
# Fills the file system under a real server: writes are refused, retention frees space, a restarted server answers.
# Mounting needs root or a user namespace; without either the check counts as skipped.
set -euo pipefail
CHECK=disk_full
cd "$(dirname "$0")"
. ../tools.bash
if ! as_root true 2>/dev/null && [ -z "${IN_NAMESPACE:-}" ] && unshare --map-root-user --mount true 2>/dev/null; then
    IN_NAMESPACE=1 exec unshare --map-root-user --mount ./disk_full.sh
fi
need_command mount mount
folder=$(mktemp -d)
as_root true 2>/dev/null && as_root mount -t tmpfs -o size=96m,mode=1777 tmpfs "$folder" 2>/dev/null || {
    rmdir "$folder"
    skip 'mounting a file system needs root or a user namespace'
}
small=$(mktemp -d)
trap 'as_root umount -l "$folder" "$small" 2>/dev/null; rmdir "$folder" "$small" 2>/dev/null || true' EXIT
as_root mount -t tmpfs -o size=8m,mode=1777 tmpfs "$small"
python3 -B disk_full.py "$folder" "$small"
