#!/bin/sh
# Unpack programs of Debian's unstable suite into .newest, beside the installed ones: promtool and amtool, because rules and
# routes must hold on the oldest supported versions and on the newest, and docker-compose, which needs no engine to check a
# file. They are static programs that need libc6 2.34. Never fails: the tests of what cannot be had are left out by name.
set -eu

cd "$(dirname "$0")/.."
[ ! -e .newest/done ] || exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0

# The mirror that the machine itself uses, and the key that came with it.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | head -n 1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -n "$mirror" ] && [ -r "$keyring" ] || { echo "No mirror of Debian: the newest programs are left out." >&2; exit 0; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/unpacked"
echo "deb [signed-by=$keyring] $mirror unstable main" >"$folder/sources.list"
# A list and a cache of its own: the machine's sources stay as they are, and nothing is installed.
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User="$(id -un)" "$@" </dev/null
}
if apt update && (cd "$folder" && apt download promtool prometheus-alertmanager docker-compose); then
    for package in "$folder"/*.deb; do
        dpkg-deb -x "$package" "$folder/unpacked"
    done
    touch "$folder/unpacked/done"
    rm -rf .newest
    mv "$folder/unpacked" .newest
else
    echo "The newest programs cannot be had from $mirror; their tests are left out." >&2
fi
