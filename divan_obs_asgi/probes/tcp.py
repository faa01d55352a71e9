"""Probe: a TCP port accepts connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import anyio

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dns import NameResolver


class TcpProbe(NamedProbe):
    """Readiness: `host` accepts a connection at `port`. The connection is closed at once."""

    timeout = 0.5

    def __init__(
        self,
        host: str,
        port: int,
        *,
        name: str,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(name, **options)
        self._address = (host, port)
        self._resolver = NameResolver()

    async def check(self) -> Mapping[str, object]:
        try:
            await self._resolver.look_up(self._address[0])
            stream = await anyio.connect_tcp(*self._address)
        except OSError:
            raise ProbeFailed("refused") from None
        await stream.aclose()
        return {}


__all__ = ["TcpProbe"]
