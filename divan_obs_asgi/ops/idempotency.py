"""Repeated requests with the same `Idempotency-Key`: they get the first response, and nothing is done twice."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.responses import Response

from divan_obs_asgi.ops.responses import RequestRefused

# Clients repeat a request within a day.
TTL_S = 86_400.0
# With more keys than this, the oldest is forgotten.
MAX_KEYS = 256


class IdempotentRequest:
    """
    A request under its key.

    Attributes:
        content: what the request asked for; a repetition must ask for the same.
        at: when it came, by the clock of the store.
        response: the first response; None while the request is in flight.
    """

    def __init__(self, content: object, at: float = 0.0) -> None:
        self.content = content
        self.at = at
        self.response: Response | None = None


class IdempotencyStore:
    """
    Keeps the first response of each `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._requests: OrderedDict[bytes, IdempotentRequest] = OrderedDict()

    @contextmanager
    def request(self, key: bytes, content: object) -> Iterator[IdempotentRequest]:
        """
        Yield the request of `key`: with its first response, or a new one whose response the caller sets.

        A request that the caller leaves without a response was refused and has done nothing: its key is forgotten.

        Raises:
            RequestRefused: 409 while the first request is in flight; 422 if it asked for something else.
        """
        self._forget()
        known = self._requests.get(key)
        if known is not None:
            if known.content != content:
                raise RequestRefused(422, "This Idempotency-Key was sent with another request.")
            if known.response is None:
                raise RequestRefused(409, "The request with this Idempotency-Key is still in flight.")
            yield known
            return
        first = self._requests[key] = IdempotentRequest(content, self._clock())
        try:
            yield first
        finally:
            if first.response is None and self._requests.get(key) is first:
                del self._requests[key]

    def _forget(self) -> None:
        while self._requests:
            oldest = next(iter(self._requests.values()))
            if len(self._requests) < MAX_KEYS and self._clock() - oldest.at < TTL_S:
                return
            self._requests.popitem(last=False)

    def __len__(self) -> int:
        return len(self._requests)


__all__ = ["MAX_KEYS", "TTL_S", "IdempotencyStore", "IdempotentRequest"]
