"""Probe: the event loop responds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

import anyio

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import LIVE, Group

_INTERVAL_S = 1.0
# An event loop that is late by more than this is stuck. A restart helps.
_MAX_AGE_S = 10.0


class HeartbeatProbe:
    """
    Liveness: a task notes the time once a second while the application lives.

    It checks no dependency, because a restart repairs none. Before the task has started, and under a server without
    lifespan, the response itself is the proof.
    """

    name = "heartbeat"
    timeout = 1.0
    critical = True
    group: Group = LIVE
    # The check costs nothing, so every request gets the present state.
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
