"""Whether the event loop still turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

import anyio

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import LIVE, Group

_INTERVAL_S = 1.0
# A loop that comes round later than this is stuck, and a restart is the cure.
_MAX_AGE_S = 10.0


class HeartbeatProbe:
    """
    Liveness: a task that notes the time once a second, for as long as the application lives.

    It asks nothing of any dependency, because a restart cures none of them. Before the task has
    started, and where the server has no lifespan, answering at all is the proof.
    """

    name = "heartbeat"
    timeout = 1.0
    critical = True
    group: Group = LIVE
    # It costs nothing, and is to be true at the moment in which it is told.
    interval = 0.0
    fail_after = 1

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._beat: float | None = None

    async def run(self) -> None:
        """Beat until cancelled."""
        try:
            while True:
                self._beat = self._clock()
                await anyio.sleep(_INTERVAL_S)
        finally:
            self._beat = None

    async def check(self) -> Mapping[str, object]:
        if self._beat is not None and self._clock() - self._beat > _MAX_AGE_S:
            raise ProbeFailed("timeout")
        return {}


__all__ = ["HeartbeatProbe"]
