"""The connection of a probe's own: never taken from the application's pool, and let go of at the first failure."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

import anyio

from divan_obs_asgi.exceptions import ProbeFailed

# A password that was changed is asked for by new connections only: so often one is made.
RENEW_S: Final = 30.0
# What letting go may take; no link waits for its server there.
_DROP_S = 1.0


class Link(Protocol):
    """A connection to one server, not open yet."""

    async def open(self) -> None: ...

    async def close(self) -> None:
        """Take leave of the server, and close."""

    async def drop(self) -> None:
        """Close without waiting for the server, in whatever state the connection is, and leave no task behind."""


L = TypeVar("L", bound=Link)
T = TypeVar("T")


class DedicatedConnection(Generic[L]):
    """
    The connection of one probe.

    It is opened at the first check and kept for the next ones. Whatever ends a check early, an error or its timeout,
    ends the connection: a late answer is not taken for that of the next question. One that the server has ended
    since the last check (it was restarted) is no failure of the server that is there now: it is asked again anew.

    Args:
        make: makes a link that is not open yet.
        renew_s: seconds after which the connection is made anew.
        clock: seconds, monotonic.
        is_full: tells of what opening has raised whether the server has no room for another connection; then the old
            one goes on. Whoever has let go of it first would find it taken, on all instances at once.
    """

    def __init__(
        self,
        make: Callable[[], L],
        renew_s: float = RENEW_S,
        clock: Callable[[], float] = monotonic,
        *,
        is_full: Callable[[Exception], bool] = lambda error: False,
    ) -> None:
        self._make = make
        self._renew_s = renew_s
        self._is_full = is_full
        self._clock = clock
        self._link: L | None = None
        self._opened_at = 0.0

    async def use(self, work: Callable[[L], Awaitable[T]]) -> T:
        """Return what `work` returns; raises what it raises, or what opening raises."""
        if self._link is not None and self._clock() - self._opened_at >= self._renew_s:
            await self._renew(self._link)
        if self._link is not None:
            try:
                return await self._attempt(work)
            except TimeoutError:
                raise
            except Exception:
                pass
        return await self._attempt(work)

    async def aclose(self) -> None:
        """Close the connection, if there is one; a later `use` opens another one."""
        link, self._link = self._link, None
        if link is not None:
            await _close(link)

    async def _renew(self, old: L) -> None:
        link, self._link = self._make(), None
        try:
            await link.open()
        except Exception as error:
            await _drop(link)
            if not self._is_no_word_of_it(error):
                await _drop(old)
                raise
            await self._keep(old)
        except BaseException:
            # The time is over. Whether the server hangs or the way to it, the next check finds out with the old one.
            await _drop(link)
            await self._keep(old)
            raise
        else:
            await self._keep(link)
            await _close(old)
        finally:
            self._opened_at = self._clock()

    def _is_no_word_of_it(self, error: Exception) -> bool:
        """Tell whether what opening has raised says nothing against the server: a name server did, or it is full."""
        return isinstance(error, (socket.gaierror, ProbeFailed)) or self._is_full(error)

    async def _attempt(self, work: Callable[[L], Awaitable[T]]) -> T:
        link, self._link = self._link, None
        try:
            if link is None:
                link = self._make()
                await link.open()
                self._opened_at = self._clock()
            result = await work(link)
        except BaseException:
            if link is not None:
                await _drop(link)
            raise
        await self._keep(link)
        return result

    async def _keep(self, link: L) -> None:
        if self._link is None:
            self._link = link
        else:  # Somebody else has asked meanwhile, and theirs is kept.
            await _drop(link)


async def _close(link: Link) -> None:
    try:
        await link.close()
    except Exception:
        await _drop(link)  # The server has gone first.
    except BaseException:
        await _drop(link)
        raise


async def _drop(link: Link) -> None:
    # Also where the check was cancelled.
    with anyio.move_on_after(_DROP_S, shield=True), suppress(Exception):
        # Whatever goes wrong here, what ended the check is what is told.
        await link.drop()


__all__ = ["RENEW_S", "DedicatedConnection", "Link"]
