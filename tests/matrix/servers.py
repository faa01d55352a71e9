"""The commands that serve the applications of the matrix, and how each of them ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

APPS = ("starlette", "fastapi", "django", "litestar", "quart", "falcon", "socketio")


@dataclass(frozen=True)
class Server:
    """
    A server's command line.

    Attributes:
        arguments: after `python -m`, with `{app}` and `{port}`.
        drains: whether SIGTERM starts a drain; if not, a line says so at the start.
        waits: whether what is in flight at SIGTERM is waited for; if not, it goes on until the process has ended.
        sigterm: the exit code after SIGTERM, as `subprocess` tells it (negative: the signal that ended the process).
        sigint: the same after Ctrl-C.
        parent: the lines of a parent process that never imports the application, which keep their format.
    """

    name: str
    arguments: Sequence[str]
    drains: bool = True
    waits: bool = True
    sigterm: int = 0
    sigint: int = 0
    parent: str = ""
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, app: str, port: int) -> list[str]:
        values = {"app": f"tests.matrix.apps.{app}:app", "port": port}
        return [sys.executable, "-m", *(argument.format(**values) for argument in self.arguments)]


_LOCAL = "127.0.0.1:{port}"
_TIMES = r"^\[[-\d]+ [:\d]+ [+\d]+\] \[\d+\] "
SERVERS = {
    server.name: server
    for server in (
        Server("uvicorn", ["uvicorn", "{app}", "--port", "{port}"], sigterm=-15),
        Server(
            "uvicorn-workers",
            # The supervisor kills a worker that is silent for 5 s, which on a busy machine one that starts is.
            ["uvicorn", "{app}", "--port", "{port}", "--workers", "2", "--timeout-worker-healthcheck", "60"],
            parent=r"^INFO: +(Uvicorn running|(Started|Stopping) parent|Received|(Terminated|Waiting for) child)",
            env={"PROMETHEUS_MULTIPROC_DIR": "{folder}/metrics"},
        ),
        Server(
            "gunicorn",
            ["gunicorn", "{app}", "--bind", _LOCAL, "--worker-class", "uvicorn_worker.UvicornWorker"],
            parent=_TIMES + r"\[(INFO|WARNING)\] (Starting|Listening|Using|Booting|Control|Handling|Worker|Shutting)",
        ),
        Server("hypercorn", ["hypercorn", "{app}", "--bind", _LOCAL], drains=False),
        Server("hypercorn-trio", ["hypercorn", "{app}", "--bind", _LOCAL, "--worker-class", "trio"], drains=False),
        Server(
            "granian",
            ["granian", "{app}", "--port", "{port}", "--interface", "asgi"],
            drains=False,
            parent=r"^\[INFO\] (Starting|Listening|Spawning|Started|Shutting|Stopping|Stopped|Granian shutdown)",
        ),
        Server("daphne", ["daphne", "{app}", "--port", "{port}"], drains=False, waits=False),
    )
}


def interrupted(server: str, app: str) -> bool:
    """
    Return whether the cell is started once more, to be ended by Ctrl-C.

    It is one cell in three, at least two with each server and two with each application: a start takes up to
    two seconds of a processor.
    """
    return (list(SERVERS).index(server) + APPS.index(app)) % 3 == 0


__all__ = ["APPS", "SERVERS", "Server", "interrupted"]
