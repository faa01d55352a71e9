"""Asks the probes: all at once, each under its own timeout, none in the way of another."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import anyio

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed, ProbeReason
from divan_obs_asgi.faults import Faults
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.probes.base import GROUPS, Group, Probe
from divan_obs_asgi.redaction import RedactionPolicy

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# The keys of a check's answer that are the registry's own.
_RESERVED = frozenset({"ok", "latency_ms", "reason"})


@dataclass(frozen=True, slots=True)
class Report:
    """The answer of a health endpoint."""

    ok: bool
    checks: Mapping[str, Mapping[str, object]]

    def as_json(self) -> dict[str, Any]:
        """Return SPEC section 5's shape."""
        return {"status": "ok" if self.ok else "fail", "checks": self.checks}


class ProbeRegistry:
    """The probes of one service, by name."""

    def __init__(
        self,
        metrics: Metrics,
        policy: RedactionPolicy,
        faults: Faults,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._metrics = metrics
        self._policy = policy
        self._faults = faults
        self._clock = clock
        self._probes: dict[str, Probe] = {}

    def register(self, probe: Probe) -> None:
        """
        Add a probe.

        Raises:
            ImproperlyConfigured: where its name is taken or is no name, or where it is no probe.
        """
        if isinstance(probe, type) or not isinstance(probe, Probe):
            what = f"the class {probe.__name__}" if isinstance(probe, type) else type(probe).__name__
            raise ImproperlyConfigured(
                f"{what} is no probe; expected an object with name, timeout, critical, group and async check()."
            )
        if not isinstance(probe.name, str) or not _NAME.fullmatch(probe.name):
            raise ImproperlyConfigured(f"A probe is named {probe.name!r}; expected lower case, like 'redis'.")
        if not isinstance(probe.timeout, (int, float)) or not 0 < probe.timeout < math.inf:
            raise ImproperlyConfigured(f"Probe {probe.name!r} has the timeout {probe.timeout!r}; expected seconds.")
        if probe.group not in GROUPS:
            raise ImproperlyConfigured(
                f"Probe {probe.name!r} is in the group {probe.group!r}; expected one of {', '.join(GROUPS)}."
            )
        if probe.name in self._probes:
            raise ImproperlyConfigured(f"A probe named {probe.name!r} is registered already.")
        self._probes[probe.name] = probe

    def names(self, group: Group) -> list[str]:
        """Return the names of the group's probes, in the order of registration."""
        return [probe.name for probe in self._probes.values() if probe.group == group]

    async def ask(self, group: Group) -> Report:
        """Ask all probes of a group; takes as long as the slowest, or its timeout."""
        probes = [probe for probe in self._probes.values() if probe.group == group]
        answers: dict[str, dict[str, object]] = {}

        async def ask_one(probe: Probe) -> None:
            answers[probe.name] = await self._answer(probe)

        async with anyio.create_task_group() as tasks:
            for probe in probes:
                tasks.start_soon(ask_one, probe)
        # In the order of registration, whatever the order of arrival.
        checks = {probe.name: answers[probe.name] for probe in probes}
        return Report(all(checks[probe.name]["ok"] for probe in probes if probe.critical), checks)

    async def _answer(self, probe: Probe) -> dict[str, object]:
        started = self._clock()
        reason: ProbeReason | None = None
        details: Mapping[str, object] = {}
        try:
            with anyio.fail_after(probe.timeout):
                details = _details(await probe.check())
        except ProbeFailed as failure:
            reason = failure.reason
            details = failure.details
        except TimeoutError:
            reason = "timeout"
        except anyio.get_cancelled_exc_class() as error:
            if anyio.current_effective_deadline() == -math.inf:
                raise  # Somebody cancels us: the client has gone, the server ends.
            # The check waited for something that was cancelled.
            reason = "error"
            self._faults.report("probes", error)
        except Exception as error:
            # A bug in the probe: its text is published nowhere, it can hold a DSN.
            reason = "error"
            self._faults.report("probes", error)
        seconds = self._clock() - started
        if reason is None and seconds > probe.timeout:
            reason = "timeout"  # It would not be cancelled, and came too late.
            details = {}
        self._count(probe.name, reason is None, seconds)
        answer: dict[str, object] = {"ok": reason is None}
        if reason is not None:
            answer["reason"] = reason
        if not details:
            # SPEC section 5: a check that has nothing better to tell says how long it took.
            answer["latency_ms"] = round(seconds * 1e3)
        for key, value in details.items():
            if key not in _RESERVED:
                answer[key] = self._policy.redact_field(key, value)
        return answer

    def _count(self, name: str, ok: bool, seconds: float) -> None:
        self._metrics.probe_up.labels(name).set(ok)
        named = self._metrics.dependency(name)
        if named is not None:
            up, latency = named
            up.set(ok)
            latency.observe(seconds)


def _details(returned: object) -> Mapping[str, object]:
    if isinstance(returned, Mapping) and all(isinstance(key, str) for key in returned):
        return returned
    raise TypeError(f"check() returned {type(returned).__name__}; expected a mapping with text keys.")


__all__ = ["ProbeRegistry", "Report"]
