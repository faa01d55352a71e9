"""A connection that belongs to one probe: not from the application's pool, and closed at the first failure."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

import anyio

from divan_obs_asgi.exceptions import ProbeFailed

# Seconds between two new connections. Only a new connection is asked for a password that has changed.
RENEW_S: Final = 30.0
# Seconds for dropping a connection; `drop` does not wait for the server.
_DROP_S = 1.0


class Connection(Protocol):
    """A connection to one server. It is not open when it is created."""

    async def open(self) -> None: ...

    async def close(self) -> None:
        """Close in good order, with the server."""

    async def drop(self) -> None:
        """Close in any state, without waiting for the server, and leave no task behind."""


C = TypeVar("C", bound=Connection)
T = TypeVar("T")


class DedicatedConnection(Generic[C]):
    """
    The connection of one probe.

    The first check opens it, and later checks reuse it. A check that ends early, by an error or its timeout, closes it:
    a late response is not taken for the response to the next request. If the server has closed the connection since
    the last check, for example by a restart, the check is repeated once on a new one and does not fail.

    Args:
        create: creates a connection that is not open yet.
        renew_s: seconds after which the connection is replaced by a new one.
        clock: seconds, monotonic.
        is_full: returns whether an error at opening means that the server accepts no more connections. Then the old
            connection is kept. If it were closed first, no instance would get its connection back.
    """

    def __init__(
        self,
        create: Callable[[], C],
        renew_s: float = RENEW_S,
        clock: Callable[[], float] = monotonic,
        *,
        is_full: Callable[[Exception], bool] = lambda error: False,
    ) -> None:
        self._create = create
        self._renew_s = renew_s
        self._is_full = is_full
        self._clock = clock
        self._connection: C | None = None
        self._opened_at = 0.0

    async def use(self, work: Callable[[C], Awaitable[T]]) -> T:
        """Return what `work` returns. Raises what `work` raises, or what opening raises."""
        if self._connection is not None and self._clock() - self._opened_at >= self._renew_s:
            await self._renew(self._connection)
        if self._connection is not None:
            try:
                return await self._attempt(work)
            except TimeoutError:
                raise
            except Exception:
                pass
        return await self._attempt(work)

    async def aclose(self) -> None:
        """Close the connection if it is open. The next `use` opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await _close(connection)

    async def _renew(self, old: C) -> None:
        connection, self._connection = self._create(), None
        try:
            await connection.open()
        except Exception as error:
            await _drop(connection)
            if not self._keeps_the_old_one(error):
                await _drop(old)
                raise
            await self._keep(old)
        except BaseException:
            # The timeout is over. The next check uses the old connection, and finds out what hangs.
            await _drop(connection)
            await self._keep(old)
            raise
        else:
            await self._keep(connection)
            await _close(old)
        finally:
            self._opened_at = self._clock()

    def _keeps_the_old_one(self, error: Exception) -> bool:
        """Return whether an error at opening is not the server's failure: the name server failed, or it is full."""
        return isinstance(error, (socket.gaierror, ProbeFailed)) or self._is_full(error)

    async def _attempt(self, work: Callable[[C], Awaitable[T]]) -> T:
        connection, self._connection = self._connection, None
        try:
            if connection is None:
                connection = self._create()
                await connection.open()
                self._opened_at = self._clock()
            result = await work(connection)
        except BaseException:
            if connection is not None:
                await _drop(connection)
            raise
        await self._keep(connection)
        return result

    async def _keep(self, connection: C) -> None:
        if self._connection is None:
            self._connection = connection
        else:  # A concurrent call has opened one, and that one is kept.
            await _drop(connection)


async def _close(connection: Connection) -> None:
    try:
        await connection.close()
    except Exception:
        await _drop(connection)  # The server closed first.
    except BaseException:
        await _drop(connection)
        raise


async def _drop(connection: Connection) -> None:
    # The shield lets a cancelled check drop its connection too. Only the error that ended the check is reported.
    with anyio.move_on_after(_DROP_S, shield=True), suppress(Exception):
        await connection.drop()


__all__ = ["RENEW_S", "Connection", "DedicatedConnection"]
