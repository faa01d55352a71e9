#!/bin/sh
# Install the programs that the tests start, where apt-get is there; say what to install where it is not.
# Never fails: what stays missing skips its tests by name, or fails them under CI=true.
set -eu

packages=""
command -v redis-server >/dev/null || packages="$packages redis-server"
command -v promtool >/dev/null || packages="$packages prometheus"
command -v amtool >/dev/null || packages="$packages prometheus-alertmanager"
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$packages postgresql"
# Sends the requests of benchmarks/served; without it a slower client in Python does.
command -v wrk >/dev/null || packages="$packages wrk"
# For a certificate of the tests' own.
command -v openssl >/dev/null || packages="$packages openssl"
# For the JavaScript client of Socket.IO, the TypeScript compiler and what drives the browser, which the tests fetch
# themselves.
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
# Measures a page of the reference backend.
command -v chromium >/dev/null || packages="$packages chromium"
# Beside the installed promtool, which is the oldest supported one.
"$(dirname "$0")/newest_programs.sh"
[ -n "$packages" ] || exit 0

as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if ! command -v apt-get >/dev/null; then
    echo "Tests that need them are left out until you install:$packages (by their Debian names)." >&2
    exit 0
fi
if [ -n "$as_root" ] && ! $as_root true 2>/dev/null; then
    echo "Tests that need them are left out until you run: sudo apt-get install$packages" >&2
    exit 0
fi

echo "Installing$packages for the tests, which start their own on free ports."
# In runlevel 1 the packages install without starting a service.
apt() { $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null; }
# shellcheck disable=SC2086  # a list of words
if ! { apt update && apt install -y --no-install-recommends $packages >/dev/null; }; then
    echo "That failed; tests that need them are left out until you install:$packages" >&2
fi
