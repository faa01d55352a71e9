"""Clients that have left before the end of their response, as far as the server knows it."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import anyio

from divan_obs_asgi.connection.timers import call_later, start_task, trio_token
from divan_obs_asgi.types import Message, Receive, Send

# Seconds between two looks; so exact is how long a client has waited.
_EVERY_S = 0.1


def _of_uvicorn(receive: Any, send: Any) -> bool:
    return bool(receive.__self__.disconnected)


def _of_hypercorn(receive: Any, send: Any) -> bool:
    # It closes the stream at the end of the response, too; its state says so first.
    stream = send.__self__
    return bool(stream.closed) and stream.state.name != "CLOSED"


# The servers' own objects: whose state says whether the client is there, at no cost and without a `receive`. uvicorn's
# `receive` would also make it read on where it holds back a client that pipelines.
_BY_SERVER: dict[tuple[str, str], Callable[[Any, Any], bool]] = {
    ("uvicorn.", "RequestResponseCycle"): _of_uvicorn,
    ("uvicorn.", "H2RequestResponseCycle"): _of_uvicorn,
    ("hypercorn.", "HTTPStream"): _of_hypercorn,
}
# A test client may make a class for each request.
_MOST_KINDS = 64
_known: dict[tuple[type, type], Callable[[Any, Any], bool] | None] = {}


def has_left(receive: Receive, send: Send) -> bool | None:
    """Return whether the server knows that the client has left; None where only `receive` says it."""
    kinds = type(getattr(receive, "__self__", None)), type(getattr(send, "__self__", None))
    try:
        read = _known[kinds]
    except KeyError:
        read = _reader(kinds)
        if len(_known) < _MOST_KINDS:
            _known[kinds] = read
    if read is None:
        return None
    try:
        return read(receive, send)
    except AttributeError:
        return None


def _reader(kinds: tuple[type, type]) -> Callable[[Any, Any], bool] | None:
    for kind in kinds:
        for (package, name), read in _BY_SERVER.items():
            if kind.__name__ == name and kind.__module__.startswith(package):
                return read
    return None


class ReceiveAhead:
    """
    Calls a server's `receive` in place of the application, and keeps for it what comes.

    The only way to learn from most servers that the client has left. It ends with the first message after the body, and
    is the only call of `receive` until then: an application that calls it meanwhile waits for what comes here.

    Args:
        receive: the server's.
        body_read: whether the application has read the body to its end; else there should be none.
        left: called when the client has left, or the response has ended.
    """

    __slots__ = ("_arrived", "_kept", "_receiving", "_stop")

    def __init__(self, receive: Receive, body_read: bool, left: Callable[[], object]) -> None:
        self._kept: deque[Message] = deque()
        self._arrived: anyio.Event | None = None
        self._receiving = True
        # Of the three nothing is kept here: whose they are holds this object.
        self._stop: Callable[[], object] | None = None
        self._stop = start_task(partial(self._run, receive, 1 if body_read else 2, left))

    def stop(self) -> None:
        """End it."""
        # A cancelled task keeps the exception, whose traceback holds this object: it is not to hold the task, too.
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    async def message(self) -> Message | None:
        """Return the next message, when it is there; None where the server is to be asked."""
        while not self._kept and self._receiving:
            if self._arrived is None:
                self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._kept.popleft() if self._kept else None

    async def _run(self, receive: Receive, most: int, left: Callable[[], object]) -> None:
        try:
            for _ in range(most):
                message = await receive()
                self._kept.append(message)
                self._tell()
                if message["type"] == "http.disconnect":
                    left()
                if message["type"] != "http.request" or message.get("more_body"):
                    return
        except Exception:
            # The application will meet it where it calls `receive` by itself.
            pass
        finally:
            self._receiving = False
            self._tell()

    def _tell(self) -> None:
        arrived, self._arrived = self._arrived, None
        if arrived is not None:
            arrived.set()


class Connection(Protocol):
    """
    A connection in flight, as it is looked after.

    Attributes:
        cancel: cancels the application; None where it is not to be cancelled.
    """

    cancel: Callable[[], object] | None

    def look(self) -> bool:
        """Note whether the client has left, and return it."""

    def route(self) -> str:
        """Return the route as far as it is known."""


class _Watch:
    """Looks at the requests in flight of one event loop again and again, while there are any."""

    def __init__(self, disconnects: Disconnects, loop: object) -> None:
        self.connections: set[Connection] = set()
        self.loop = loop
        self._disconnects = disconnects
        call_later(_EVERY_S, self._look)

    def _look(self) -> None:
        if not self.connections:
            self._disconnects.forget(self)
            return
        for connection in tuple(self.connections):
            if connection.look() and connection.cancel is not None and self._disconnects.cancels(connection.route()):
                connection.cancel()
        call_later(_EVERY_S, self._look)


class Disconnects:
    """
    Looks after the requests in flight: whose client has left is noted, and by flag the application cancelled.

    Without a task of its own: servers that know no lifespan start none, and an idle service has nothing to look at.

    Args:
        cancelled: routes whose applications are cancelled then; `*` is all of them.
    """

    def __init__(self, cancelled: tuple[str, ...] = ()) -> None:
        self.cancelled = cancelled
        # By event loop: another one may use this bundle at the same time.
        self._watches: dict[object, _Watch] = {}
        self._last: _Watch | None = None

    def watched(self) -> set[Connection]:
        """Return the requests in flight that are looked after in this event loop."""
        loop = _get_running_loop() or trio_token()
        watch = self._last
        if watch is None or watch.loop is not loop:
            self._last = watch = self._of(loop)
        return watch.connections

    def _of(self, loop: object) -> _Watch:
        watch = self._watches.get(loop)
        if watch is None:
            # Those of event loops that have ended are empty, and will not look any more.
            for other in tuple(self._watches.values()):
                if not other.connections:
                    self.forget(other)
            watch = self._watches[loop] = _Watch(self, loop)
        return watch

    def forget(self, watch: _Watch) -> None:
        """Forget a watch that has nothing to look at."""
        if self._last is watch:
            self._last = None
        if self._watches.get(watch.loop) is watch:
            self._watches.pop(watch.loop, None)

    def cancels(self, route: str) -> bool:
        """Return whether the application of this route is cancelled when its client has left."""
        return "*" in self.cancelled or route in self.cancelled


__all__ = ["Disconnects", "ReceiveAhead", "has_left"]
