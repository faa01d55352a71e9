#!/bin/sh
# Print the interpreters to use, one path a line, oldest first: all of pyenv's from 3.11 on, or else one on PATH.
set -eu

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.implementation.name != "cpython")' 2>/dev/null
}

found=""
if command -v pyenv >/dev/null 2>&1; then
    for version in $(pyenv versions --bare | grep -E '^3\.[0-9]+\.[0-9]+$' | sort -V); do
        python=$(PYENV_VERSION=$version pyenv which python3)
        if new_enough "$python"; then
            echo "$python"
            found=yes
        fi
    done
fi
if [ -z "$found" ]; then
    # The python3 of a distribution may be older than another one that was installed beside it.
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        python=$(command -v "$name" || true)
        if [ -n "$python" ] && new_enough "$python"; then
            echo "$python"
            exit
        fi
    done
    echo "No Python 3.11 or newer: there is none in pyenv and none on PATH." >&2
    exit 1
fi
