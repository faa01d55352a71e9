"""Results and reports of probes: immutable values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from divan_obs_asgi.exceptions import ProbeReason
from divan_obs_asgi.probes.base import Group


@dataclass(frozen=True, slots=True)
class PastCheck:
    """
    An earlier check of a probe.

    Attributes:
        age_s: seconds since it ended.
    """

    age_s: float
    ok: bool
    reason: ProbeReason | None
    latency_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """
    The present result of one probe.

    Attributes:
        reason: why it is not ok; None if it is.
        details: what the probe returned, redacted.
        latency_s: how long the check took that this result rests on.
        age_s: seconds since the last check; None before the first one.
        since_s: seconds since `ok` last changed; None before the first check.
        history: the last checks, newest first. The newest may differ from `ok` while more checks are needed to change
            the result (`HEALTH_FAIL_AFTER`, `HEALTH_RECOVER_AFTER`).
    """

    name: str
    group: Group
    critical: bool
    ok: bool
    reason: ProbeReason | None
    details: Mapping[str, object]
    latency_s: float
    age_s: float | None
    since_s: float | None
    history: tuple[PastCheck, ...]

    def as_json(self) -> dict[str, object]:
        """Return the shape that docs/health.md shows. A probe without details shows its latency instead."""
        answer: dict[str, object] = {"ok": self.ok}
        if self.reason is not None:
            answer["reason"] = self.reason
        if not self.details:
            answer["latency_ms"] = round(self.latency_s * 1e3)
        answer.update(self.details)
        return answer


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a group of probes."""

    results: Mapping[str, Result]

    @property
    def ok(self) -> bool:
        """Whether every critical probe of the group is ok."""
        return group_passes((result.critical, result.ok) for result in self.results.values()) is True

    @property
    def checks(self) -> dict[str, dict[str, object]]:
        """Return each probe's part of the response."""
        return {name: result.as_json() for name, result in self.results.items()}

    def as_json(self) -> dict[str, Any]:
        """Return the shape that docs/health.md shows."""
        return {"status": "ok" if self.ok else "fail", "checks": self.checks}


def group_passes(probes: Iterable[tuple[bool, bool | None]]) -> bool | None:
    """
    Return whether a group passes: every critical probe is ok. None if that is not known yet.

    Args:
        probes: for each probe, whether it is critical and whether it is ok; None for a probe without a result.
    """
    critical = {ok for is_critical, ok in probes if is_critical}
    if False in critical:
        return False
    return None if None in critical else True


__all__ = ["PastCheck", "Report", "Result", "group_passes"]
