"""A uvicorn beside the application's own server, in its event loop. Imported only where OBS_OPS_PORT is set."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

import anyio
import uvicorn

from divan_obs_asgi.types import ASGIApp

# What a scrape that is under way at the end of the application may take.
_LAST_ANSWERS_S = 1


class _Config(uvicorn.Config):
    def configure_logging(self) -> None:
        """Leave the loggers alone: they are the application's server's."""


class OwnServer(uvicorn.Server):
    """Serves without the signals, the lifespan and the logging that belong to the application's server."""

    def __init__(self, app: ASGIApp) -> None:
        # The address is that of the peer, whatever a header says: no proxy is meant to stand before this port.
        super().__init__(
            _Config(
                cast(Any, app),
                interface="asgi3",
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
            )
        )

    async def serve_on(self, listener: socket.socket, serves: Callable[[bool], object]) -> None:
        """
        Serve until cancelled.

        Raises:
            OSError: where nobody can listen there.
        """
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup([listener])
        serves(True)
        try:
            await self.main_loop()
        finally:
            serves(False)
            with anyio.CancelScope(shield=True):
                await self.shutdown([listener])


__all__ = ["OwnServer"]
