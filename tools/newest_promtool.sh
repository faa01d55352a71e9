#!/bin/sh
# Unpack the promtool of Debian's unstable suite into .prometheus, beside the installed one: rules must hold on the oldest
# supported Prometheus and on the newest. It is a static program that needs libc6 2.34. Never fails: where it cannot be
# had, the tests of the newest version are left out by name.
set -eu

cd "$(dirname "$0")/.."
[ ! -x .prometheus/usr/bin/promtool ] || exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0

# The mirror that the machine itself uses, and the key that came with it.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | head -n 1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -n "$mirror" ] && [ -r "$keyring" ] || { echo "No mirror of Debian: the newest promtool is left out." >&2; exit 0; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/unpacked"
echo "deb [signed-by=$keyring] $mirror unstable main" >"$folder/sources.list"
# A list and a cache of its own: the machine's sources stay as they are, and nothing is installed.
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User="$(id -un)" "$@" </dev/null
}
if apt update && (cd "$folder" && apt download promtool) && dpkg-deb -x "$folder"/promtool_*.deb "$folder/unpacked" \
    && "$folder/unpacked/usr/bin/promtool" --version >/dev/null 2>&1; then
    rm -rf .prometheus
    mv "$folder/unpacked" .prometheus
else
    echo "The newest promtool cannot be had from $mirror; its tests are left out." >&2
fi
