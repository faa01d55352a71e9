"""The ops endpoints on their own port, which clients of the service do not reach: OBS_OPS_PORT."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

import anyio

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.ops.responses import RequestRefused
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# Marks the scopes of this port. A client cannot set a key of the scope.
OWN_PORT_KEY = "divan_obs_asgi.ops_port"
COMPONENT = "ops_port"
# Seconds until it tries again to listen: another process may have released the port.
RETRY_S = 5.0
_NOT_FOUND = RequestRefused(404, "There is no such endpoint.")
_logger = logging.getLogger("divan_obs_asgi.ops")


def not_on_own_port(app: ASGIApp) -> ASGIApp:
    """Return `app` as the innermost application of a stack that is also served on the own port, where it is 404."""

    async def on_other_ports(scope: Scope, receive: Receive, send: Send) -> None:
        if OWN_PORT_KEY not in scope:
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await _NOT_FOUND.response()(scope, receive, send)

    # The attribute by which the routes of the application are found, as in every middleware.
    on_other_ports.app = app  # type: ignore[attr-defined]
    return on_other_ports


def serve_on_own_port(stack: ASGIApp, obs: Observability, port: int) -> None:
    """Serve `stack` on the own port too while the application runs; only the first stack of a bundle."""
    if COMPONENT in obs.probes.names():
        return
    own = OwnPort(stack, obs, port)
    obs.background.add(COMPONENT, own.run)
    # Not critical: the service can do its work without ops endpoints.
    obs.probes.probe(COMPONENT, critical=False, interval=0, fail_after=1)(own.check)


class OwnPort:
    """
    Serves a stack by uvicorn in the application's event loop, with its middlewares, so that failures are reported.

    Several workers share the port if the system has SO_REUSEPORT, and any of them answers. If the port is taken, one
    ERROR line says so, the service runs without it, and listening is tried again.
    """

    def __init__(self, stack: ASGIApp, obs: Observability, port: int) -> None:
        self._stack = stack
        self._faults = obs.faults
        self._address = (obs.settings.ops.host, port)
        self._failure_logged = False
        self.serves = False

    async def check(self) -> dict[str, object]:
        """Pass while the port is served."""
        if not self.serves:
            raise ProbeFailed("refused")
        return {}

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            asyncio.get_running_loop()
            from divan_obs_asgi.ops.own_server import OwnServer
        except (ImportError, RuntimeError) as error:
            self._log_failure("asyncio and uvicorn are required (pip install uvicorn)", error)
            return
        while True:
            try:
                with self._listener() as listener:
                    await OwnServer(self._answer).serve_on(listener, self._set_serving)
            except OSError as error:
                self._log_failure(error.strerror or type(error).__name__, error)
            await anyio.sleep(RETRY_S)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[OWN_PORT_KEY] = True
        await self._stack(scope, receive, send)

    def _set_serving(self, serves: bool) -> None:
        self.serves = serves
        if serves:
            self._failure_logged = False
            _logger.info("Serving the ops endpoints on %s:%d (OBS_OPS_PORT).", *self._address)

    def _log_failure(self, why: str, error: Exception) -> None:
        if self._failure_logged:
            return
        self._failure_logged = True
        host, port = self._address
        _logger.error("Cannot listen on %s:%d (OBS_OPS_PORT): %s.", host, port, why)
        self._faults.report(COMPONENT, error)

    def _listener(self) -> socket.socket:
        host, _ = self._address
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(self._address)
        except BaseException:
            listener.close()
            raise
        return listener


__all__ = ["COMPONENT", "OWN_PORT_KEY", "RETRY_S", "OwnPort", "not_on_own_port", "serve_on_own_port"]
