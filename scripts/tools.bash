# For the scripts of checks/ to source: what a check needs from outside is fetched once, into ~/.cache/barograph.
# CHECK is the check's name.

tools="${XDG_CACHE_HOME:-$HOME/.cache}/barograph/tools"
mkdir -p "$tools"

# A check that this machine forbids says so, and fails nothing.
skip() {
    echo "$CHECK: SKIPPED ($1)"
    exit 77
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Puts collectd into PATH, that which is installed or that of Debian's package, unpacked and not installed, and its plugins
# and types into COLLECTD, a folder. Fails where there is none.
need_collectd() {
    local unpacked
    export COLLECTD=/usr
    if command -v collectd >/dev/null && [ -e /usr/lib/collectd/write_influxdb_udp.so ]; then return; fi
    if [ ! -x "$tools/collectd/usr/sbin/collectd" ]; then
        unpacked=$(mktemp -d)
        (
            cd "$unpacked"
            apt-get -qq download collectd-core 2>/dev/null ||
                { as_root apt-get -qq update && apt-get -qq download collectd-core; }
            dpkg -x collectd-core_*.deb .
        ) >/dev/null 2>&1 || return 1
        rm -rf "$tools/collectd"
        mv "$unpacked" "$tools/collectd"
    fi
    export COLLECTD="$tools/collectd/usr" PATH="$tools/collectd/usr/sbin:$PATH"
}

# Puts prometheus and promtool into PATH: those that are installed, or those of Debian's package, unpacked and not
# installed, so that no daemon starts and no root is needed.
need_prometheus() {
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return; fi
    local unpacked
    if [ ! -x "$tools/prometheus-bin/prometheus" ]; then
        unpacked=$(mktemp -d)
        (
            cd "$unpacked"
            apt-get -qq download prometheus 2>/dev/null || { as_root apt-get -qq update && apt-get -qq download prometheus; }
            dpkg -x prometheus_*.deb .
        ) >/dev/null 2>&1 || skip 'no prometheus: sudo apt-get install prometheus'
        rm -rf "$tools/prometheus-bin"
        mv "$unpacked/usr/bin" "$tools/prometheus-bin"
        rm -rf "$unpacked"
    fi
    export PATH="$tools/prometheus-bin:$PATH"
}
