"""Ops on a port of its own, where no client of the service comes: OBS_OPS_PORT."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

import anyio

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.ops.responses import Refused
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# The key that a scope of this port has, and none of the application's: no client can put it there.
OWN_PORT_KEY = "divan_obs_asgi.ops_port"
COMPONENT = "ops_port"
# Whoever has the port now may give it back.
RETRY_S = 5.0
_NOT_FOUND = Refused(404, "There is no such endpoint.")
_logger = logging.getLogger("divan_obs_asgi.ops")


def keep_off(app: ASGIApp) -> ASGIApp:
    """Return `app` for the innermost place of a stack that is served on the own port, too: there it is never called."""

    async def off_the_own_port(scope: Scope, receive: Receive, send: Send) -> None:
        if OWN_PORT_KEY not in scope:
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await _NOT_FOUND.answer()(scope, receive, send)

    # Where the routes of the application are looked for, as in every middleware.
    off_the_own_port.app = app  # type: ignore[attr-defined]
    return off_the_own_port


def serve_on_own_port(stack: ASGIApp, obs: Observability, port: int) -> None:
    """Have `stack` served on the own port too while the application runs; the first one of a bundle."""
    if COMPONENT in obs.probes.names():
        return
    own = OwnPort(stack, obs, port)
    obs.background.add(COMPONENT, own.run)
    # Told and no more: the service can do its work without its operators.
    obs.probes.probe(COMPONENT, critical=False, interval=0, fail_after=1)(own.check)


class OwnPort:
    """
    Serves a stack by uvicorn, in the application's event loop, with its middlewares: what fails here is told too.

    Several workers share the port where the system lets them (SO_REUSEPORT), and any of them answers, as on the
    service's own. Where it is taken otherwise, that is said once, and tried again; the service goes on.
    """

    def __init__(self, stack: ASGIApp, obs: Observability, port: int) -> None:
        self._stack = stack
        self._faults = obs.faults
        self._address = (obs.settings.ops.host, port)
        self._said = False
        self.serves = False

    async def check(self) -> dict[str, object]:
        """Pass while it is served."""
        if not self.serves:
            raise ProbeFailed("refused")
        return {}

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            asyncio.get_running_loop()
            from divan_obs_asgi.ops.own_server import OwnServer
        except (ImportError, RuntimeError) as error:
            self._say("it needs asyncio and uvicorn: pip install uvicorn", error)
            return
        while True:
            try:
                with self._listener() as listener:
                    await OwnServer(self._answer).serve_on(listener, self._note)
            except OSError as error:
                self._say(error.strerror or type(error).__name__, error)
            await anyio.sleep(RETRY_S)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[OWN_PORT_KEY] = True
        await self._stack(scope, receive, send)

    def _note(self, serves: bool) -> None:
        self.serves = serves
        if serves:
            self._said = False
            _logger.info("OBS_OPS_PORT: served on %s, port %d.", *self._address)

    def _say(self, why: str, error: Exception) -> None:
        if self._said:
            return
        self._said = True
        host, port = self._address
        _logger.error("OBS_OPS_PORT: nobody is served on %s, port %d: %s.", host, port, why)
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


__all__ = ["COMPONENT", "OWN_PORT_KEY", "RETRY_S", "OwnPort", "keep_off", "serve_on_own_port"]
