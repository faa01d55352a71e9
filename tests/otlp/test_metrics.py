"""OTEL_METRICS_EXPORTER=otlp: the collector gets the series of /metrics, with the same numbers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

import divan_obs_asgi as obs
from divan_obs_asgi.otlp.answers import DROP_REASONS
from divan_obs_asgi.otlp.metric_export import MetricExport
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.test_line_export import SHOP
from tests.patience import PATIENCE_S
from tests.servers.command import Command, until
from tests.servers.otlp_http import OtlpHttpReceiver
from tests.servers.process import free_port
from tests.servers.rotel import needs_rotel, rotel
from tests.stacks import Observed

Page = dict[tuple[str, tuple[tuple[str, str], ...]], float]
METRICS = {
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "20",
}
EXPONENTIAL = {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"}


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"sold"})


async def ask(stack: Any, times: int) -> None:
    for _ in range(times):
        await converse(stack, http_scope())


def exporting(receiver: OtlpHttpReceiver, **flags: str) -> Observed:
    return Observed({**METRICS, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, **flags})


def answers(url: str) -> bool:
    """Return whether the server listens; a refused connection is not a request."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.ConnectError:
        return False


def export(observed: Observed, receiver: OtlpHttpReceiver) -> ResourceMetrics:
    before = len(receiver.metrics)
    observed.obs.exports.flush()
    return receiver.wait_for_metrics(before + 1)[-1]


def metrics_of(resource: ResourceMetrics) -> list[Metric]:
    assert ResourceMetrics.FromString(resource.SerializeToString()) == resource
    return [metric for scope in resource.scope_metrics for metric in scope.metrics]


def samples(metrics: list[Metric]) -> Page:
    """Return the exported numbers as samples of a page."""
    found: Page = {}
    for metric in metrics:
        for point in metric.gauge.data_points or metric.sum.data_points:
            found[metric.name, _labels(point)] = point.as_double
        for each in metric.summary.data_points:
            found[f"{metric.name}_count", _labels(each)] = each.count
            found[f"{metric.name}_sum", _labels(each)] = each.sum
        for one in metric.histogram.data_points:
            total = 0
            for count, edge in zip(one.bucket_counts, [*one.explicit_bounds, float("inf")], strict=True):
                total += count
                found[f"{metric.name}_bucket", _labels(one, le=edge)] = total
            found[f"{metric.name}_count", _labels(one)] = one.count
            if one.HasField("sum"):
                found[f"{metric.name}_sum", _labels(one)] = one.sum
    return found


def _labels(point: Any, **more: float) -> tuple[tuple[str, str], ...]:
    labels = {pair.key: pair.value.string_value for pair in point.attributes}
    return tuple(sorted({**labels, **{name: str(value) for name, value in more.items()}}.items()))


def page(observed: Observed) -> Page:
    families = text_string_to_metric_families(observed.obs.metrics.render().decode())
    found: Page = {}
    for family in families:
        for sample in family.samples:
            labels = {name: str(float(value)) if name == "le" else value for name, value in sample.labels.items()}
            found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


# These change between the export and the page.
UNSTEADY = ("process_", "python_gc", "divan_health", "divan_event_loop", "divan_process")


def steady(found: Page) -> Page:
    return {key: value for key, value in found.items() if not key[0].startswith(UNSTEADY)}


def own_metrics(registry: CollectorRegistry) -> Callable[[], None]:
    """Register metrics of prometheus_client of each kind, and return what changes them."""
    counter = Counter("shop_sold", "Sold.", ["kind"], registry=registry)
    gauge = Gauge("shop_open", "Open.", registry=registry)
    histogram = Histogram("shop_price", "Price.", buckets=(1, 5), registry=registry)
    summary = Summary("shop_wait", "Wait.", registry=registry)
    Info("shop_about", "About.", registry=registry).info({"town": "Ulm"})

    def change() -> None:
        counter.labels("tea").inc(2, {"trace_id": "0af7651916cd43dd8448eb211c80319c"})
        gauge.set(-1.5)
        histogram.observe(3)
        histogram.observe(9)
        summary.observe(0.5)

    return change


def test_the_collector_gets_the_numbers_of_the_page() -> None:
    """Of the library's families and of the application's own, to the last count."""
    with OtlpHttpReceiver() as receiver:
        observed = exporting(receiver)
        change = own_metrics(observed.obs.metrics.registry)
        stack = obs.build_stack(shop, observed.obs)
        for times in (3, 5):
            change()
            anyio.run(ask, stack, times)
            found = metrics_of(export(observed, receiver))
            assert steady(samples(found)) == steady(page(observed))
        at = {metric.name: metric for metric in found}
        requests = at["divan_http_requests_total"]
        assert requests.sum.is_monotonic
        assert requests.sum.aggregation_temporality == 2
        assert requests.sum.data_points[0].start_time_unix_nano < requests.sum.data_points[0].time_unix_nano
        assert [point.as_double for point in requests.sum.data_points] == [8]
        assert requests.description
        (exemplar,) = at["shop_sold_total"].sum.data_points[0].exemplars
        assert exemplar.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("preference", ["delta", "lowmemory"])
def test_the_differences_add_up_to_the_numbers_of_the_page(preference: str) -> None:
    with OtlpHttpReceiver() as receiver:
        observed = exporting(receiver, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=preference)
        change = own_metrics(observed.obs.metrics.registry)
        stack = obs.build_stack(shop, observed.obs)
        total: Page = {}
        ends: list[int] = []
        for times in (3, 0, 5):
            anyio.run(ask, stack, times)
            change()
            found = [metric for metric in metrics_of(export(observed, receiver)) if metric.HasField("sum")]
            points = next(metric for metric in found if metric.name == "shop_sold_total").sum
            assert points.aggregation_temporality == 1
            ends.append(points.data_points[0].time_unix_nano)
            if len(ends) > 1:
                assert points.data_points[0].start_time_unix_nano == ends[-2]
            for key, value in samples(found).items():
                total[key] = total.get(key, 0.0) + value
        shown = page(observed)
        assert total["shop_sold_total", (("kind", "tea"),)] == 6
        assert steady(total) == {key: value for key, value in steady(shown).items() if key in total}
        assert sum(value for key, value in total.items() if key[0] == "divan_http_requests_total") == 8


@pytest.mark.parametrize("preference", ["cumulative", "delta"])
def test_workers_export_their_sum_once(preference: str, tmp_path: Path) -> None:
    """One of them exports; when it ends, the other one goes on as the same instance, from the same numbers."""
    with OtlpHttpReceiver() as receiver:
        flags = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        flags["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = preference
        first, second = exporting(receiver, **flags), exporting(receiver, **flags)
        anyio.run(ask, obs.build_stack(shop, first.obs), 3)
        resources = [export(first, receiver)]
        anyio.run(ask, obs.build_stack(shop, second.obs), 4)
        second.obs.exports.flush()
        assert len(receiver.metrics) == 1
        first.obs.exports.pause()
        resources.append(export(second, receiver))
        counts = [
            sum(value for key, value in samples(metrics_of(each)).items() if key[0] == "divan_http_requests_total")
            for each in resources
        ]
        assert counts == ([3, 7] if preference == "cumulative" else [3, 4])
        ids = {
            pair.value.string_value
            for each in resources
            for pair in each.resource.attributes
            if pair.key == "service.instance.id"
        }
        assert len(ids) == 1


@pytest.mark.slow
@pytest.mark.parametrize("preference", ["cumulative", "delta"])
def test_two_workers_of_a_server_count_every_request_once(preference: str, tmp_path: Path) -> None:
    """What has arrived when the server has ended has all requests of both workers."""
    with OtlpHttpReceiver() as receiver:
        env = {
            **METRICS,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference,
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        }
        with closing(Command(SHOP, "uvicorn", "app", "--workers", "2", env=env)) as command:
            command.start()
            # The parent process says that it runs before a worker listens.
            until(lambda: answers(command.url), command)
            for _ in range(29):
                # A connection of its own, so that both workers get some.
                assert answers(command.url)
            command.process.send_signal(signal.SIGTERM)
            assert command.ended.wait(PATIENCE_S)
        counts = [
            sum(value for key, value in samples(metrics_of(each)).items() if key[0] == "divan_http_requests_total")
            for each in receiver.metrics
        ]
        assert (counts[-1] if preference == "cumulative" else sum(counts)) == 30


class SlowCollector(Collector):
    """Takes its time."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def collect(self) -> list[Any]:
        self.asked.set()
        threading.Event().wait(0.02)
        return []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_exports_although_its_parent_was_reading_the_series() -> None:
    """The fork waits for that: the child would wait for the parent's lock for ever."""
    observed = Observed({**METRICS, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"})
    (export,) = observed.obs.exports._exports
    assert isinstance(export, MetricExport)
    slow = SlowCollector()
    observed.obs.metrics.registry.register(slow)
    reading = threading.Thread(target=export.collect)
    reading.start()
    assert slow.asked.wait(PATIENCE_S)
    child = os.fork()
    if child == 0:
        own = threading.Thread(target=export.collect, daemon=True)
        own.start()
        own.join(PATIENCE_S)
        os._exit(own.is_alive())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    reading.join()


def test_it_is_off_by_default() -> None:
    observed = Observed({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert not observed.obs.exports.runs


def test_exports_that_find_no_room_are_counted() -> None:
    """Each export has all series, so a lost one with cumulative counts is a gap and no error."""
    observed = Observed({**METRICS, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"})
    for _ in range(40):
        observed.obs.exports.flush()
    counted = [observed.value("divan_otlp_dropped_total", signal="metrics", reason=reason) for reason in DROP_REASONS]
    assert 40 - 34 <= sum(counted) <= 40 - 32


# Its program needs the shared library of the interpreter that it was built for.
@pytest.mark.slow
@needs_rotel
def test_another_collector_takes_them() -> None:
    ports = free_port(), free_port()
    with rotel(*ports, signal="metrics") as collector:
        endpoint = f"http://127.0.0.1:{ports[1]}"
        observed = Observed({**METRICS, **EXPONENTIAL, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        # The application's own histograms have the buckets that prometheus_client counted into.
        own_metrics(observed.obs.metrics.registry)()
        anyio.run(ask, obs.build_stack(shop, observed.obs), 3)
        observed.obs.exports.flush()
        collector.wait_for("Received metrics")
