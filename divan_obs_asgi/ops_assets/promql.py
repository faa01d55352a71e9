"""
Builds PromQL from the catalogue of metrics.

Series are selected by their family. A renamed family, `rate` of a gauge and buckets of a counter are type errors; a
label that the family does not have is a ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from prometheus_client import Counter, Gauge, Histogram, Summary

from divan_obs_asgi.metrics.family import Family, Metric, gauge
from divan_obs_asgi.ops_assets.parameters import Parameters

# Prometheus adds these labels to each series that it scrapes.
TARGET_LABELS = ("job", "instance")


class Foreign:
    """Foreign metrics, without our namespace: those of Prometheus and of prometheus_client."""

    up = gauge("up", [], "1 if the last scrape of the target succeeded.", "Prometheus")
    scrape_duration = gauge("scrape_duration_seconds", [], "Duration of the last scrape, in seconds.", "Prometheus")
    scrape_samples = gauge("scrape_samples_scraped", [], "Samples of the last scrape.", "Prometheus")
    process_start = gauge(
        "process_start_time_seconds", [], "Unix time at which the process started.", "prometheus_client"
    )


FOREIGN: tuple[Family[Metric], ...] = tuple(family for family in vars(Foreign).values() if isinstance(family, Family))


class Vector(str):
    """An expression whose result is an instant vector."""


class Counters(str):
    """A selector of counter series."""


@dataclass(frozen=True, slots=True)
class Match:
    """A label matcher; `op` is one of =, !=, =~ and !~."""

    op: str
    value: str


def one_of(pattern: str) -> Match:
    """Match values that fully match a regular expression."""
    return Match("=~", pattern)


def none_of(pattern: str) -> Match:
    """Match values that do not match a regular expression."""
    return Match("!~", pattern)


@dataclass(frozen=True, slots=True)
class Series:
    """
    Selects the series of one service.

    Attributes:
        job: the value or matcher of `job`; a dashboard uses `one_of("$job")`.
        fixed: further matchers for every selector, such as an instance.
    """

    namespace: str
    job: str | Match
    fixed: tuple[tuple[str, str | Match], ...] = ()

    @classmethod
    def of(cls, parameters: Parameters) -> Series:
        """Return the series of the parameters' job."""
        return cls(parameters.namespace, parameters.job)

    def counter(self, family: Family[Counter], **matchers: str | Match) -> Counters:
        """Select a counter."""
        return Counters(self._selector(family, "", matchers))

    def gauge(self, family: Family[Gauge], **matchers: str | Match) -> Vector:
        """Select a gauge."""
        return Vector(self._selector(family, "", matchers))

    def buckets(self, family: Family[Histogram], le: float | None = None, **matchers: str | Match) -> Counters:
        """
        Select the buckets of a histogram, or with `le` only the bucket up to that edge.

        Raises:
            ValueError: if the histogram does not have that edge.
        """
        if le is not None:
            if le not in family.buckets:
                raise ValueError(f"{family.name} has no edge at {le:g}.")
            matchers["le"] = edge(le)
        return Counters(self._selector(family, "_bucket", matchers))

    def count(self, family: Family[Histogram] | Family[Summary], **matchers: str | Match) -> Counters:
        """Select the number of observations."""
        return Counters(self._selector(family, "_count", matchers))

    def sum(self, family: Family[Histogram] | Family[Summary], **matchers: str | Match) -> Counters:
        """Select the sum of the observations."""
        return Counters(self._selector(family, "_sum", matchers))

    def recorded(self, name: str) -> Vector:
        """Select the result of a recording rule."""
        return Vector(f"{self.namespace}:{name}{{{self._matchers({})}}}")

    def name(self, family: Family[Metric]) -> str:
        """Return the full name of a family."""
        return family.name if family in FOREIGN else f"{self.namespace}_{family.name}"

    def _selector(self, family: Family[Metric], suffix: str, matchers: dict[str, str | Match]) -> str:
        unknown = set(matchers) - {*family.labels, "le", *TARGET_LABELS}
        if unknown:
            raise ValueError(f"{family.name} has no label {', '.join(sorted(unknown))}.")
        return f"{self.name(family)}{suffix}{{{self._matchers(matchers)}}}"

    def _matchers(self, matchers: dict[str, str | Match]) -> str:
        return ",".join(_written({"job": self.job, **dict(self.fixed), **matchers}))


def _written(matchers: dict[str, str | Match]) -> Iterator[str]:
    for label, wanted in matchers.items():
        match = wanted if isinstance(wanted, Match) else Match("=", wanted)
        # A PromQL string supports all escapes of JSON.
        yield f"{label}{match.op}{json.dumps(match.value, ensure_ascii=False)}"


def edge(value: float) -> str | Match:
    """
    Match the label `le` of a bucket.

    Prometheus 3 stores the edge 1 as "1.0"; Prometheus 2 stores it as it was exposed.
    """
    return one_of(f"{value:g}([.]0)?") if value == int(value) else f"{value:g}"


def rate(series: Counters, window: str) -> Vector:
    """Return the rate of the counters per second, over the window."""
    return Vector(f"rate({series}[{window}])")


def increase(series: Counters, window: str) -> Vector:
    """Return the increase of the counters over the window."""
    return Vector(f"increase({series}[{window}])")


def total(vector: Vector, *by: str) -> Vector:
    """Return the sum by the labels `by`."""
    return Vector(f"sum by ({', '.join(by)}) ({vector})")


def highest(vector: Vector, *by: str) -> Vector:
    """Return the maximum by the labels `by`."""
    return Vector(f"max by ({', '.join(by)}) ({vector})")


def lowest(vector: Vector, *by: str) -> Vector:
    """Return the minimum by the labels `by`."""
    return Vector(f"min by ({', '.join(by)}) ({vector})")


def quantile(q: float, buckets: Counters, window: str, *by: str) -> Vector:
    """Return a quantile, estimated from the buckets of a histogram."""
    return Vector(f"histogram_quantile({q:g}, {total(rate(buckets, window), *by, 'le')})")


def duration(seconds: float) -> str:
    """Format seconds as a PromQL duration: 90000 is `25h`."""
    whole = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def number(value: float | Decimal) -> str:
    """Format a number without an exponent and without trailing zeros."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def lines(*parts: str) -> Vector:
    """Join the parts of an expression, one per line."""
    return Vector("\n".join(parts))


def ago(vector: Vector, offset: str) -> Vector:
    """Return the vector with an offset into the past."""
    return Vector(f"{vector} offset {offset}")


def indented(expression: str) -> str:
    """Indent an expression."""
    return "\n".join(f"  {line}" for line in expression.splitlines())


__all__ = [
    "FOREIGN",
    "TARGET_LABELS",
    "Counters",
    "Foreign",
    "Match",
    "Series",
    "Vector",
    "ago",
    "duration",
    "edge",
    "highest",
    "increase",
    "indented",
    "lines",
    "lowest",
    "none_of",
    "number",
    "one_of",
    "quantile",
    "rate",
    "total",
]
