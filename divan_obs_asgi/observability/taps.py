"""
Where a test listens to what a service does.

A tap changes a middleware, or a Socket.IO server's calls, when it is put in: where nobody listens, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from divan_obs_asgi.connection.record import RequestRecord
from divan_obs_asgi.types import Scope


class Tap(Protocol):
    """
    What listens to one bundle.

    Attributes:
        component: the name under which its failures are counted.
    """

    @property
    def component(self) -> str: ...

    def observe(self, scope: Scope, record: RequestRecord) -> Callable[[], object] | None:
        """Called when a request or a WebSocket begins; as in a `RecordMiddleware`."""

    def event_ended(self, record: RequestRecord) -> None:
        """Called when the handler of a Socket.IO event has returned or raised."""


class Tappable(Protocol):
    """A part of a bundle that ends records."""

    def use_taps(self, taps: tuple[Tap, ...]) -> None:
        """Have these listen, in place of those that did."""


class Taps:
    """Those of one bundle, and the parts of it that they listen to."""

    def __init__(self) -> None:
        self._taps: tuple[Tap, ...] = ()
        # By their ids: a middleware may be something that has no hash.
        self._parts: WeakValueDictionary[int, Tappable] = WeakValueDictionary()

    def join(self, part: Tappable) -> None:
        """Have a part be listened to, now or later."""
        self._parts[id(part)] = part
        if self._taps:
            part.use_taps(self._taps)

    @contextmanager
    def put_in(self, tap: Tap) -> Iterator[None]:
        """Have `tap` listen, to parts that are made meanwhile too."""
        self._change((*self._taps, tap))
        try:
            yield
        finally:
            self._change(tuple(one for one in self._taps if one is not tap))

    def _change(self, taps: tuple[Tap, ...]) -> None:
        self._taps = taps
        for part in list(self._parts.values()):
            part.use_taps(taps)


__all__ = ["Tap", "Tappable", "Taps"]
