"""Encodes series as OTLP metrics, cumulative or as the difference to the last export."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from prometheus_client.samples import Exemplar

from divan_obs_asgi.metrics.exponential import Exponential
from divan_obs_asgi.otlp.points import Labels, Point, Series
from divan_obs_asgi.otlp.wire import attribute, attributes, double, field, fixed64, sint, text, varint
from divan_obs_asgi.version import __version__

# opentelemetry/proto/metrics/v1/metrics.proto: the field of each kind in Metric.
_KINDS = {"gauge": 5, "counter": 7, "histogram": 9, "exponential_histogram": 10, "summary": 11}
_HISTOGRAMS = ("histogram", "exponential_histogram")
# AggregationTemporality, in field 2 of Sum and of both histograms; is_monotonic of Sum is field 3.
_DELTA, _CUMULATIVE, _MONOTONIC = b"\x10\x01", b"\x10\x02", b"\x18\x01"
_TRACE_ID, _SPAN_ID = "trace_id", "span_id"
State = dict[tuple[str, Labels], tuple[float, ...]]


class MetricEncoder:
    """
    Encodes all series, one export after the other.

    Args:
        start_ns: when a series began whose own beginning is not known.

    Attributes:
        state: the numbers of the last export, for delta temporality.
        last_ns: the time of the last export; 0 before the first one.
    """

    def __init__(self, *, delta: bool, start_ns: int) -> None:
        self._delta = delta
        self._start_ns = start_ns
        self.state: State = {}
        self.last_ns = 0

    def encoded(self, families: Iterable[Series], now_ns: int) -> bytes:
        """Return ScopeMetrics as field 2 of ResourceMetrics."""
        state: State = {}
        scope = field(1, text(1, "divan_obs_asgi") + text(2, __version__))
        content = scope + b"".join(
            field(2, self._metric(family, now_ns, state)) for family in families if family.points
        )
        self.state, self.last_ns = state, now_ns
        return field(2, content)

    def _metric(self, family: Series, now_ns: int, state: State) -> bytes:
        points = b"".join(field(1, self._point(family, point, now_ns, state)) for point in family.points)
        if family.kind in ("counter", *_HISTOGRAMS):
            points += _DELTA if self._delta else _CUMULATIVE
        if family.kind == "counter":
            points += _MONOTONIC
        return text(1, family.name) + text(2, family.help) + field(_KINDS[family.kind], points)

    def _point(self, family: Series, point: Point, now_ns: int, state: State) -> bytes:
        now, numbers = fixed64(3, now_ns), point.numbers
        if family.kind == "gauge":
            return now + double(4, numbers[0]) + attributes(7, dict(point.labels))
        start_ns = int(point.created_s * 1e9) or self._start_ns
        if self._delta and family.kind != "summary":
            key = family.name, point.labels
            state[key], before = numbers, self.state.get(key)
            if before is not None and len(before) == len(numbers) and _has_grown(before, numbers, family.kind):
                numbers = tuple(number - last for number, last in zip(numbers, before, strict=True))
                start_ns = self.last_ns
            else:
                start_ns = max(start_ns, self.last_ns)
        start = fixed64(2, min(start_ns, now_ns))
        if family.kind == "summary":
            return start + now + fixed64(4, int(numbers[0])) + double(5, numbers[1]) + attributes(7, dict(point.labels))
        exemplars = [each for each in point.exemplars if _time_ns(each) > self.last_ns]
        if family.kind == "counter":
            value = double(4, numbers[0]) + b"".join(field(5, _exemplar(each)) for each in exemplars)
            return start + now + value + attributes(7, dict(point.labels))
        counts = [int(number) for number in numbers[:-1]]
        if family.exponential is not None:
            return b"".join(
                (
                    attributes(1, dict(point.labels)),
                    *(start, now, fixed64(4, sum(counts)), double(5, numbers[-1])),
                    _exponential(family.exponential, counts),
                    *(field(11, _exemplar(each)) for each in exemplars),
                )
            )
        edges = family.edges[:-1]
        return b"".join(
            (
                *(start, now, fixed64(4, sum(counts))),
                double(5, numbers[-1]) if family.has_sum else b"",
                field(6, struct.pack(f"<{len(counts)}Q", *counts)),
                field(7, struct.pack(f"<{len(edges)}d", *edges)) if edges else b"",
                *(field(8, _exemplar(each)) for each in exemplars),
                attributes(9, dict(point.labels)),
            )
        )


def _has_grown(before: tuple[float, ...], numbers: tuple[float, ...], kind: str) -> bool:
    """Return whether a series goes on; otherwise it was removed meanwhile, and has begun again."""
    counts = slice(None, -1) if kind in _HISTOGRAMS else slice(None)
    return all(number >= last for number, last in zip(numbers[counts], before[counts], strict=True))


def _exponential(buckets: Exponential, counts: list[int]) -> bytes:
    """Return the buckets of an ExponentialHistogramDataPoint, without the empty ones at both ends."""
    zero, *positive = counts
    used = [number for number, count in enumerate(positive) if count]
    filled = positive[used[0] : used[-1] + 1] if used else []
    offset = buckets.first + used[0] if used else 0
    return b"".join(
        (
            sint(6, buckets.scale),
            fixed64(7, zero),
            field(8, sint(1, offset) + field(2, b"".join(map(varint, filled)))) if used else b"",
            double(14, buckets.zero_threshold),
        )
    )


def _exemplar(exemplar: Exemplar) -> bytes:
    labels = exemplar.labels
    trace_id, span_id = _id(labels.get(_TRACE_ID), 16), _id(labels.get(_SPAN_ID), 8)
    return b"".join(
        (
            fixed64(2, _time_ns(exemplar)),
            double(3, exemplar.value),
            field(4, span_id) if span_id else b"",
            field(5, trace_id) if trace_id else b"",
            *(attribute(7, name, value) for name, value in labels.items() if name not in (_TRACE_ID, _SPAN_ID)),
        )
    )


def _time_ns(exemplar: Exemplar) -> int:
    return max(0, int(float(exemplar.timestamp or 0.0) * 1e9))


def _id(text: str | None, length: int) -> bytes:
    """Return the bytes of an id; none of an invalid one, which the application may have set."""
    try:
        number = bytes.fromhex(text or "")
    except ValueError:
        return b""
    return number if len(number) == length else b""


__all__ = ["MetricEncoder", "State"]
