"""One check as JSON: for everybody, and for the holder of the admin token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.exceptions import PROBE_REASONS
from divan_obs_asgi.observability.ops_endpoints import Schema

if TYPE_CHECKING:
    from divan_obs_asgi.probes import PastCheck, Result

_MS: Schema = {"type": "integer", "minimum": 0}
_AGE: Schema = {"type": ["number", "null"], "minimum": 0}
_REASON: Schema = {"enum": [*sorted(PROBE_REASONS), None]}
# A probe may add keys of its own.
PLAIN: Schema = {"type": "object", "properties": {"ok": {"type": "boolean"}, "latency_ms": _MS}, "required": ["ok"]}
_PAST: Schema = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "reason": _REASON, "latency_ms": _MS, "age_s": _AGE},
    "required": ["ok", "reason", "latency_ms", "age_s"],
    "additionalProperties": False,
}
DETAILED: Schema = {
    "type": "object",
    "properties": {
        **PLAIN["properties"],
        "reason": _REASON,
        "critical": {"type": "boolean"},
        "age_s": {**_AGE, "description": "Since the last check."},
        "since_s": {**_AGE, "description": "Since its state changed."},
        "history": {"type": "array", "items": _PAST, "description": "Newest first."},
    },
    "required": ["ok", "latency_ms", "reason", "critical", "age_s", "since_s", "history"],
}


def plain(result: Result) -> dict[str, object]:
    """Return what everybody may read; docs/health.md shows it."""
    return {key: value for key, value in result.as_json().items() if key != "reason"}


def detailed(result: Result) -> dict[str, object]:
    """Return the same with the reason, the ages and the recent checks."""
    return {
        **plain(result),
        "latency_ms": _ms(result.latency_s),
        "reason": result.reason,
        "critical": result.critical,
        "age_s": _seconds(result.age_s),
        "since_s": _seconds(result.since_s),
        "history": [_past(past) for past in result.history],
    }


def _past(past: PastCheck) -> dict[str, object]:
    return {
        "ok": past.ok,
        "reason": past.reason,
        "latency_ms": _ms(past.latency_s),
        "age_s": _seconds(past.age_s),
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1e3)


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


__all__ = ["DETAILED", "PLAIN", "detailed", "plain"]
