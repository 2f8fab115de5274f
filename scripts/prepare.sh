#!/usr/bin/env bash
# Prepares a machine for building Barograph: finds missing packages and installs them with apt if it has the permission.
# Otherwise it prints the command that installs them and stops. The Makefile runs it before each build. It prints
# nothing if all packages are installed and RocksDB is already compiled.
#
# COMPILERS         a folder, first in PATH, with links to ccache in place of the compilers
# CARGO_TARGET_DIR  the folder that is searched for RocksDB, to determine whether this build will take long
set -euo pipefail

missing=()

# bindgen loads libclang at run time and also needs clang's headers (stdbool.h, stddef.h).
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    local library header apple=/Library/Developer/CommandLineTools/usr/lib
    library=$(compgen -G '/usr/lib/llvm*/lib/libclang[-.]*so*' || compgen -G '/usr/lib/*-linux-gnu/libclang[-.]*so*' ||
        compgen -G '/usr/lib*/libclang.so*' || compgen -G "$apple/libclang.dylib" || true)
    header=$(compgen -G '/usr/lib/llvm*/lib/clang/*/include/stdbool.h' || compgen -G '/usr/lib*/clang/*/include/stdbool.h' ||
        compgen -G "$apple/clang/*/include/stdbool.h" || true)
    [ -n "$library" ] && [ -n "$header" ]
}

# The release of LLVM that is the default of this distribution: 14 on Debian 12, 19 on Debian 13.
default_llvm() {
    apt-cache depends libclang-dev 2>/dev/null | sed -n 's/.*Depends: libclang-\([0-9]*\)-dev.*/\1/p' | head -n 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

quiet_apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >/dev/null
}

# The line that installs everything; docs/embedding.md contains the same line.
install_line() {
    local llvm
    if command -v apt-get >/dev/null; then
        llvm=$(default_llvm)
        echo "sudo apt-get update && sudo apt-get install g++ ccache libclang1-${llvm:-14} libclang-common-${llvm:-14}-dev"
    elif command -v dnf >/dev/null; then
        echo 'sudo dnf install gcc-c++ clang-devel ccache'
    elif command -v apk >/dev/null; then
        echo 'apk add build-base clang-dev linux-headers ccache'
    elif [ "$(uname)" = Darwin ]; then
        echo 'xcode-select --install'
    else
        echo 'the package manager of this system: a C++ compiler, libclang with the headers of clang, ccache'
    fi
}

say_and_stop() {
    echo "Missing: ${missing[*]}. Install it with:" >&2
    echo "    $1" >&2
    echo 'and run make again.' >&2
    exit 1
}

if ! command -v cargo >/dev/null; then
    echo 'Missing: Rust 1.95 or later. Install it with https://rustup.rs and run make again.' >&2
    exit 1
fi

command -v cc >/dev/null && command -v c++ >/dev/null || missing+=(g++)
have_libclang || missing+=(libclang)
command -v ccache >/dev/null || missing+=(ccache)

if [ ${#missing[@]} -gt 0 ] && may_install; then
    echo "Installing ${missing[*]} ..."
    quiet_apt update || echo 'apt-get update failed; trying with the package lists that are here.' >&2
    packages=()
    for need in "${missing[@]}"; do
        if [ "$need" = libclang ]; then
            llvm=$(default_llvm)
            packages+=("libclang1-${llvm:-14}" "libclang-common-${llvm:-14}-dev")
        else
            packages+=("$need")
        fi
    done
    quiet_apt install -y --no-install-recommends "${packages[@]}" ||
        say_and_stop "sudo apt-get install ${packages[*]}"
elif [ ${#missing[@]} -gt 0 ] && [ "${missing[*]}" != ccache ]; then
    say_and_stop "$(install_line)"
elif [ ${#missing[@]} -gt 0 ]; then
    echo 'Without ccache each new clone compiles RocksDB again: install the package ccache.' >&2
fi

# Debian's own folder of links may lack c++ when ccache and g++ were installed together.
if [ -n "${COMPILERS:-}" ] && ccache=$(command -v ccache); then
    mkdir -p "$COMPILERS"
    for name in cc c++ gcc g++; do ln -sfn "$ccache" "$COMPILERS/$name"; done
fi

built=$(compgen -G "${CARGO_TARGET_DIR:-target}/release/build/librocksdb-sys-*/out/librocksdb.a" || true)
if [ -z "$built" ]; then
    echo 'The first build compiles RocksDB (about 350 C++ files): 20 to 25 minutes on two cores, once.'
    echo 'Later builds take seconds, and a new clone 3 minutes (ccache keeps the objects).'
fi
