"""Detects clients that have left before the end of their response, as far as the server knows."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

import anyio

from divan_obs_asgi.connection.timers import call_later, start_task, trio_token
from divan_obs_asgi.types import Message, Receive, Send

Reader: TypeAlias = Callable[[Any, Any], bool]

# Seconds between two checks: the precision of the time that a client has waited.
_EVERY_S = 0.1


def of_uvicorn(receive: Any, send: Any) -> bool:
    """Return whether the client of uvicorn has left."""
    return bool(receive.__self__.disconnected)


def _of_hypercorn(receive: Any, send: Any) -> bool:
    # hypercorn closes the stream at the end of the response, too; its state shows that before.
    stream = send.__self__
    return bool(stream.closed) and stream.state.name != "CLOSED"


# The state of these servers' own objects shows whether the client is connected, at no cost and without a `receive`.
# uvicorn's `receive` would also make it read on from a pipelining client that it holds back.
_BY_SERVER: dict[tuple[str, str], Reader] = {
    ("uvicorn.", "RequestResponseCycle"): of_uvicorn,
    ("uvicorn.", "H2RequestResponseCycle"): of_uvicorn,
    ("hypercorn.", "HTTPStream"): _of_hypercorn,
}
# A bound, because a test client may make a class for each request.
_MOST_KINDS = 64
_known: dict[tuple[type, type], Reader | None] = {}


def reader_of(receive: Receive, send: Send) -> Reader | None:
    """Return what reads whether the client has left from the server's state; None where only `receive` can show it."""
    kinds = type(getattr(receive, "__self__", None)), type(getattr(send, "__self__", None))
    try:
        return _known[kinds]
    except KeyError:
        read = _reader(kinds)
        if len(_known) < _MOST_KINDS:
            _known[kinds] = read
        return read


def is_of_one(receive: Any, send: Any) -> bool:
    """Return whether both are methods of one object: a server's own, and not a wrapper of a middleware around us."""
    owner = getattr(send, "__self__", None)
    return owner is not None and owner is getattr(receive, "__self__", None)


def has_left(receive: Receive, send: Send) -> bool | None:
    """Return whether the server knows that the client has left; None where only `receive` can show it."""
    read = reader_of(receive, send)
    if read is None:
        return None
    try:
        return read(receive, send)
    except AttributeError:
        return None


def _reader(kinds: tuple[type, type]) -> Reader | None:
    for kind in kinds:
        for (package, name), read in _BY_SERVER.items():
            if kind.__name__ == name and kind.__module__.startswith(package):
                return read
    return None


class ReceiveAhead:
    """
    Calls a server's `receive` ahead of the application, and keeps the messages for it.

    With most servers this is the only way to notice that the client has left. It ends with the first message after the
    body. Until then it is the only caller of `receive`: the application gets its messages from here.

    Args:
        receive: the server's.
        body_read: whether the application has read the body to its end; else the request should have no body.
        left: called when the client has left, or the response has ended.
    """

    __slots__ = ("_arrived", "_kept", "_receiving", "_stop")

    def __init__(self, receive: Receive, body_read: bool, left: Callable[[], object]) -> None:
        self._kept: deque[Message] = deque()
        self._arrived: anyio.Event | None = None
        self._receiving = True
        # The arguments are not kept: their owner holds this object.
        self._stop: Callable[[], object] | None = None
        self._stop = start_task(partial(self._run, receive, 1 if body_read else 2, left))

    def stop(self) -> None:
        """End it."""
        # A cancelled task keeps the exception, whose traceback holds this object. This object must not hold the task.
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    async def message(self) -> Message | None:
        """Return the next message; None where the caller has to call the server's `receive`."""
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
                self._wake()
                if message["type"] == "http.disconnect":
                    left()
                if message["type"] != "http.request" or message.get("more_body"):
                    return
        except Exception:
            # The application gets the exception when it calls `receive` itself.
            pass
        finally:
            self._receiving = False
            self._wake()

    def _wake(self) -> None:
        arrived, self._arrived = self._arrived, None
        if arrived is not None:
            arrived.set()


class Connection(Protocol):
    """
    A connection in flight whose client is watched.

    Attributes:
        cancel: cancels the application; None where it must not be cancelled.
    """

    cancel: Callable[[], object] | None

    def look(self) -> bool:
        """Note whether the client has left, and return it."""

    def route(self) -> str:
        """Return the route as far as it is known."""


class _Watch:
    """Checks the requests in flight of one event loop at intervals, while there are any."""

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
    Watches the requests in flight. It notes which clients have left, and by flag cancels their applications.

    It uses timers and not a task: without a lifespan a task could not be started, and an idle service needs none.

    Args:
        cancelled: routes whose applications are cancelled when the client has left; `*` for all routes.
    """

    def __init__(self, cancelled: tuple[str, ...] = ()) -> None:
        self.cancelled = cancelled
        # By event loop: several may use this bundle at the same time.
        self._watches: dict[object, _Watch] = {}
        self._last: _Watch | None = None

    def watched(self) -> set[Connection]:
        """Return the set of watched requests of this event loop."""
        loop = _get_running_loop() or trio_token()
        watch = self._last
        if watch is None or watch.loop is not loop:
            self._last = watch = self._of(loop)
        return watch.connections

    def _of(self, loop: object) -> _Watch:
        watch = self._watches.get(loop)
        if watch is None:
            # The watches of ended event loops are empty, and their timers never fire.
            for other in tuple(self._watches.values()):
                if not other.connections:
                    self.forget(other)
            watch = self._watches[loop] = _Watch(self, loop)
        return watch

    def forget(self, watch: _Watch) -> None:
        """Remove a watch without requests."""
        if self._last is watch:
            self._last = None
        if self._watches.get(watch.loop) is watch:
            self._watches.pop(watch.loop, None)

    def cancels(self, route: str) -> bool:
        """Return whether the application of this route is cancelled when its client has left."""
        return "*" in self.cancelled or route in self.cancelled


__all__ = ["Disconnects", "Reader", "ReceiveAhead", "has_left", "is_of_one", "of_uvicorn", "reader_of"]
