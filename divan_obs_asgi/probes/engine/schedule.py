"""A probe in the registry: who checks it, how often, and what is known of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from divan_obs_asgi.exceptions import ProbeReason
from divan_obs_asgi.probes.base import STARTUP, Probe
from divan_obs_asgi.probes.engine.hysteresis import Outcome, ProbeState
from divan_obs_asgi.probes.report import Past, Result

T = TypeVar("T")

# A result of so many intervals ago, and a timeout, was not renewed: whoever checks is stuck.
EXPIRY_INTERVALS = 3
# Where a check contradicts the verdict, the next one comes sooner.
HASTE = 4


class ScheduledProbe:
    """
    One probe with its standing. Only one check of it runs at a time; who asks meanwhile waits for that one.

    Attributes:
        kept_watch: whether a task of the registry checks it time and again.
    """

    def __init__(self, probe: Probe, interval_s: float, fail_after: int, recover_after: int) -> None:
        self.probe = probe
        self._interval_s = _own(probe, "interval", interval_s)
        #: Seconds between two checks in the background; 0 for none. A probe that is checked whenever it is asked for is
        #: kept watch over all the same: Prometheus asks no probe.
        self.watch_s = 0.0 if interval_s == 0 else self._interval_s or interval_s
        self._standing = ProbeState(_own(probe, "fail_after", fail_after), _own(probe, "recover_after", recover_after))
        self._flight: anyio.Event | None = None
        self.kept_watch = False
        self._watched_since = 0.0

    def keep_watch(self, now: float) -> None:
        """Note that a task of the registry checks it from now on."""
        self.kept_watch = True
        self._watched_since = now

    @property
    def pause_s(self) -> float:
        """Seconds until the next check in the background."""
        return self.watch_s / HASTE if self._standing.wavers else self.watch_s

    def is_settled(self) -> bool:
        """Tell whether no further check is needed, ever: what belongs to the start has passed once."""
        told = self._standing.told
        return self.probe.group == STARTUP and told is not None and told.ok and _own(self.probe, "settles", True)

    def is_fresh(self, now: float) -> bool:
        """Tell whether the last result can be told without another check."""
        told, last = self._standing.told, self._standing.last
        if told is None or last is None:
            return False
        # Where nobody keeps watch, who asks checks; an interval between two checks holds off a storm of askers.
        good_for_s = self._expiry_s if self.kept_watch and self._interval_s else self._interval_s
        return self.is_settled() or now - last.at < good_for_s

    @property
    def _expiry_s(self) -> float:
        return EXPIRY_INTERVALS * (self._interval_s or self.watch_s) + self.probe.timeout

    def _has_expired(self, now: float) -> bool:
        last = self._standing.last
        return not self.is_settled() and last is not None and now - last.at > self._expiry_s

    async def refresh(self, check: Callable[[ScheduledProbe], Awaitable[Outcome]]) -> None:
        """Check once; where a check is under way, wait for that one, and take over if it is given up."""
        before = self._standing.last
        while self._standing.last is before:
            if self._flight is not None:
                await self._flight.wait()
                continue
            flight = self._flight = anyio.Event()
            try:
                self._standing.note(await check(self))
            finally:
                self._flight = None
                flight.set()

    def forget_failure(self) -> None:
        """Have a failure checked again before it is told again."""
        if self._standing.told is not None and not self._standing.told.ok:
            self._standing.told = None

    def passes(self, now: float) -> bool | None:
        """Tell whether it is ok, without a check; None where its first check is under way, or nobody keeps watch."""
        told = self._standing.told
        if not self.kept_watch or (told is None and now - self._watched_since < self._expiry_s):
            return None
        return told is not None and told.ok and not self._has_expired(now)

    def result(self, now: float) -> Result:
        """Return what is told now. Without a check, or where the last one has expired, the probe is not ok."""
        standing = self._standing
        told, last = standing.told, standing.last
        reason: ProbeReason | None = "timeout"
        if told is not None:
            reason = told.reason
            if reason is None and self._has_expired(now):
                reason = "stale"
        return Result(
            name=self.probe.name,
            group=self.probe.group,
            critical=self.probe.critical,
            ok=reason is None,
            reason=reason,
            details=told.details if told is not None and reason != "stale" else {},
            latency_s=told.latency_s if told is not None else 0.0,
            age_s=now - last.at if last is not None else None,
            since_s=now - standing.since if told is not None else None,
            history=tuple(Past(now - o.at, o.ok, o.reason, o.latency_s) for o in reversed(standing.history)),
        )


def _own(probe: Probe, attribute: str, default: T) -> T:
    own: T | None = getattr(probe, attribute, None)
    return default if own is None else own


__all__ = ["EXPIRY_INTERVALS", "HASTE", "ScheduledProbe"]
