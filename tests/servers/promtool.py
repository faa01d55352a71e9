"""Prometheus's own reader of the text format, and its opinion on names."""

from __future__ import annotations

import subprocess

from tests.servers.process import program


def complaints(page: bytes) -> list[str]:
    """Return what `promtool check metrics` has to say of a page; nothing where it can be read and is named well."""
    promtool = program("promtool", package="prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    told = (done.stdout + done.stderr).decode().splitlines()
    return told or ([] if done.returncode == 0 else [f"exit code {done.returncode}"])
