"""Fast counters lose no count, whoever reads the metrics, and whenever."""

from __future__ import annotations

import errno
import gc
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.metrics import OVERFLOW, Format, HttpTraffic, Metrics, WebSocketTraffic
from divan_obs_asgi.metrics.family import DURATION_BUCKETS_S, SIZE_BUCKETS
from divan_obs_asgi.metrics.fast_counters import FastBuckets, child_of, fast_counter
from divan_obs_asgi.metrics.multiprocess.worker_file import Ledger
from tests.metrics.ended_requests import ended
from tests.metrics.worker_pages import no_failure

SECONDS = st.floats(0, 10) | st.sampled_from(DURATION_BUCKETS_S)


RECORDS = st.builds(
    ended,
    st.sampled_from(["/a", "/b"]),
    st.sampled_from([200, 500]),
    st.sampled_from(["ok", "error"]),
    SECONDS,
    st.none() | st.integers(0, 10**8),
    st.booleans(),
)


@contextmanager
def metrics_of(kind: str) -> Iterator[Metrics]:
    """Give the metrics of a process that is the only one, of a worker, or of a worker whose disk is full."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        metrics = Metrics(directory=None if kind == "alone" else Path(name))
        if kind == "full":

            def full(*_: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(Ledger, "_append", full)
        yield metrics


@pytest.mark.parametrize("kind", ["alone", "worker", "full"])
@given(st.lists(RECORDS | st.none(), max_size=30))
def test_fast_counts_equal_those_of_prometheus_client(kind: str, steps: list[RequestRecord | None]) -> None:
    """The pages are equal, except for the rounding of sums; a scrape in between (None) changes nothing."""
    with metrics_of(kind) as metrics:
        assert_equal_to_prometheus_client(metrics, steps)


def assert_equal_to_prometheus_client(metrics: Metrics, steps: list[RequestRecord | None]) -> None:
    reference = Metrics()
    traffic = HttpTraffic(metrics)
    for record in steps:
        if record is None:
            metrics.render()
            continue
        traffic.finish(record)
        at = record.route, record.method
        reference.http_requests.labels(*at, record.status).inc()
        reference.http_outcomes.labels(record.route, record.outcome).inc()
        durations, first_bytes = reference.http_duration.labels(*at), reference.http_first_byte.labels(*at)
        sizes = reference.http_response_size.labels(*at)
        if record.first_byte_s is not None:
            sizes.observe(record.response_bytes)
        if not record.waits:
            durations.observe(record.duration_s)
            if record.first_byte_s is not None:
                first_bytes.observe(record.first_byte_s)
    assert lines(metrics) == lines(reference)


def lines(metrics: Metrics) -> set[str]:
    """Return what this process knows of requests, and no other."""
    known = metrics.slices(Format.OPENMETRICS, no_failure, only=metrics.registry.collectors())
    page = b"".join(known).decode().splitlines()
    return {line for line in page if line.startswith("divan_http") and "_seconds_sum" not in line}


@pytest.mark.parametrize("kind", ["alone", "worker", "full"])
def test_a_sampled_trace_is_the_exemplar_of_both_durations(kind: str) -> None:
    """The size of the response has no exemplar."""
    record = ended("/a")
    record.sampled, record.trace_id, record.started_ns = True, "ab" * 16, 10**18
    with metrics_of(kind) as metrics:
        HttpTraffic(metrics).finish(record)
        shown = {line for line in lines(metrics) if "trace_id" in line}
    trace = f'# {{trace_id="{"ab" * 16}"}}'
    assert shown == {
        f'divan_http_request_duration_seconds_bucket{{le="0.1",method="GET",route="/a"}} 1.0 {trace} 0.1 1000000000.1',
        f'divan_http_first_byte_seconds_bucket{{le="0.05",method="GET",route="/a"}} 1.0 {trace} 0.05 1000000000.1',
    }


@given(st.lists(SECONDS), st.lists(st.floats(0, 10**8) | st.sampled_from(SIZE_BUCKETS)))
def test_a_sum_is_the_sum_of_the_observations(seconds: list[float], sizes: list[float]) -> None:
    """The number of scrapes does not matter."""
    metrics = Metrics()
    for family, observed in ((metrics.http_duration, seconds), (metrics.http_response_size, sizes)):
        bins = FastBuckets(family.labels("/", "GET"))
        for amount in observed:
            bins.observe(amount)
        total = metrics.registry.get_sample_value(f"divan_{family.family.name}_sum", {"route": "/", "method": "GET"})  # type: ignore[attr-defined]
        assert abs((total or 0.0) - sum(observed)) < 1e-6


def test_no_count_is_lost_or_doubled_during_scrapes() -> None:
    """Two scrapes at a time, in threads, while requests end."""
    metrics = Metrics()
    traffic = HttpTraffic(metrics)
    stop = threading.Event()

    def look(form: Format) -> None:
        while not stop.is_set():
            metrics.render(form)

    with ThreadPoolExecutor(3) as threads:
        looking = [threads.submit(look, form) for form in (*Format, Format.TEXT)]
        for _ in range(5000):
            traffic.finish(ended("/a"))
        stop.set()
        for future in looking:
            future.result()
    labels = {"route": "/a", "method": "GET"}
    assert metrics.registry.get_sample_value("divan_http_requests_total", {**labels, "status": "200"}) == 5000.0
    assert metrics.registry.get_sample_value("divan_http_request_duration_seconds_count", labels) == 5000.0


def test_the_exemplar_of_a_bucket_is_the_newest_sampled_trace() -> None:
    """It has the time at which its request ended."""
    metrics = Metrics()
    duration = FastBuckets(metrics.http_duration.labels("/", "GET"))
    for trace, at_s in (("a" * 32, 1e9), ("b" * 32, 1e9 + 1)):
        duration.observe(0.3, (trace, at_s))
        duration.observe(0.3)
        page = metrics.render(Format.OPENMETRICS).decode()
        (line,) = [line for line in page.splitlines() if "trace_id" in line]
        assert line.endswith(f'# {{trace_id="{trace}"}} 0.3 {at_s}')


@pytest.mark.parametrize("workers", [1, 2])
def test_every_request_of_a_full_family_is_an_overflow(workers: int, tmp_path: Path) -> None:
    """The counter goes on with the series of the overflow, though that is looked up once for each kind of request."""
    metrics = Metrics(max_series=8, directory=tmp_path if workers > 1 else None)
    traffic = HttpTraffic(metrics)
    for number in range(90):
        traffic.finish(ended(f"/{number % 9}"))
        if number % 7 == 0:
            metrics.render()
    page = metrics.render().decode()
    (line,) = [line for line in page.splitlines() if line.startswith("divan_http_requests_total") and OVERFLOW in line]
    assert line.endswith(" 20.0")
    for family in ("requests_total", "outcomes_total", "request_duration_seconds", "response_size_bytes"):
        assert f'\ndivan_metrics_overflow_total{{cause="limit",family="http_{family}"}} 20.0\n' in page


@pytest.mark.slow
def test_invented_routes_use_no_memory() -> None:
    """An application that declares paths for templates: what is over the limit is counted as one."""
    metrics = Metrics(max_series=20)
    traffic = HttpTraffic(metrics)

    def meet(start: int, end: int) -> int:
        for number in range(start, end):
            traffic.finish(ended(f"/{number}"))
        gc.collect()
        return sys.getallocatedblocks()

    before = meet(0, 100)
    after = meet(100, 15_000)
    # A hundred blocks for each kind that has a series of its own; some for each that is cached.
    assert after - before < 6 * 10_000
    page = metrics.render().decode()
    assert '\ndivan_metrics_overflow_total{cause="limit",family="http_requests_total"} 14981.0\n' in page
    labels = dict.fromkeys(("route", "method", "status"), OVERFLOW)
    assert metrics.registry.get_sample_value("divan_http_requests_total", labels) == 14981.0


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_are_counted_after_their_series_were_removed(workers: int, tmp_path: Path) -> None:
    """As tests do between each other; series that are kept at hand are looked up again."""
    metrics = Metrics(directory=tmp_path if workers > 1 else None)
    traffic = HttpTraffic(metrics)
    for _ in range(2):
        metrics.http_requests.clear()
        metrics.http_duration.remove("/a", "GET")
        traffic.finish(ended("/a"))
    # All workers expose the counts of a worker, and they stay.
    page = metrics.render().decode()
    assert f'\ndivan_http_requests_total{{method="GET",route="/a",status="200"}} {workers}.0\n' in page
    assert f'\ndivan_http_request_duration_seconds_count{{method="GET",route="/a"}} {workers}.0\n' in page
    assert '\ndivan_http_outcomes_total{outcome="ok",route="/a"} 2.0\n' in page


def test_every_message_of_a_full_family_is_an_overflow() -> None:
    """A connection looks its series up once, and may last for a day."""
    metrics = Metrics(max_series=2)
    metrics.websocket_messages.labels("/other", "in")
    record = ended("/ws")
    WebSocketTraffic(metrics).begin(record)
    for direction in ("in", "out", "in", "in"):
        assert record.on_message is not None
        record.on_message(record, direction)
    labels = {"family": "websocket_messages_total", "cause": "limit"}
    assert metrics.registry.get_sample_value("divan_metrics_overflow_total", labels) == 4.0


@pytest.mark.parametrize("workers", [1, 2])
def test_every_event_of_a_full_family_is_an_overflow(workers: int, tmp_path: Path) -> None:
    """A fast counter of the overflow counts overflows, too."""
    metrics = Metrics(max_series=2, directory=tmp_path if workers > 1 else None)
    metrics.socketio_events.labels("/", "first")
    tally = fast_counter(child_of(metrics.socketio_events, "/", "second"))
    for _ in range(4):
        tally.value += 1
    tally.flush()
    labels = {"family": "socketio_events_total", "cause": "limit"}
    assert metrics.registry.get_sample_value("divan_metrics_overflow_total", labels) == 4.0


def test_counts_of_a_worker_are_visible_to_others_at_once(tmp_path: Path) -> None:
    """Another worker serves the scrape, and cannot call this one."""
    metrics, neighbour = Metrics(directory=tmp_path), Metrics(directory=tmp_path)
    traffic = HttpTraffic(metrics)
    left = traffic.begin(ended("/a"))
    assert "\ndivan_http_requests_in_flight 1.0\n" in neighbour.render().decode()
    traffic.finish(ended("/a"))
    left()
    page = neighbour.render().decode()
    assert "\ndivan_http_requests_in_flight 0.0\n" in page
    for name, labels in (("requests_total", ',status="200"'), ("request_duration_seconds_count", "")):
        assert f'\ndivan_http_{name}{{method="GET",route="/a"{labels}}} 1.0\n' in page
