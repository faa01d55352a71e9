"""Serve the reference backend on this machine: python -m examples.divan."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from divan_obs_asgi import ImproperlyConfigured

# The stores that workers share, and how their URLs begin: an embedded Redis has one process, and SQLite one writer.
SHARED_STORES = {"REDIS_URL": ("redis", "unix"), "DATABASE_URL": ("postgres",)}
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Server(uvicorn.Server):
    """A uvicorn that prints the banner once it accepts connections."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[socket.socket], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce(self.servers[0].sockets[0])


class Workers(Multiprocess):
    """The same for several workers, once all of them accept connections."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[socket.socket], None]) -> None:
        importlib.import_module("examples.divan.app")  # Report a bad flag here, and not in a worker.
        super().__init__(config, [config.bind_socket()])
        self._announce: Callable[[socket.socket], None] | None = announce

    def run(self) -> None:
        # Signals are queued since `__init__`, so none ends this process before the directory is removed.
        with tempfile.TemporaryDirectory(prefix="divan-metrics-") as directory:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or directory
            super().run()
        if any(process.exitcode == STARTUP_FAILURE for process in self.processes):
            sys.exit(STARTUP_FAILURE)

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            process.child_conn.close()  # The worker has a copy; with ours open its end would not be noticed.
        super().keep_subprocess_alive()
        if self._announce and all(process.is_ready() for process in self.processes):
            self._announce(self.sockets[0])
            self._announce = None


def demo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a first try that `environ` leaves unset or empty."""
    port = environ.get("PORT") or "8000"
    wanted = {
        "HOST": "127.0.0.1",
        "PORT": port,
        "WORKERS": "1",
        "OBS_ENV": "dev",
        "OBS_SERVICE_NAME": "divan-api",
        "OBS_ADMIN_TOKEN": secrets.token_urlsafe(24),
        "OBS_TRACING_ENABLED": "true",
        **({} if any(map(environ.get, ENDPOINTS)) else {"OTEL_TRACES_EXPORTER": "none"}),  # lines have ids at once
        "HEALTH_MIN_MIGRATION": "0008",
        "JWT_SECRET": secrets.token_urlsafe(32),
        "OBS_CONSOLE_ENABLED": "true",
        # In production, web vitals of browsers are off by default.
        "OBS_VITALS_ENABLED": str((environ.get("OBS_ENV") or "dev") == "dev").lower(),
        "OBS_VITALS_ORIGINS": ",".join(f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")),
        "OBS_VITALS_ROUTES": "/,/vitals",
    }
    return {name: value for name, value in wanted.items() if not environ.get(name)}


def banner(listener: socket.socket, admin_token: str) -> str:
    """Return the banner: what to open, and a line for each thing to try."""
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    text = Path(__file__).with_name("banner.txt").read_text()
    return text.format(url=url, admin_token=admin_token, python=os.path.relpath(sys.executable))


def complaint(environ: Mapping[str, str]) -> str | None:
    """Return why serving is impossible; uvicorn would report it only after the application has started."""
    host, port, workers = environ["HOST"], environ["PORT"], environ["WORKERS"]
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        return f"PORT is {port!r}; expected a number up to 65535."
    if not re.fullmatch("[1-9][0-9]?", workers):
        return f"WORKERS is {workers!r}; expected a number from 1 to 99."
    unset = [name for name, starts in SHARED_STORES.items() if not environ.get(name, "").startswith(starts)]
    if workers != "1" and unset:
        return f"WORKERS={workers} needs a Redis and a PostgreSQL, which all workers share; set {' and '.join(unset)}."
    try:
        socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        return f"Nothing can be served on {host} port {port}: {error.strerror}. PORT=8001 takes another."
    return None


def main() -> None:
    os.environ.update(made := demo_environment(os.environ))
    if wrong := complaint(os.environ):
        sys.exit(wrong)
    # Print only the generated token, never one that you set.
    admin_token = made.get("OBS_ADMIN_TOKEN", "$OBS_ADMIN_TOKEN")
    config = uvicorn.Config(
        "examples.divan.app:app",
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        workers=int(os.environ["WORKERS"]),
        log_config=None,  # divan_obs_asgi writes all lines, uvicorn's too
        access_log=False,
        timeout_graceful_shutdown=3,  # a Socket.IO client that polls holds its request for half a minute
        timeout_worker_healthcheck=30,  # a worker that takes longer to start is killed
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            serving = Server if config.workers == 1 else Workers
            serving(config, lambda listener: print(banner(listener, admin_token), flush=True)).run()
    except ImproperlyConfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
