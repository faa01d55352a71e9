"""Web vitals from a browser: closed vocabularies, and numbers within bounds."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from divan_obs_asgi.connection.routes.matched import UNMATCHED
from divan_obs_asgi.observability.ops_endpoints import Schema

if TYPE_CHECKING:
    from divan_obs_asgi.metrics import Metrics

MAX_VITALS = 20
TTFB = "TTFB"
# In milliseconds; CLS is a score without a unit.
TIMES = ("LCP", "INP", "FCP", TTFB)
CLS = "CLS"
RATINGS = ("good", "needs-improvement", "poor")
SOFT = "soft-navigation"
# The navigation types of web-vitals 6.
NAVIGATIONS = ("navigate", "reload", "back-forward", "back-forward-cache", "prerender", "restore", SOFT)
# Longer times come from a suspended page. Scores are seldom above 1; pages that never stop shifting reach 10.
MAX_MS = 120_000
MAX_CLS = 100

_KEYS = ("name", "navigation", "rating", "route", "value")


def _schema(names: Sequence[str], navigations: Sequence[str], most: int, unit: str) -> Schema:
    return {
        "type": "object",
        "properties": {
            "name": {"enum": list(names)},
            "value": {"type": "number", "minimum": 0, "maximum": most, "description": unit},
            "rating": {"enum": list(RATINGS)},
            "navigation": {"enum": list(navigations)},
            "route": {"type": "string", "description": f"One of OBS_VITALS_ROUTES, else {UNMATCHED}."},
        },
        "required": list(_KEYS),
        "additionalProperties": False,
    }


_HARD = [navigation for navigation in NAVIGATIONS if navigation != SOFT]
_ONE_OF = [
    _schema([name for name in TIMES if name != TTFB], NAVIGATIONS, MAX_MS, "Milliseconds."),
    _schema([TTFB], _HARD, MAX_MS, "Milliseconds."),
    _schema([CLS], NAVIGATIONS, MAX_CLS, "A score."),
]
VITALS: Schema = {
    "type": "object",
    "properties": {
        "vitals": {"type": "array", "minItems": 1, "maxItems": MAX_VITALS, "items": {"oneOf": _ONE_OF}},
    },
    "required": ["vitals"],
    "additionalProperties": False,
}


class InvalidVitals(Exception):
    """A body is invalid: the reason that is counted, and a sentence that contains nothing of the body."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Vital:
    """One valid measurement."""

    name: str
    value: float
    rating: str
    route: str

    def count(self, metrics: Metrics) -> None:
        """Count it in the metrics."""
        if self.name == CLS:
            metrics.web_vitals_cls.labels(self.route).observe(self.value)
        else:
            metrics.web_vitals.labels(self.name, self.route).observe(self.value / 1000)
        metrics.web_vitals_ratings.labels(self.name, self.route, self.rating).inc()


def read_vitals(content: object, routes: Container[str]) -> list[Vital]:
    """
    Return the vitals of a body.

    Raises:
        InvalidVitals: if one of them is; then nothing of the body is counted.
    """
    if not isinstance(content, dict) or content.keys() != {"vitals"} or not isinstance(content["vitals"], list):
        raise InvalidVitals("body", 'Expected {"vitals": [...]}.')
    if not 1 <= len(content["vitals"]) <= MAX_VITALS:
        raise InvalidVitals("count", f"Expected 1 to {MAX_VITALS} vitals.")
    return [_read(vital, routes) for vital in content["vitals"]]


def _read(vital: Any, routes: Container[str]) -> Vital:
    if not isinstance(vital, dict) or vital.keys() != set(_KEYS) or not isinstance(vital["route"], str):
        raise InvalidVitals("body", f"A vital must have exactly these keys: {', '.join(_KEYS)}.")
    name, value, route = vital["name"], vital["value"], vital["route"]
    # Tuples, not sets: an unhashable value must not raise here.
    if name != CLS and name not in TIMES:
        raise InvalidVitals("name", f"name must be one of {', '.join((*TIMES, CLS))}.")
    if vital["rating"] not in RATINGS:
        raise InvalidVitals("rating", f"rating must be one of {', '.join(RATINGS)}.")
    if vital["navigation"] not in NAVIGATIONS:
        raise InvalidVitals("navigation", f"navigation must be one of {', '.join(NAVIGATIONS)}.")
    if name == TTFB and vital["navigation"] == SOFT:
        # web-vitals reports 0 for it: nothing was fetched.
        raise InvalidVitals("navigation", "A soft navigation has no TTFB.")
    most = MAX_CLS if name == CLS else MAX_MS
    # True is a number for Python. NaN and infinity do not pass the comparison.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise InvalidVitals("value", f"value of {name} must be a number from 0 to {most}.")
    return Vital(name, float(value), vital["rating"], route if route in routes else UNMATCHED)


__all__ = ["MAX_VITALS", "VITALS", "InvalidVitals", "Vital", "read_vitals"]
