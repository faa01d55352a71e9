"""What has changed in the service: probes, drain, levels, jobs, stalls, overflows and the breaker of the exporter."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from divan_obs_asgi.console.cells import children
from divan_obs_asgi.console.limits import CHANGES, NAME
from divan_obs_asgi.console.shapes import Change, JobRow, Stall

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_MOST_STALLS = 20
# More families or loggers than this that change at once are not listed one by one.
_MOST_AT_ONCE = 10


class Kept(NamedTuple):
    """A change, and when it was noticed; seconds, monotonic."""

    change: Change
    changed: float


class _Runs(NamedTuple):
    """What is known of a job: runs by result, and the seconds of all of them."""

    results: dict[str, float]
    seconds: float


class Changes:
    """
    Notices changes by looking once a second, so that none of these parts has a hook that could fail in it.

    Args:
        clock: seconds, monotonic.
        now: Unix time in seconds.
    """

    def __init__(
        self,
        obs: Observability,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._obs = obs
        self._text = obs.redaction.redact_text
        self._clock = clock
        self._now = now
        self._number = 0
        self.kept: deque[Kept] = deque(maxlen=CHANGES)
        self.stalls: deque[Stall] = deque(maxlen=_MOST_STALLS)
        self.jobs: dict[str, JobRow] = {}
        self._probes: dict[str, tuple[bool, str | None]] = {}
        self._drain = ""
        self._levels: dict[str, str] = {}
        self._runs: dict[str, _Runs] = {}
        self._last_stall = 0
        self._overflows: dict[str, float] = {}
        self._export_fails: bool | None = None

    @property
    def forgotten(self) -> int:
        """How many changes were removed."""
        return self._number - len(self.kept)

    def add(self, kind: str, text: str, *, ok: bool, at: float | None = None) -> None:
        """Add a change; the text is ours, or redacted."""
        self._number += 1
        pid = os.getpid()
        change: Change = {
            "id": f"{pid}-{self._number}",
            "at": self._now() if at is None else at,
            "kind": kind,
            "text": text[: 2 * NAME],
            "ok": ok,
            "worker": pid,
        }
        self.kept.append(Kept(change, self._clock()))

    def look(self) -> None:
        """Compare everything with the last look; a part that fails does not keep the others from it."""
        parts: tuple[Callable[[], None], ...] = (
            self._look_at_probes,
            self._look_at_drain,
            self._look_at_levels,
            self._look_at_jobs,
            self._look_at_stalls,
            self._look_at_overflows,
            self._look_at_exports,
        )
        for look in parts:
            try:
                look()
            except Exception as error:
                self._obs.faults.report("console", error)

    def _look_at_probes(self) -> None:
        for result in self._obs.probes.results():
            if result.age_s is None:
                continue  # Not checked yet.
            present = (result.ok, result.reason)
            before = self._probes.get(result.name)
            self._probes[result.name] = present
            if before is None and result.ok:
                continue
            if before != present:
                self.add("probe", f"{self._text(result.name)}: {result.reason or 'ok'}", ok=result.ok)

    def _look_at_drain(self) -> None:
        drain = self._obs.drain
        state = drain.state
        if state != self._drain:
            if self._drain or state != "serving":
                cause = f" ({self._text(drain.cause)})" if drain.cause and state != "serving" else ""
                self.add("drain", f"{state}{cause}", ok=state == "serving")
            self._drain = state

    def _look_at_levels(self) -> None:
        levels = self._obs.log.levels
        present = {name: str(levels.describe_one(name)["effective"]) for name in tuple(levels.changes)}
        for name in [*present][:_MOST_AT_ONCE]:
            if self._levels.get(name) != present[name]:
                self.add("level", f"{self._text(name)}: {present[name]}", ok=True)
        for name in [known for known in self._levels if known not in present][:_MOST_AT_ONCE]:
            self.add("level", f"{self._text(name)}: as before", ok=True)
        self._levels = present

    def _look_at_jobs(self) -> None:
        obs = self._obs
        if not obs.jobs.names():
            return
        runs: dict[str, dict[str, float]] = {}
        for (name, result), child in children(obs.metrics.jobs_runs):
            runs.setdefault(name, {})[result] = child._value.get()
        seconds = {name: child._sum.get() for (name,), child in children(obs.metrics.jobs_duration)}
        for name, results in runs.items():
            known, before = self.jobs.get(name), self._runs.get(name)
            present = self._runs[name] = _Runs(results, seconds.get(name, 0.0))
            row: JobRow = known or {"id": name, "runs": 0, "last": None, "outcome": "", "ms": None}
            row["runs"] = int(sum(results.values()))
            if before is not None and (more := row["runs"] - sum(before.results.values())) > 0:
                # The worst of those that ended since the last look.
                ended = [one for one in results if results[one] > before.results.get(one, 0.0)]
                row["outcome"] = min(ended, key=("error", "cancelled", "ok").index)
                row["last"] = self._now()
                row["ms"] = round((present.seconds - before.seconds) / more * 1e3, 3)
                self.add("job", f"{self._text(name)}: {row['outcome']}, {row['ms']:g} ms", ok=row["outcome"] == "ok")
            self.jobs[name] = row

    def _look_at_stalls(self) -> None:
        pid = os.getpid()
        for stall in self._obs.stalls.since(self._last_stall):
            self._last_stall = stall.number
            ms = round(stall.seconds * 1e3, 3)
            self.stalls.append(
                {
                    "id": f"{pid}-{stall.number}",
                    "at": stall.at,
                    "ms": ms,
                    "place": stall.place[: 2 * NAME],
                    "stack": [place[: 2 * NAME] for place in stall.stack],
                    "worker": pid,
                }
            )
            self.add("stall", f"{ms:g} ms at {stall.place}", ok=False, at=stall.at)

    def _look_at_overflows(self) -> None:
        present = {
            family: child._value.get() for (family, cause), child in children(self._obs.metrics.metrics_overflow)
        }
        # One that goes on is one change.
        for family in [one for one in present if one not in self._overflows][:_MOST_AT_ONCE]:
            self.add("overflow", f"{self._text(family)}: label values are counted as __overflow__", ok=False)
        self._overflows = present

    def _look_at_exports(self) -> None:
        spans = self._obs.spans
        fails = None if spans is None else spans.export_fails
        if fails != self._export_fails and (fails or self._export_fails):
            self.add("breaker", "span export fails" if fails else "span export works again", ok=not fails)
        self._export_fails = fails


__all__ = ["Changes", "Kept"]
