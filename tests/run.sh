#!/usr/bin/env bash
# Runs all tests, and first installs what they need and this Debian machine lacks:
#   apt    gcc, libc6-dev             to compile the SQLite that is built in
#          nodejs, npm                for the Socket.IO clients of JavaScript and the browser test
#          chromium, a Chinese font   for the browser test and its picture
#          postgresql, redis-server   for tests of the store and of several nodes, which start private
#                                     servers of their own
#          openssl                    for the certificates of tests over TLS
#          libfaketime                for the test of a clock that jumps
#          python3, python3-venv      for the Socket.IO clients of Python
#          nginx, haproxy             for the test of nodes behind a balancer, on ports of its own
#   npm    the clients, and socket.io to compare with, of tests/clients/package-lock.json, into tests/clients/node_modules
#   pip    the clients of tests/clients/requirements*.txt, into target/test-venv*
# What is there is left alone, so a second run installs nothing. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'tests/run.sh: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        say "cannot install packages: run this as root, install sudo, or run: $*"
        exit 1
    fi
}

has_libc_headers() { [ -e /usr/include/stdio.h ]; }
has_postgresql() { has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_libfaketime() { compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; }
# Often not in the PATH of users.
has_server() { has "$1" || [ -x "/usr/sbin/$1" ]; }
has_chinese_font() { has fc-list && [ -n "$(fc-list :lang=zh)" ]; }
has_venv() { has python3 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1; }

install_packages() {
    local missing=()
    has cc || missing+=(gcc)
    has_libc_headers || missing+=(libc6-dev)
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    has chromium || missing+=(chromium)
    has_chinese_font || missing+=(fontconfig fonts-wqy-microhei)
    has_postgresql || missing+=(postgresql)
    has openssl || missing+=(openssl)
    has redis-server || missing+=(redis-server)
    has_libfaketime || missing+=(libfaketime)
    has_server nginx || missing+=(nginx)
    has_server haproxy || missing+=(haproxy)
    has_venv || missing+=(python3 python3-venv)
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! has apt-get; then
        say "missing, and not a Debian machine: install the likes of ${missing[*]}, then run this again"
        exit 1
    fi
    say "installing with apt: ${missing[*]}"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# A folder made by an installer is current while its stamp holds the checksum of what it was made from.
is_current() { [ -f "$1" ] && [ "$(cat "$1")" = "$(checksum "$2")" ]; }
checksum() { sha256sum <"$1"; }

install_javascript_clients() {
    local lock=tests/clients/package-lock.json stamp=tests/clients/node_modules/.installed
    is_current "$stamp" "$lock" && return 0
    say "installing with npm: the clients of $lock"
    (cd tests/clients && npm ci --no-audit --no-fund --loglevel=error)
    checksum "$lock" >"$stamp"
}

# Two revisions of one client cannot share a folder.
install_python_client() {
    local wanted=$1 venv=$2
    is_current "$venv/.installed" "$wanted" && return 0
    say "installing with pip: the client of $wanted"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    checksum "$wanted" >"$venv/.installed"
}

if ! has cargo; then
    say "cargo is missing. Install Rust with rustup (https://rustup.rs), open a new shell and run this again."
    exit 1
fi
install_packages
install_javascript_clients
install_python_client tests/clients/requirements.txt target/test-venv
install_python_client tests/clients/requirements-eio3.txt target/test-venv-eio3
cargo test --locked "$@"
