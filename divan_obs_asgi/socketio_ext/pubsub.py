"""What a process misses of the others: interruptions of its subscription, and messages that were lost."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from divan_obs_asgi.metrics import Metrics

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub
else:
    PubSub = object

# The key in a message between processes for its number, per process that has sent it; other managers ignore it.
NUMBER_KEY = "divan_number"
# The key for the seconds since that process sent its first message.
AGE_KEY = "divan_age"
# Seconds after which a number that is missing is lost: messages of one process may overtake each other.
_LATE_S = 10.0
# Processes whose numbers are remembered, and missing numbers that are waited for.
_MAX_HOSTS, _MAX_MISSING = 1000, 1000


class PubSubLosses:
    """
    Counts interruptions and lost messages of one manager.

    Emits are numbered by the process that sends them, so that the others notice a gap at its next emit. The age of the
    numbers comes with them: a process that had subscribed before the first one and hears a later one has lost the rest.

    Attributes:
        is_interrupted: whether nothing was read since the last failure.
        interrupted_at: when the subscription was interrupted last, in seconds of `clock`; None if never.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = monotonic) -> None:
        self._interruptions = metrics.socketio_pubsub_interruptions
        self._lost = {direction: metrics.socketio_pubsub_lost.labels(direction) for direction in ("in", "out")}
        self._clock = clock
        self.interrupted_at: float | None = None
        self.is_interrupted = False
        self._sent = 0
        self._first_sent_at = 0.0
        self._listening_since: float | None = None
        self._has_forgotten = False
        self._expected: OrderedDict[str, int] = OrderedDict()
        self._missing: OrderedDict[tuple[str, int], float] = OrderedDict()

    def interrupted(self) -> None:
        """The subscription has failed. Attempts that fail until it works again belong to the same interruption."""
        self.interrupted_at = self._clock()
        if not self.is_interrupted:
            self.is_interrupted = True
            self._interruptions.inc()

    def subscribed(self) -> None:
        """The subscription works."""
        if self._listening_since is None:
            self._listening_since = self._clock()
        if self.is_interrupted:
            self.is_interrupted = False
            self.interrupted_at = self._clock()

    def was_interrupted_within(self, seconds: float) -> bool:
        """Return whether the subscription has failed, or was restored, in the last seconds."""
        return self.interrupted_at is not None and self._clock() - self.interrupted_at < seconds

    def lost(self, direction: str, messages: int = 1) -> None:
        """Count messages that could not be published ("out") or read ("in")."""
        self._lost[direction].inc(messages)

    def next_number(self) -> int:
        """Return the number of the next message of this process."""
        if not self._sent:
            self._first_sent_at = self._clock()
        self._sent += 1
        return self._sent

    def age_s(self) -> float:
        """Return the seconds since the first message of this process."""
        return round(self._clock() - self._first_sent_at, 1)

    def heard(self, host: object, number: object, age_s: object = None) -> None:
        """Note a message of another process, and which ones before it have not arrived."""
        if not isinstance(host, str) or type(number) is not int:
            return
        first = 1 if self._was_listening_for(age_s) else number
        expected = self._expected.pop(host, first)
        if number >= expected:
            gap = number - expected
            if gap > _MAX_MISSING:
                self.lost("in", gap)
            else:
                self._missing.update(((host, late), self._clock()) for late in range(expected, number))
        else:
            self._missing.pop((host, number), None)
        self._expected[host] = max(expected, number + 1)
        if len(self._expected) > _MAX_HOSTS:
            self._expected.popitem(last=False)
            self._has_forgotten = True
        self.settle()

    def _was_listening_for(self, age_s: object) -> bool:
        """Return whether this process had subscribed when another one, heard for the first time, began to send."""
        since = None if self._has_forgotten else self._listening_since
        return since is not None and isinstance(age_s, float) and 0 <= age_s < self._clock() - since - _LATE_S

    def settle(self) -> None:
        """Count the missing messages that will not arrive any more."""
        now = self._clock()
        while self._missing:
            key, since = next(iter(self._missing.items()))
            if now - since < _LATE_S and len(self._missing) <= _MAX_MISSING:
                return
            del self._missing[key]
            self.lost("in")


class ObservedPubSub(PubSub):
    """The first base class of redis-py's `PubSub` of a manager (`become`)."""

    divan_losses: PubSubLosses

    async def on_connect(self, connection: Any) -> None:
        """As in redis-py, which connects and subscribes again by itself if that works at once."""
        if self.channels:
            self.divan_losses.interrupted()
        await super().on_connect(connection)

    async def listen(self) -> AsyncIterator[Any]:
        self.divan_losses.subscribed()
        try:
            async for message in super().listen():
                self.divan_losses.subscribed()
                yield message
        except Exception:
            self.divan_losses.interrupted()
            raise


__all__ = ["AGE_KEY", "NUMBER_KEY", "ObservedPubSub", "PubSubLosses"]
