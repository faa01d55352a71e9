"""A real headless Chromium, which node drives."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tests.servers.npm import installed
from tests.servers.process import program

#: Its lock file names playwright-core, which brings no browser along.
PACKAGES = Path(__file__).resolve().parents[2] / "frontend"


def visit(script: Path, *, packages: Path = PACKAGES, patience_s: float = 4 * PATIENCE_S, **order: object) -> Any:
    """
    Run a script with `order` and the path of the browser as JSON; return the JSON that it prints.

    `packages` is a folder with a lock file of npm; the script can import what that names.

    Raises:
        RuntimeError: if it fails, with its output.
    """
    chromium = program("chromium", package="chromium")
    node = program("node", package="nodejs")
    done = subprocess.run(
        [node, str(script), json.dumps({"chromium": chromium, **order})],
        env={**os.environ, "NODE_PATH": str(installed(packages))},
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return json.loads(done.stdout)
