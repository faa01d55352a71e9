"""The probes of one service. They are checked in the background, and reports come from their last results."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Unpack

import anyio

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.probes.base import READY, Group, Options, Probe
from divan_obs_asgi.probes.engine.check import ProbeRunner
from divan_obs_asgi.probes.engine.gauges import ProbeGauges
from divan_obs_asgi.probes.engine.schedule import ScheduledProbe
from divan_obs_asgi.probes.engine.validation import validate_probe
from divan_obs_asgi.probes.function import Function, FunctionProbe
from divan_obs_asgi.probes.report import Report, Result, group_passes
from divan_obs_asgi.redaction import RedactionPolicy

# How often to look for probes that were registered since, and for results that have expired.
_ROUND_S = 1.0


class ProbeRegistry:
    """
    The probes of one service, by name.

    `Observability` calls `run` for as long as the application lives. Meanwhile each probe is checked once an interval,
    all of them concurrently, and `ask` returns the last results. Without `run`, `ask` checks, at most once an interval.
    In both cases a probe runs one check at a time, and a result expires.

    Args:
        interval_s: seconds between two checks, for probes without an interval of their own.
        fail_after: the same for consecutive failed checks before a probe counts as failed.
        recover_after: the same for consecutive passed checks before it counts as healthy.
        is_draining: returns whether the process drains. It is not ready then, whatever its probes find.
        registered: called with each registered probe.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        metrics: Metrics,
        policy: RedactionPolicy,
        faults: InternalErrors,
        clock: Callable[[], float] = monotonic,
        *,
        interval_s: float = 2.0,
        fail_after: int = 2,
        recover_after: int = 1,
        is_draining: Callable[[], bool] = bool,
        registered: Callable[[Probe], object] = bool,
    ) -> None:
        self._clock = clock
        self._gauges = ProbeGauges(metrics, faults)
        self._runner = ProbeRunner(policy, self._gauges, faults, clock)
        self._is_draining = is_draining
        self._registered = registered
        self._defaults = (interval_s, fail_after, recover_after)
        self._probes: dict[str, ScheduledProbe] = {}

    def register(self, probe: Probe) -> None:
        """
        Add a probe.

        Raises:
            ImproperlyConfigured: if its name is taken, if it is not a probe, or if an attribute is invalid.
        """
        validate_probe(probe)
        if probe.name in self._probes:
            raise ImproperlyConfigured(f"A probe named {probe.name!r} is registered already.")
        self._probes[probe.name] = ScheduledProbe(probe, self._runner, *self._defaults)
        self._registered(probe)

    def probe(self, name: str, **options: Unpack[Options]) -> Callable[[Function], Function]:
        """Return a decorator that registers an async function; arguments as for `FunctionProbe`."""

        def register(function: Function) -> Function:
            self.register(FunctionProbe(function, name, **options))
            return function

        return register

    def names(self, group: Group | None = None) -> list[str]:
        """Return the names of the group's probes, or of all, in the order of registration."""
        return [name for name, one in self._probes.items() if group in (None, one.probe.group)]

    def groups(self) -> list[Group]:
        """Return the groups that have a probe."""
        return list(dict.fromkeys(one.probe.group for one in self._probes.values()))

    async def ask(self, group: Group) -> Report:
        """
        Return the report of a group, at once if all its results are fresh.

        A probe without a fresh result is checked first. That takes its timeout at most.
        """
        members = self._members(group)
        now = self._clock()
        due = [one for one in members if not one.is_fresh(now)]
        if due:
            async with anyio.create_task_group() as tasks:
                for one in due:
                    tasks.start_soon(one.check_for_request)
        now = self._clock()
        report = Report({one.probe.name: one.result(now) for one in members})
        for name, result in report.results.items():
            if result.reason == "stale":
                self._gauges.set_up(name, up=False)
        if group == READY and (due or not members):
            self._gauges.set_ready(report.ok and not self._is_draining())
        return report

    def results(self) -> list[Result]:
        """Return the present results of all probes, without a check."""
        now = self._clock()
        return [one.result(now) for one in tuple(self._probes.values())]

    def update_ready(self) -> None:
        """Set `health_ready` to what `/health/ready` would answer now, if that is known without a check."""
        now = self._clock()
        ready = (
            False
            if self._is_draining()
            else group_passes((one.probe.critical, one.passes(now)) for one in self._members(READY))
        )
        if ready is not None:
            self._gauges.set_ready(ready)

    def recheck(self) -> None:
        """
        Check failed probes again before the next report.

        `run_lifespan` calls it when the application has started, because migrations and connections may exist by now.
        """
        for one in self._probes.values():
            one.forget_failure()

    async def run(self) -> None:
        """Check all probes in the background until cancelled."""
        seen: set[str] = set()
        async with anyio.create_task_group() as tasks:
            while True:
                for name, one in self._probes.items():
                    if name not in seen and one.background_interval_s > 0:
                        tasks.start_soon(one.run, self.update_ready, name=f"divan_obs_asgi.probes.{name}")
                    seen.add(name)
                # A result also expires without a check.
                self.update_ready()
                await anyio.sleep(_ROUND_S)

    def _members(self, group: Group) -> list[ScheduledProbe]:
        return [one for one in self._probes.values() if one.probe.group == group]


__all__ = ["ProbeRegistry"]
