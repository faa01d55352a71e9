"""Prometheus metrics whose label values and exemplars go through the redaction policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

    def told(labels: Mapping[str, object]) -> dict[str, str]:
        return {name: policy.redact_text(str(value)) for name, value in labels.items()}

    class Labels:
        def labels(self, *values: Any, **by_name: Any) -> Any:
            return super().labels(*(policy.redact_text(str(value)) for value in values), **told(by_name))  # type: ignore[misc]

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
