"""Blocking calls of a probe, such as DNS lookups, in a thread of its own: one at most."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeVar

import anyio
import anyio.to_thread

from divan_obs_asgi.exceptions import ProbeFailed

T = TypeVar("T")


class DedicatedThread:
    """
    Calls one function at a time, in a thread that is not taken from the application's pools.

    A call that hangs does not start a second thread. The pools of the event loop, for DNS lookups and
    `asyncio.to_thread`, have a few threads only, and stay free.
    """

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(1)
        self._is_busy = False

    async def call(self, function: Callable[[], T]) -> T:
        """
        Return what `function` returns; raises what it raises.

        Raises:
            ProbeFailed: "timeout", if an earlier call was abandoned and still hangs.
        """
        if self._is_busy:
            raise ProbeFailed("timeout")
        return await anyio.to_thread.run_sync(self._run, function, abandon_on_cancel=True, limiter=self._limiter)

    def _run(self, function: Callable[[], T]) -> T:
        self._is_busy = True
        try:
            return function()
        finally:
            self._is_busy = False


class NameResolver:
    """Checks that a host name resolves, before a library looks it up in a way that cannot be cancelled."""

    def __init__(self) -> None:
        self._thread = DedicatedThread()

    async def look_up(self, host: object) -> None:
        """
        Return if `host` resolves, is an address, or is not a host name at all.

        Raises:
            OSError: if it does not resolve.
            ProbeFailed: "timeout", if the name server still hangs since an earlier check.
        """
        if isinstance(host, str) and host and not host.startswith("/") and not _is_address(host):
            await self._thread.call(lambda: socket.getaddrinfo(host, None))


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


__all__ = ["DedicatedThread", "NameResolver"]
