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
