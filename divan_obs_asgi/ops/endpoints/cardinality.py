"""GET /ops/cardinality: which metrics have how many series, and which of them are full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.metrics import Cardinality
from divan_obs_asgi.ops.endpoint import Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_answer

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

MAX_FAMILIES = 100
_COUNT: Schema = {"type": "integer", "minimum": 0}
_CARDINALITY: Schema = {
    "type": "object",
    "properties": {
        "max_label_sets": {"type": "integer", "minimum": 1, "description": "Of one family, OBS_METRICS_MAX_SERIES."},
        "families": {"type": "integer", "minimum": 0, "description": "How many there are."},
        "series": {
            "type": "integer",
            "minimum": 0,
            "description": "Of all of them: lines of the page, but for collectors'.",
        },
        "top": {
            "type": "array",
            "description": "Those that have left something out, and then those with the most label sets.",
            "maxItems": MAX_FAMILIES,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "labels": {"type": "array", "items": {"type": "string"}},
                    "label_sets": _COUNT,
                    "series": _COUNT,
                    "governed": {
                        "type": "boolean",
                        "description": "Whether its label sets are limited; those of a metric that the application has "
                        "made with prometheus_client are not.",
                    },
                    "overflowed": {
                        "type": "object",
                        "description": "Times that __overflow__ stood for something else: the family was full, or its "
                        "label has a vocabulary that does not have the value.",
                        "properties": {"limit": _COUNT, "vocabulary": _COUNT},
                        "required": ["limit", "vocabulary"],
                        "additionalProperties": False,
                    },
                },
                "required": ["name", "labels", "label_sets", "series", "governed", "overflowed"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["max_label_sets", "families", "series", "top"],
    "additionalProperties": False,
}


class CardinalityPage:
    """Tells how many label sets the families of this process have: names and numbers, no label's value."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._metrics = obs.metrics

    def endpoints(self) -> Iterator[Endpoint]:
        summary = "How many series each metric has, and what was left out."
        read = Operation("GET", summary, self.describe, {200: Content("The largest families.", _CARDINALITY)})
        yield Endpoint("/ops/cardinality", (read,))

    async def describe(self, request: Request) -> Response:
        families = self._metrics.cardinality()
        families.sort(key=lambda one: (one.over_limit + one.in_no_vocabulary == 0, -one.label_sets, one.name))
        return json_answer(
            {
                "max_label_sets": self._metrics.max_series,
                "families": len(families),
                "series": sum(one.series for one in families),
                "top": [_told(one) for one in families[:MAX_FAMILIES]],
            }
        )


def _told(family: Cardinality) -> dict[str, Any]:
    return {
        "name": family.name,
        "labels": list(family.labels),
        "label_sets": family.label_sets,
        "series": family.series,
        "governed": family.is_governed,
        "overflowed": {"limit": family.over_limit, "vocabulary": family.in_no_vocabulary},
    }


__all__ = ["MAX_FAMILIES", "CardinalityPage"]
