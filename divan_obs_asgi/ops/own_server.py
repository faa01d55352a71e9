"""A uvicorn server in the application's event loop, beside its own server. Imported only with OBS_OPS_PORT."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

import anyio
import uvicorn

from divan_obs_asgi.types import ASGIApp

# Seconds that a scrape in flight may take when the application ends.
_LAST_ANSWERS_S = 1


class _Config(uvicorn.Config):
    def configure_logging(self) -> None:
        """Leave the loggers to the application's server."""


class OwnServer(uvicorn.Server):
    """Serves without signals, lifespan and logging, which belong to the application's server."""

    def __init__(self, app: ASGIApp) -> None:
        # The address of a client is that of its connection: this port is not meant to be behind a proxy.
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
            OSError: if it cannot listen.
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
