"""A real headless Chromium, which node drives."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

from tests.patience import PATIENCE_S
from tests.servers.npm import installed
from tests.servers.process import program

#: Its lock file names playwright-core, which brings no browser along.
PACKAGES = Path(__file__).resolve().parents[2] / "frontend"


class Browser:
    """A browser and the script that makes its visits, as browser.js serves it; many visits cost one start."""

    def __init__(self, script: Path, *, packages: Path = PACKAGES) -> None:
        """`packages` is a folder with a lock file of npm; the script can import what that names."""
        chromium = program("chromium", package="chromium")
        node = program("node", package="nodejs")
        self._node = subprocess.Popen(
            [node, str(script), chromium],
            env={**os.environ, "NODE_PATH": str(installed(packages))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def visit(self, *, patience_s: float = 4 * PATIENCE_S, **order: object) -> Any:
        """
        Give the script an order; return what its visit returns.

        Raises:
            RuntimeError: if the visit fails, with its error.
        """
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        watch = threading.Timer(patience_s, self._node.kill)
        watch.start()
        try:
            self._node.stdin.write(json.dumps(order) + "\n")
            self._node.stdin.flush()
            line = self._node.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            raise RuntimeError(f"The browser's script has ended, or took more than {patience_s} s; see standard error.")
        result = json.loads(line)
        if "error" in result:
            raise RuntimeError(result["error"])
        return result["returned"]

    def close(self) -> None:
        """End the browser: its script has read all of its input."""
        self._node.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def visit(script: Path, **order: Any) -> Any:
    """Make one visit, with a browser that nobody else has used."""
    with Browser(script) as browser:
        return browser.visit(**order)


__all__ = ["Browser", "visit"]
