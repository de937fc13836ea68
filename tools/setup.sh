#!/bin/bash
# Makes a Debian machine ready: setup.sh build|run|test. Installs by package name what is missing, with sudo only where needed.
set -euo pipefail
cd "$(dirname "$0")/.."
need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n1)

say() { printf '%s\n' "$*" >&2; }
newer() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }   # newer A B: B >= A
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

updated=
install() {
    if ! command -v apt-get >/dev/null; then
        say "overhear: missing: $*. Install these (Debian package names) with your system's package manager."; exit 3
    fi
    if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null && [ ! -t 0 ]; then
        say "overhear: missing: $*. Run: sudo apt-get install $*"; exit 3
    fi
    [ -n "$updated" ] || { as_root apt-get update -qq; updated=1; }
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# what:package pairs; installs the packages whose program is not there
programs() {
    local missing=()
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ "${#missing[@]}" -eq 0 ] || { say "installing: ${missing[*]}"; install "${missing[@]}"; }
}

toolchain() {
    local have=
    command -v cargo >/dev/null && have=$(cargo --version | awk '{print $2}')
    if [ -n "$have" ] && newer "$need" "$have"; then return; fi
    if command -v apt-get >/dev/null; then
        local offered
        offered=$(apt-cache policy cargo 2>/dev/null | awk '/Candidate:/{print $2}' | sed 's/^[0-9]*://; s/[-+~].*//')
        if [ -n "$offered" ] && newer "$need" "$offered"; then say "installing: cargo"; install cargo rustc; return; fi
    fi
    say "overhear: Rust $need or newer is needed${have:+ (found $have)}, and this system's packages do not have it. Install it with rustup (https://rustup.rs), then run this again."
    exit 3
}

programs cc:gcc make:make
[ -e /usr/include/stdlib.h ] || install libc6-dev
toolchain
case "${1:-build}" in
    build) ;;
    run) programs ip:iproute2 nft:nftables ;;
    test) programs ip:iproute2 nft:nftables curl:curl wget:wget openssl:openssl gnutls-cli:gnutls-bin python3:python3 node:nodejs busybox:busybox tmux:tmux git:git ;;
    *) say "setup.sh build|run|test"; exit 2 ;;
esac
