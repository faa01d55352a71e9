"""A server's own command, serving an application whose code a test contains."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from tests.patience import PATIENCE_S
from tests.servers.process import ServerProcess

#: Short delays of drain and export: a test has no load balancer and few spans.
HURRY = {"OBS_DRAIN_DELAY_S": "0.1", "OTEL_BSP_SCHEDULE_DELAY": "100"}


class Command(ServerProcess):
    """`python -m SERVER shop:APP` and its output; `shop.py` has `code`."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile(
        r"Uvicorn running|Running on|Application startup complete|Listening on TCP|Started worker"
    )
    # uvicorn listens after the application has started.
    uvicorn_ready_line: ClassVar[re.Pattern[str]] = re.compile("Uvicorn running")

    def __init__(self, code: str, server: str, app: str, *options: str, env: Mapping[str, str] | None = None) -> None:
        super().__init__()
        if server == "uvicorn" and self.ready_line is Command.ready_line:
            self.ready_line = self.uvicorn_ready_line  # type: ignore[misc]
        self.module = self.directory / "shop.py"
        self.module.write_text(code)
        self.log: deque[str] = deque()
        self._server, self._app, self._options = server, app, options
        self._env = {**HURRY, **(env or {})}
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def command(self) -> Sequence[str]:
        if self._server == "uvicorn":
            own = ["--app-dir", str(self.directory), "--host", self.host, "--port", str(self.port)]
        elif self._server == "granian":
            own = ["--working-dir", str(self.directory), "--interface", "asgi", "--host", self.host]
            own += ["--port", str(self.port)]
        elif self._server == "daphne":
            own = ["-b", self.host, "-p", str(self.port)]
        else:
            own = ["--bind", f"{self.host}:{self.port}"]
        return [sys.executable, "-m", self._server, f"shop:{self._app}", *own, *self._options]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return super().popen(command, env={**self._env, **(env or {})})

    def _read_log(self, output: Any, ready: threading.Event) -> None:
        super()._read_log(output, ready)
        self.ended.set()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.log) if line.startswith("{")]

    def messages(self) -> list[str]:
        return [line["msg"] for line in self.lines()]

    def line(self, message: str) -> dict[str, Any]:
        """Wait for the line with this message, and return it; it must be the only one."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = [line for line in self.lines() if line["msg"] == message]
            if found:
                assert len(found) == 1
                return found[0]
            time.sleep(0.02)
        raise AssertionError(f"no line with the message {message!r}: " + "\n".join(self.log))


def until(condition: Callable[[], bool], command: Command) -> None:
    """Wait until a condition holds; if it never does, fail with the output of the command."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "\n".join(command.log)
        time.sleep(0.02)


__all__ = ["Command", "until"]
