"""Exponential histograms by OTLP have the observations of /metrics, each in the bucket that the specification says."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, Metric, ResourceMetrics
from prometheus_client import Histogram

import divan_obs_asgi as obs
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.exponential import exponential_of
from divan_obs_asgi.metrics.fast_counters import fast_buckets
from divan_obs_asgi.metrics.limited import LimitedMetric
from divan_obs_asgi.otlp.metric_encoder import MetricEncoder
from divan_obs_asgi.otlp.points import of_family
from tests.otlp.test_metrics import EXPONENTIAL, ask, export, exporting, metrics_of, page, samples, shop, steady
from tests.servers.otlp_http import OtlpHttpReceiver

EDGES = (0.0, 0.01, 0.5, 5.0)


def histogram(directory: Path | None = None) -> Histogram:
    metrics = Metrics(directory=directory, exponential=True)
    return metrics.histogram("wait_seconds", "Seconds.", buckets=EDGES)


def exported(encoder: MetricEncoder, of: Histogram) -> ExponentialHistogramDataPoint:
    content = encoder.encoded([of_family(cast(LimitedMetric, of))], 10**18)
    (metric,) = metrics_of(ResourceMetrics.FromString(content))
    (point,) = metric.exponential_histogram.data_points
    return point


def counts(point: ExponentialHistogramDataPoint) -> dict[int | None, int]:
    """Return the observations of each index; None is the zero bucket."""
    found: dict[int | None, int] = {None: point.zero_count} if point.zero_count else {}
    filled = enumerate(point.positive.bucket_counts, start=point.positive.offset)
    return found | {index: count for index, count in filled if count}


def is_above(value: float, scale: int, index: int) -> bool:
    """Return whether value > base**index, for the base 2**(2**-scale), without rounding."""
    return Fraction(value) ** (1 << scale) > Fraction(2) ** index


def index_of(value: float) -> int | None:
    """Return the bucket of a value by the definition: base**index < value <= base**(index + 1)."""
    buckets = exponential_of(EDGES)
    assert buckets is not None
    indices = range(buckets.first, buckets.first + buckets.size)
    below = bisect_left(indices, True, key=lambda index: not is_above(value, buckets.scale, index))
    return indices[below - 1] if below else None


values = st.one_of(st.sampled_from([*EDGES, 2.0**-14, 1.0, 2.0, 2**0.125, 64.0]), st.floats(0, 100), st.floats(0, 1e-3))


@given(st.lists(values, max_size=8), st.lists(values, max_size=8))
@example([2**0.125, 2**-0.125, 1.0], [1e300, 5e-324])
@settings(max_examples=60)
def test_each_observation_is_in_its_bucket(first: list[float], second: list[float]) -> None:
    """Counts and sum are those of /metrics; with delta temporality each export has the new observations."""
    observed = histogram()
    fast = fast_buckets(observed)
    encoders = MetricEncoder(delta=False, start_ns=1), MetricEncoder(delta=True, start_ns=1)
    done: list[float] = []
    for part in (first, second):
        for number, value in enumerate(part):
            (observed.observe, fast.observe)[number % 2](value)
        done += part
        cumulative, delta = (exported(encoder, observed) for encoder in encoders)
        assert counts(cumulative) == Counter(map(index_of, done))
        assert counts(delta) == Counter(map(index_of, part))
        shown = {
            sample.labels.get("le", sample.name): sample.value for each in observed.collect() for sample in each.samples
        }
        assert shown["divan_wait_seconds_count"] == cumulative.count == len(done)
        assert shown["divan_wait_seconds_sum"] == cumulative.sum
        assert [shown[str(edge)] for edge in EDGES] == [sum(value <= edge for value in done) for edge in EDGES]


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20, unique=True).map(sorted).map(tuple))
def test_the_buckets_have_room_for_the_edges(edges: tuple[float, ...]) -> None:
    """There are 160 of them, as wide as that allows, and they rise."""
    buckets = exponential_of(edges)
    assert buckets is not None
    assert buckets.size == 160
    assert buckets.edges[0] <= edges[0]
    assert all(low < high for low, high in pairwise(buckets.edges))
    assert edges[-1] <= buckets.edges[-2] * 2 ** (2**-buckets.scale)
    assert buckets.zero_threshold == buckets.edges[0]


@pytest.mark.parametrize("edges", [(-1.0, 0.0, 1.0), (1e-60, 1.0, 1e60)])
def test_other_histograms_keep_their_own_buckets(edges: tuple[float, ...]) -> None:
    """Of negative values, and of values that 160 buckets cannot tell apart."""
    metrics = Metrics(exponential=True)
    kept = metrics.histogram("balance", "Balance.", buckets=edges)
    assert of_family(cast(LimitedMetric, kept)).kind == "histogram"


def test_an_exemplar_of_each_bucket_of_the_page_is_exported() -> None:
    observed = histogram()
    for value, trace_id in [(0.1, "a"), (0.2, "b"), (2.0, "c")]:
        fast_buckets(observed).observe(value, (trace_id * 32, value))
    point = exported(MetricEncoder(delta=False, start_ns=1), observed)
    assert [(each.as_double, each.trace_id.hex()) for each in point.exemplars] == [(0.2, "b" * 32), (2.0, "c" * 32)]


@pytest.mark.parametrize("shared", [True, False], ids=["two workers", "one worker"])
def test_the_collector_gets_what_the_page_counts(shared: bool, tmp_path: Path) -> None:
    """All histograms of the catalogue; the page is the same as without the variable."""
    flags = {**EXPONENTIAL, **({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if shared else {})}
    with OtlpHttpReceiver() as receiver:
        workers = [exporting(receiver, **flags) for _ in range(1 + shared)]
        for number, worker in enumerate(workers, start=2):
            anyio.run(ask, obs.build_stack(shop, worker.obs), number)
        metrics = metrics_of(export(workers[0], receiver))
    shown = page(workers[0])
    found = {metric.name: list(metric.exponential_histogram.data_points) for metric in metrics}
    (duration,) = found["divan_http_request_duration_seconds"]
    assert duration.count == (5 if shared else 2)
    assert samples(metrics).keys() & {key for key in shown if key[0].endswith("_bucket")} == set()
    for metric in metrics:
        for point in metric.exponential_histogram.data_points:
            assert_agrees(metric, point, steady(shown))


def assert_agrees(metric: Metric, point: ExponentialHistogramDataPoint, shown: dict[Any, float]) -> None:
    labels = tuple(sorted((pair.key, pair.value.string_value) for pair in point.attributes))
    if (f"{metric.name}_count", labels) in shown:
        assert point.count == sum(counts(point).values()) == shown[f"{metric.name}_count", labels]
        assert point.sum == shown[f"{metric.name}_sum", labels]


def test_without_the_variable_a_histogram_has_no_further_cells() -> None:
    """Nor with it, if metrics are not exported."""
    for flags in ({"OTEL_METRICS_EXPORTER": "otlp"}, EXPONENTIAL):
        with OtlpHttpReceiver() as receiver:
            duration: Any = exporting(receiver, **{"OTEL_METRICS_EXPORTER": "none", **flags}).obs.metrics.http_duration
            assert duration.cell_edges is duration.edges
