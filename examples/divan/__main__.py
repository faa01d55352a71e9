"""Serve the reference backend on this machine: python -m examples.divan."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import uvicorn

from divan_obs_asgi import ImproperlyConfigured

BANNER = """
Divan is up: {url} (its API: {url}/docs). Ctrl-C ends it.

  curl {url}/health/live
  curl {url}/health/ready
  curl {url}/health/startup
  curl -i {url}/metrics                     # 401: it wants the admin token
  curl -H "Authorization: Bearer {admin_token}" {url}/metrics

Sign in, make a room, send a message, read the messages, say where you are, see who is near:

  TOKEN=$(curl -s {url}/auth/demo --json '{{"name": "ada"}}' | sed 's/.*"token":"//; s/".*//')
  curl {url}/rooms -H "Authorization: Bearer $TOKEN" --json '{{"name": "lobby"}}'
  curl -X POST {url}/rooms/lobby/join -H "Authorization: Bearer $TOKEN"    # where somebody else has made it
  curl {url}/rooms/lobby/messages -H "Authorization: Bearer $TOKEN" --json '{{"text": "Hello"}}'
  curl {url}/rooms/lobby/messages -H "Authorization: Bearer $TOKEN"
  curl -i {url}/presence/heartbeat -H "Authorization: Bearer $TOKEN" --json '{{"lat": 41.085, "lon": 29.044}}'
  curl "{url}/proximity/nearby?radius=500" -H "Authorization: Bearer $TOKEN"

Freeze the leaderboards, as a nightly job would, and read them:

  curl -X POST {url}/ops/rollover -H "Authorization: Bearer {admin_token}"
  curl {url}/leaderboards/day -H "Authorization: Bearer $TOKEN"

Listen to a room over Socket.IO, in another terminal:

  {python} -m examples.divan.listen lobby --url {url}
"""


class Server(uvicorn.Server):
    """A uvicorn that announces its address once it can be reached there."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self._announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


def demo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a first try needs and `environ` leaves unset or empty."""
    wanted = {
        "HOST": "127.0.0.1",
        "PORT": "8000",
        "OBS_ENV": "dev",
        "OBS_SERVICE_NAME": "divan-api",
        "OBS_ADMIN_TOKEN": secrets.token_urlsafe(24),
        "OBS_TRACING_ENABLED": "true" if environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else "false",
        "HEALTH_MIN_MIGRATION": "0008",
        "JWT_SECRET": secrets.token_urlsafe(32),
    }
    return {name: value for name, value in wanted.items() if not environ.get(name)}


def banner(url: str, admin_token: str) -> str:
    """Return what to open and a line for each thing to try."""
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return BANNER.format(url=url, admin_token=admin_token, python=python)


def complaint(host: str, port: str) -> str | None:
    """Return why nothing can be served there; uvicorn would say it last, after the application has started."""
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        return f"PORT is {port!r}; expected a number up to 65535."
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, int(port)), family=family).close()
    except OSError as error:
        return f"Nothing can be served on {host} port {port}: {error.strerror}. PORT=8001 takes another."
    return None


def main() -> None:
    made = demo_environment(os.environ)
    os.environ.update(made)
    wrong = complaint(os.environ["HOST"], os.environ["PORT"])
    if wrong is not None:
        sys.exit(wrong)
    # A token of yours is not printed.
    admin_token = made.get("OBS_ADMIN_TOKEN", "$OBS_ADMIN_TOKEN")
    config = uvicorn.Config(
        "examples.divan.app:app",
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        log_config=None,  # divan_obs_asgi writes all lines, uvicorn's too
        access_log=False,
        timeout_graceful_shutdown=3,  # a Socket.IO client that polls holds its request for half a minute
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            Server(config, lambda url: print(banner(url, admin_token), flush=True)).run()
    except ImproperlyConfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
