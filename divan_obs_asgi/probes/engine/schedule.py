"""A probe on its schedule: when it is checked, and what its checks have found."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import anyio

from divan_obs_asgi.exceptions import ProbeReason
from divan_obs_asgi.probes.base import STARTUP, Probe
from divan_obs_asgi.probes.engine.check import Outcome, ProbeRunner
from divan_obs_asgi.probes.engine.hysteresis import ProbeState
from divan_obs_asgi.probes.report import PastCheck, Result

T = TypeVar("T")

# A result expires after so many intervals and a timeout: the check is stuck.
EXPIRY_INTERVALS = 3
# After a check that contradicts the verdict, the next one comes after this fraction of the interval.
RETRY_FRACTION = 1 / 4
# Random spread of the interval, so that workers that start together do not check in step.
JITTER = 0.1
# How long a request waits beyond the timeout for a probe that ignores its cancellation.
GRACE_S = 0.1


class ScheduledProbe:
    """
    A probe with its schedule and its state. It runs one check at a time; later callers wait for the running one.

    Args:
        interval_s, fail_after, recover_after: used where the probe has no value of its own.
    """

    def __init__(
        self, probe: Probe, runner: ProbeRunner, interval_s: float, fail_after: int, recover_after: int
    ) -> None:
        self.probe = probe
        self._runner = runner
        self._interval_s = _own(probe, "interval", interval_s)
        #: Seconds between two checks in the background; 0 for none. A probe with interval 0 is checked in the
        #: background too: Prometheus reads its gauge without a check.
        self.background_interval_s = 0.0 if interval_s == 0 else self._interval_s or interval_s
        self._state = ProbeState(_own(probe, "fail_after", fail_after), _own(probe, "recover_after", recover_after))
        self._running_check: anyio.Event | None = None
        #: Since when the background checks it.
        self._scheduled_since: float | None = None

    async def run(self, after_check: Callable[[], object]) -> None:
        """Check in the background until cancelled, and call `after_check` after each check."""
        self._scheduled_since = self._runner.clock()
        try:
            while not self.is_settled():
                await self.check()
                after_check()
                pause_s = self.background_interval_s * (RETRY_FRACTION if self._state.is_contradicted else 1)
                await anyio.sleep(pause_s * random.uniform(1 - JITTER, 1 + JITTER))
        finally:
            self._scheduled_since = None
            await self._runner.close(self.probe)

    async def check(self) -> None:
        """Check once. If a check is running, wait for it; if that one is cancelled, run another."""
        before = self._state.last
        while self._state.last is before:
            if self._running_check is not None:
                await self._running_check.wait()
                continue
            ended = self._running_check = anyio.Event()
            try:
                self._state.add(await self._run_check())
            finally:
                self._running_check = None
                ended.set()

    async def check_for_request(self) -> None:
        """Check once, and give up soon after the timeout."""
        with anyio.move_on_after(self.probe.timeout + GRACE_S):
            await self.check()

    async def _run_check(self) -> Outcome:
        try:
            return await self._runner.run(self.probe)
        finally:
            if self._scheduled_since is None:
                # The next check may be much later, and on another event loop.
                await self._runner.close(self.probe)

    def forget_failure(self) -> None:
        """Check a failed probe again before its next result."""
        self._state.forget_failure()

    def is_settled(self) -> bool:
        """Return whether the probe needs no further check: a start-up probe that has passed."""
        verdict = self._state.verdict
        return self.probe.group == STARTUP and verdict is not None and verdict.ok and _own(self.probe, "settles", True)

    def is_fresh(self, now: float) -> bool:
        """Return whether the last result can be reported without another check."""
        last = self._state.last
        if self._state.verdict is None or last is None:
            return False
        # Without background checks a request checks, at most once an interval.
        good_for_s = self._expiry_s if self._scheduled_since is not None and self._interval_s else self._interval_s
        return self.is_settled() or now - last.at < good_for_s

    def passes(self, now: float) -> bool | None:
        """
        Return whether the probe is ok, without a check.

        None where that is not known: its first check is running, or only requests check it.
        """
        if self._scheduled_since is None:
            return None
        if self._state.verdict is None and now - self._scheduled_since < self._expiry_s:
            return None
        return self._reason(now) is None

    def result(self, now: float) -> Result:
        """Return the result as of `now`, without a check."""
        verdict, last = self._state.verdict, self._state.last
        reason = self._reason(now)
        return Result(
            name=self.probe.name,
            group=self.probe.group,
            critical=self.probe.critical,
            ok=reason is None,
            reason=reason,
            details=verdict.details if verdict is not None and reason != "stale" else {},
            latency_s=verdict.latency_s if verdict is not None else 0.0,
            age_s=now - last.at if last is not None else None,
            since_s=now - self._state.since if verdict is not None else None,
            history=tuple(PastCheck(now - o.at, o.ok, o.reason, o.latency_s) for o in reversed(self._state.history)),
        )

    def _reason(self, now: float) -> ProbeReason | None:
        """Return why the probe is not ok. Without a check, and with an expired one, it is not."""
        verdict = self._state.verdict
        if verdict is None:
            return "timeout"
        return "stale" if verdict.reason is None and self._has_expired(now) else verdict.reason

    def _has_expired(self, now: float) -> bool:
        last = self._state.last
        return not self.is_settled() and last is not None and now - last.at > self._expiry_s

    @property
    def _expiry_s(self) -> float:
        return EXPIRY_INTERVALS * (self._interval_s or self.background_interval_s) + self.probe.timeout


def _own(probe: Probe, attribute: str, default: T) -> T:
    own: T | None = getattr(probe, attribute, None)
    return default if own is None else own


__all__ = ["EXPIRY_INTERVALS", "JITTER", "RETRY_FRACTION", "ScheduledProbe"]
