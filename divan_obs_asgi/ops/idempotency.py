"""Requests that are sent again because nobody heard the answer: it is given again, and nothing else is done."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.responses import Response

from divan_obs_asgi.ops.responses import Refused

# Who repeats a request does so within a day.
TTL_S = 86_400.0
# Of more the oldest is forgotten.
MAX_KEYS = 256


class Once:
    """
    A request under its key.

    Attributes:
        answer: what was answered the first time; None while it was not.
    """

    def __init__(self, asked: object, at: float = 0.0) -> None:
        self.asked = asked
        self.at = at
        self.answer: Response | None = None


class IdempotencyStore:
    """
    Remembers first answers by `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, Once] = OrderedDict()

    @contextmanager
    def once(self, key: bytes, asked: object) -> Iterator[Once]:
        """
        Yield the request of `key`: with the first answer, or, the first time, for it to be set.

        One that is left without an answer, because it was refused, is forgotten: it has done nothing.

        Raises:
            Refused: 409 while the first one is not answered; 422 where it asked for something else.
        """
        self._forget()
        known = self._known.get(key)
        if known is not None:
            if known.asked != asked:
                raise Refused(422, "This Idempotency-Key was sent with another request.")
            if known.answer is None:
                raise Refused(409, "The request with this Idempotency-Key is not answered yet.")
            yield known
            return
        first = self._known[key] = Once(asked, self._clock())
        try:
            yield first
        finally:
            if first.answer is None and self._known.get(key) is first:
                del self._known[key]

    def _forget(self) -> None:
        while self._known:
            oldest = next(iter(self._known.values()))
            if len(self._known) < MAX_KEYS and self._clock() - oldest.at < TTL_S:
                return
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)


__all__ = ["MAX_KEYS", "TTL_S", "IdempotencyStore", "Once"]
