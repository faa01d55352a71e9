"""Prometheus metrics whose label values and exemplars go through the redaction policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Gauge, Histogram, Summary

if TYPE_CHECKING:
    from divan_obs_asgi.redaction import RedactionPolicy


@dataclass(frozen=True, slots=True)
class MetricTypes:
    """The four kinds of metric, as classes that share one policy."""

    counter: type[Counter]
    gauge: type[Gauge]
    histogram: type[Histogram]
    summary: type[Summary]


def redacted_types(policy: RedactionPolicy) -> MetricTypes:
    """Return subclasses of prometheus_client's metrics; it makes children by their parent's class."""

    def told_under(name: str, value: object) -> str:
        return str(policy.redact_field(name, str(value)))

    def told(labels: Mapping[str, object]) -> dict[str, str]:
        return {name: told_under(name, value) for name, value in labels.items()}

    class Labels:
        _labelnames: Sequence[str]

        def labels(self, *values: Any, **by_name: Any) -> Any:
            # One too many is for prometheus_client to refuse.
            named = zip_longest(self._labelnames[: len(values)], values, fillvalue="")
            return super().labels(*(told_under(name, value) for name, value in named), **told(by_name))  # type: ignore[misc]

    class RedactedCounter(Labels, Counter):
        def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
            super().inc(amount, exemplar if exemplar is None else told(exemplar))

    class RedactedHistogram(Labels, Histogram):
        def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
            super().observe(amount, exemplar if exemplar is None else told(exemplar))

    class RedactedGauge(Labels, Gauge):
        pass

    class RedactedSummary(Labels, Summary):
        pass

    return MetricTypes(RedactedCounter, RedactedGauge, RedactedHistogram, RedactedSummary)


__all__ = ["MetricTypes", "redacted_types"]
