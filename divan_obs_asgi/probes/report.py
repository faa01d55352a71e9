"""What is told of probes: values that do not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from divan_obs_asgi.exceptions import ProbeReason
from divan_obs_asgi.probes.base import Group


@dataclass(frozen=True, slots=True)
class Past:
    """
    One check of some time ago.

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
    What is told of one probe now.

    Attributes:
        reason: why it is not ok; None where it is.
        details: what the probe says more, through the redaction policy.
        latency_s: how long the check took that is told here.
        age_s: seconds since the last check; None before the first one.
        since_s: seconds since `ok` last changed; None before the first check.
        history: the last checks, the newest first. Where one in a row does not yet decide (`HEALTH_FAIL_AFTER`,
            `HEALTH_RECOVER_AFTER`), the newest may differ from `ok`.
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
    history: tuple[Past, ...]

    def as_json(self) -> dict[str, object]:
        """Return the shape that docs/health.md shows: whoever has nothing better to tell says how long it took."""
        answer: dict[str, object] = {"ok": self.ok}
        if self.reason is not None:
            answer["reason"] = self.reason
        if not self.details:
            answer["latency_ms"] = round(self.latency_s * 1e3)
        answer.update(self.details)
        return answer


@dataclass(frozen=True, slots=True)
class Report:
    """What is told of a group: it is ok where all its critical probes are."""

    results: Mapping[str, Result]

    @property
    def ok(self) -> bool:
        return all(result.ok for result in self.results.values() if result.critical)

    @property
    def checks(self) -> dict[str, dict[str, object]]:
        """Return each probe's part of the answer."""
        return {name: result.as_json() for name, result in self.results.items()}

    def as_json(self) -> dict[str, Any]:
        """Return the shape that docs/health.md shows."""
        return {"status": "ok" if self.ok else "fail", "checks": self.checks}


__all__ = ["Past", "Report", "Result"]
