"""GET /ops/cardinality: the number of series of each metric, and which metrics have overflowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.metrics import Cardinality
from divan_obs_asgi.observability.ops_endpoints import Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_response

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

MAX_FAMILIES = 100
_COUNT: Schema = {"type": "integer", "minimum": 0}
_CARDINALITY: Schema = {
    "type": "object",
    "properties": {
        "max_label_sets": {
            "type": "integer",
            "minimum": 1,
            "description": "OBS_METRICS_MAX_SERIES, for each family.",
        },
        "families": {"type": "integer", "minimum": 0, "description": "The number of families."},
        "series": {
            "type": "integer",
            "minimum": 0,
            "description": "The lines of the metrics page, without those of collectors.",
        },
        "top": {
            "type": "array",
            "description": "Families with an overflow first, then those with the most label sets.",
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
                        "description": "Whether its label sets are limited; they are not for metrics that the "
                        "application creates with prometheus_client.",
                    },
                    "overflowed": {
                        "type": "object",
                        "description": "Samples folded into __overflow__: the family was full (limit), or the value is "
                        "not in the vocabulary of the label.",
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


class CardinalityEndpoint:
    """Counts the label sets of the metrics of this process; shows no label values."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._metrics = obs.metrics

    def endpoints(self) -> Iterator[Endpoint]:
        summary = "The number of series of each metric, and its overflows."
        read = Operation(
            "GET", summary, self.describe, {200: ResponseDescription("The largest families.", _CARDINALITY)}
        )
        yield Endpoint("/ops/cardinality", (read,))

    async def describe(self, request: Request) -> Response:
        families = self._metrics.cardinality()
        families.sort(key=lambda one: (one.over_limit + one.outside_vocabulary == 0, -one.label_sets, one.name))
        return json_response(
            {
                "max_label_sets": self._metrics.max_series,
                "families": len(families),
                "series": sum(one.series for one in families),
                "top": [_describe(one) for one in families[:MAX_FAMILIES]],
            }
        )


def _describe(family: Cardinality) -> dict[str, Any]:
    return {
        "name": family.name,
        "labels": list(family.labels),
        "label_sets": family.label_sets,
        "series": family.series,
        "governed": family.is_limited,
        "overflowed": {"limit": family.over_limit, "vocabulary": family.outside_vocabulary},
    }


__all__ = ["MAX_FAMILIES", "CardinalityEndpoint"]
