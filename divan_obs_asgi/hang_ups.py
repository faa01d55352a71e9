"""Clients that have left before the end of their response, as far as the server knows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio

from divan_obs_asgi.types import Receive, Send

if TYPE_CHECKING:
    from divan_obs_asgi.record import Channel

# Seconds between two looks; so exact is how long a client has waited.
_EVERY_S = 0.1


def _of_uvicorn(receive: Any, send: Any) -> bool:
    return bool(receive.__self__.disconnected)


def _of_hypercorn(receive: Any, send: Any) -> bool:
    return bool(send.__self__.closed)


# The servers' own objects: whose state says whether the client is there, at no cost and without a `receive`.
_BY_SERVER: dict[tuple[str, str], Callable[[Any, Any], bool]] = {
    ("uvicorn.", "RequestResponseCycle"): _of_uvicorn,
    ("uvicorn.", "H2RequestResponseCycle"): _of_uvicorn,
    ("hypercorn.", "HTTPStream"): _of_hypercorn,
}
# A test client may make a class for each request.
_MOST_KINDS = 64
_known: dict[type, Callable[[Any, Any], bool] | None] = {}


def has_left(receive: Receive, send: Send) -> bool:
    """Return whether the server knows that the client has left; False where it does not say."""
    owner = getattr(receive, "__self__", None)
    kind = type(owner)
    if kind in _known:
        read = _known[kind]
    else:
        read = _reader(receive, send)
        if len(_known) < _MOST_KINDS:
            _known[kind] = read
    if read is None:
        return False
    try:
        return read(receive, send)
    except AttributeError:
        return False


def _reader(receive: Receive, send: Send) -> Callable[[Any, Any], bool] | None:
    for owner in (getattr(receive, "__self__", None), getattr(send, "__self__", None)):
        for (package, name), read in _BY_SERVER.items():
            if type(owner).__name__ == name and type(owner).__module__.startswith(package):
                return read
    return None


class HangUps:
    """
    Looks after the requests in flight: whose client has left is noted, and by flag the application cancelled.

    Args:
        cancelled: routes whose applications are cancelled then; `*` is all of them.
    """

    def __init__(self, cancelled: tuple[str, ...] = ()) -> None:
        self.cancelled = cancelled
        self.watched: set[Channel] = set()

    async def run(self) -> None:
        """Look again and again; ends by being cancelled."""
        while True:
            await anyio.sleep(_EVERY_S)
            for channel in tuple(self.watched):
                if channel.notice_hang_up() and channel.cancel is not None and self._cancels(channel.route()):
                    channel.cancel()

    def _cancels(self, route: str) -> bool:
        return "*" in self.cancelled or route in self.cancelled


__all__ = ["HangUps", "has_left"]
