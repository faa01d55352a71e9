"""Packages of npm for tests."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.servers.process import missing, program

#: Outside the package and the tests, so that it outlives a tox environment; `make clean` removes it.
CACHE = Path(__file__).resolve().parents[2] / ".node"
#: For an installation on a slow network and a busy machine.
INSTALL_TIMEOUT_S = 540


def installed(source: Path) -> Path:
    """Return the folder of the npm packages that the lock file in `source` names; they are fetched once."""
    npm = program("npm", package="npm")
    lock = (source / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # Two sessions at the same time fetch only once.
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, folder)
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
            fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
            if fetched.returncode:
                missing(f"npm could not fetch the packages of {source.name}: {fetched.stderr.strip()[-300:]}")
            (folder / "done").touch()
    return folder / "node_modules"
