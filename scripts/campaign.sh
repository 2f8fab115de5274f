#!/usr/bin/env bash
# The campaign against lost data and lost control: campaign.sh [NAME]
# Without a name the quick form of each check, as `make test` runs it; with one the long form of that check. Each ends
# with one line of counts. Quick forms look at counts and memory, never at times.
#
# BAROGRAPH  path of the server binary
set -uo pipefail
cd "$(dirname "$0")/checks"
: "${BAROGRAPH:?names the server binary}"
export BAROGRAPH

# Name, what it is about, and the arguments of its long form; without any the quick form runs.
checks() {
    cat <<'END'
kill9       the server is killed at random moments under load                    1000
power_loss  the file system under it is shut down, as a power loss would          200
io_faults   one call of the operating system fails, each one in turn              1
damage      a byte of the log flips, or its end is gone                           -
overload    clients that take more than their part of the memory                  long
disk_full   another file takes every block of the disk                            -
churn       series are replaced again and again, partitions expire                -
END
}

if [ $# -eq 0 ]; then
    failed=()
    while read -r name _; do
        printf '\ncampaign %s\n' "$name"
        "./$name.sh" </dev/null
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
[ "$long" = - ] && exec "./$1.sh"
exec "./$1.sh" "$long"
