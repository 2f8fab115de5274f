#!/usr/bin/env bash
# Checks for lost data and full disks: campaign.sh [NAME]
# Without NAME it runs the quick form of each check, as `make test` does; with NAME, the long form of that check. Each
# prints one line of counts at the end. Quick forms check counts and memory, never times.
#
# BAROGRAPH  path of the server binary
set -uo pipefail
cd "$(dirname "$0")"
: "${BAROGRAPH:?names the server binary}"
export BAROGRAPH

# Name, description, and the argument of the long form; `-` means that there is no other form.
checks() {
    cat <<'END'
kill9       the server is killed at random moments under load                    1000
power_loss  the file system under it is shut down, as a power loss would          200
io_faults   one I/O call fails, each one in turn, in each way                    1
fail_points a process ends at each named point of the engine                      20
damage      a byte of the log flips, or its last segment is missing               -
flips       bits flip in every file; files are short, missing, swapped or stale  long
backup      snapshots of a server under load are restored and compared            100
overload    clients that take more than their part of the memory                  long
disk_full   another file takes every block of the disk                            -
clock       the wall clock is set, ahead and back                                 -
sequences   random valid calls of every route, left half-way in every way         long
simulation  the engine over a simulated disk, store, clock and scheduler     100000
churn       series are replaced repeatedly, and partitions expire                 -
soak        steady load for two hours                                             long
END
}

# The script of a check: most need the server, those in tests/ are tests of a crate.
script() {
    if [ -e "checks/$1.sh" ]; then echo "checks/$1.sh"; else echo "tests/$1.sh"; fi
}

if [ $# -eq 0 ]; then
    failed=()
    while read -r name _; do
        printf '\ncampaign %s\n' "$name"
        "$(script "$name")" </dev/null
        case $? in
            0 | 77) ;;
            *) failed+=("$name") ;;
        esac
    done < <(checks)
    [ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
    exit 0
fi

line=$(checks | grep "^$1 ") || {
    echo "no check $1; there are:" >&2
    checks | sed 's/ *[^ ]*$//' >&2
    exit 2
}
long=${line##* }
[ "$long" = - ] && exec "$(script "$1")"
exec "$(script "$1")" "$long"
