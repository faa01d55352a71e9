"""What a probe asks of the system that may hang: in a thread of its own, of which there is one at most."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeVar

import anyio
import anyio.to_thread

from divan_obs_asgi.exceptions import ProbeFailed

T = TypeVar("T")


class OwnThread:
    """
    Calls one function at a time, in a thread that is none of the application's.

    What hangs costs no second thread; and those in which the event loop looks names up, and `asyncio.to_thread` runs,
    are a handful.
    """

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(1)
        self._hangs = False

    async def call(self, function: Callable[[], T]) -> T:
        """
        Return what `function` returns; raises what it raises.

        Raises:
            ProbeFailed: "timeout", where a call before has been given up and has not returned yet.
        """
        if self._hangs:
            raise ProbeFailed("timeout")
        return await anyio.to_thread.run_sync(self._run, function, abandon_on_cancel=True, limiter=self._limiter)

    def _run(self, function: Callable[[], T]) -> T:
        self._hangs = True
        try:
            return function()
        finally:
            self._hangs = False


class Names:
    """Whether the name server answers, before a library asks it and cannot be made to give up."""

    def __init__(self) -> None:
        self._thread = OwnThread()

    async def look_up(self, host: object) -> None:
        """
        Return where `host` has an address, or is one, or is no name at all.

        Raises:
            OSError: where it has none.
            ProbeFailed: "timeout", where the name server hangs since a check before.
        """
        if isinstance(host, str) and host and not host.startswith("/") and not _is_address(host):
            await self._thread.call(lambda: socket.getaddrinfo(host, None))


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


__all__ = ["Names", "OwnThread"]
