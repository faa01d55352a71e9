"""The probes of one service: checked in the background, told from the last result."""

from __future__ import annotations

import random
from collections.abc import Callable
from time import monotonic
from typing import Unpack

import anyio

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.probes.base import READY, Group, Options, Probe
from divan_obs_asgi.probes.engine.check import ProbeRunner
from divan_obs_asgi.probes.engine.hysteresis import Outcome
from divan_obs_asgi.probes.engine.schedule import ScheduledProbe
from divan_obs_asgi.probes.engine.validation import refuse_what_is_no_probe
from divan_obs_asgi.probes.function import Function, FunctionProbe
from divan_obs_asgi.probes.report import Report
from divan_obs_asgi.redaction import RedactionPolicy

# How long an answer waits beyond a probe's timeout, for one that does not let itself be cancelled.
_GRACE_S = 0.1
# A probe that is registered late is kept watch over from so many seconds later on.
_LOOK_FOR_NEW_S = 1.0
# Workers that start together do not go on checking together.
_JITTER = 0.1
# What a probe may take to let go of its connection.
_CLOSE_S = 1.0


class ProbeRegistry:
    """
    The probes of one service, by name.

    While `run` runs (`Observability` runs it from the application's start to its end), every probe is checked once an
    interval, all of them at once, and `ask` answers from the last results. Where it does not run, `ask` checks, at most
    once an interval. Either way one check of a probe runs at a time, and its result expires.

    Args:
        interval_s, fail_after, recover_after: for the probes that have none of their own.
        drains: returns whether the process drains; then it is not ready, whatever its probes say.
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
        drains: Callable[[], bool] = bool,
    ) -> None:
        self._metrics = metrics
        self._faults = faults
        self._clock = clock
        self._checker = ProbeRunner(policy, faults, clock)
        self._drains = drains
        self._defaults = (interval_s, fail_after, recover_after)
        self._watched: dict[str, ScheduledProbe] = {}

    def register(self, probe: Probe) -> None:
        """
        Add a probe.

        Raises:
            ImproperlyConfigured: where its name is taken, where it is no probe, or where an attribute makes no sense.
        """
        refuse_what_is_no_probe(probe)
        if probe.name in self._watched:
            raise ImproperlyConfigured(f"A probe named {probe.name!r} is registered already.")
        self._watched[probe.name] = ScheduledProbe(probe, *self._defaults)

    def probe(self, name: str, **options: Unpack[Options]) -> Callable[[Function], Function]:
        """Return a decorator that registers an async function; arguments as for `FunctionProbe`."""

        def register(function: Function) -> Function:
            self.register(FunctionProbe(function, name, **options))
            return function

        return register

    def names(self, group: Group | None = None) -> list[str]:
        """Return the names of the group's probes, or of all, in the order of registration."""
        return [name for name, watched in self._watched.items() if group in (None, watched.probe.group)]

    def groups(self) -> list[Group]:
        """Return the groups that have a probe."""
        return list(dict.fromkeys(watched.probe.group for watched in self._watched.values()))

    async def ask(self, group: Group) -> Report:
        """
        Return what is told of a group: at once from the last results, where there are any.

        What has no result yet, or an old one, is checked now, and takes its timeout at most.
        """
        watched = [one for one in self._watched.values() if one.probe.group == group]
        now = self._clock()
        due = [one for one in watched if not one.is_fresh(now)]
        if due:
            async with anyio.create_task_group() as tasks:
                for one in due:
                    tasks.start_soon(self._check_for_an_asker, one)
        told_at = self._clock()
        results = {one.probe.name: one.result(told_at) for one in watched}
        for name, result in results.items():
            if result.reason == "stale":
                self._tell(name, up=False)
        report = Report(results)
        if group == READY and (due or not watched):
            self._set_ready(report.ok and not self._drains())
        return report

    def tell_ready(self) -> None:
        """Have `health_ready` be what `/health/ready` would answer now, as far as that is known without a check."""
        if self._drains():
            self._set_ready(False)
            return
        now = self._clock()
        verdicts = {
            one.passes(now) for one in self._watched.values() if one.probe.group == READY and one.probe.critical
        }
        if False in verdicts:
            self._set_ready(False)
        elif None not in verdicts:
            self._set_ready(True)

    def recheck(self) -> None:
        """
        Have what fails checked again before it is told again.

        `run_lifespan` calls it when the application has started: before, there were no migrations and no connections.
        """
        for watched in self._watched.values():
            watched.forget_failure()

    async def run(self) -> None:
        """Keep watch until cancelled."""
        kept: set[str] = set()
        async with anyio.create_task_group() as tasks:
            while True:
                for name, watched in self._watched.items():
                    if name not in kept and watched.watch_s > 0:
                        tasks.start_soon(self._keep_watch, watched, name=f"divan_obs_asgi.probes.{name}")
                    kept.add(name)
                # Time alone makes a result expire.
                self.tell_ready()
                await anyio.sleep(_LOOK_FOR_NEW_S)

    async def _keep_watch(self, watched: ScheduledProbe) -> None:
        watched.keep_watch(self._clock())
        try:
            while not watched.is_settled():
                await watched.refresh(self._check)
                self.tell_ready()
                await anyio.sleep(watched.pause_s * random.uniform(1 - _JITTER, 1 + _JITTER))
        finally:
            watched.kept_watch = False
            await self._let_go(watched.probe)

    async def _check_for_an_asker(self, watched: ScheduledProbe) -> None:
        with anyio.move_on_after(watched.probe.timeout + _GRACE_S):
            await watched.refresh(self._check)

    async def _check(self, watched: ScheduledProbe) -> Outcome:
        try:
            outcome = await self._checker.outcome_of(watched.probe)
        finally:
            if not watched.kept_watch:
                # Nobody knows when it will be asked again, and on which event loop.
                await self._let_go(watched.probe)
        self._tell(watched.probe.name, up=outcome.ok, latency_s=outcome.latency_s)
        return outcome

    def _tell(self, name: str, *, up: bool, latency_s: float | None = None) -> None:
        try:
            self._metrics.probe_up.labels(name).set(up)
            named = self._metrics.dependency(name)
            if named is not None:
                named_up, latency = named
                named_up.set(up)
                if latency_s is not None:
                    latency.observe(latency_s)
        except Exception as error:
            # Readiness does not depend on whether it can be counted.
            self._faults.report("probes", error)

    def _set_ready(self, ready: bool) -> None:
        try:
            self._metrics.health_ready.set(ready)
        except Exception as error:
            self._faults.report("probes", error)

    async def _let_go(self, probe: Probe) -> None:
        aclose = getattr(probe, "aclose", None)
        if aclose is None:
            return
        try:
            # Also where the check was cancelled.
            with anyio.move_on_after(_CLOSE_S, shield=True):
                await aclose()
        except Exception as error:
            self._faults.report("probes", error)


__all__ = ["ProbeRegistry"]
