"""The pages of all workers of a service are equal."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import orjson
import pytest
from prometheus_client import CollectorRegistry, Counter, Info

from divan_obs_asgi import Observability
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.metrics import FAMILIES, Format, Metrics
from divan_obs_asgi.metrics.fast_counters import FastCounter
from divan_obs_asgi.metrics.multiprocess.workers import Workers
from divan_obs_asgi.runtime.process import register_process_collectors
from tests.metrics.worker_pages import die, files, page, samples, worker
from tests.ops.asking import ask
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, Observed, run_on


def test_counts_are_summed(tmp_path: Path) -> None:
    """Counters, histograms and summaries of all workers are one."""
    one, two = worker(tmp_path), worker(tmp_path)
    for metrics, seconds in ((one, 0.11), (two, 0.3), (two, 9.0)):
        metrics.http_requests.labels("/rooms", "GET", "200").inc()
        metrics.http_duration.labels("/rooms", "GET").observe(seconds)
        metrics.redis_latency.observe(seconds)
    values = samples(one, "divan_http_request", "divan_redis_latency")
    assert values["divan_http_requests_total{method=GET,route=/rooms,status=200}"] == 3
    assert values["divan_http_request_duration_seconds_bucket{le=0.1,method=GET,route=/rooms}"] == 0
    assert values["divan_http_request_duration_seconds_bucket{le=0.12,method=GET,route=/rooms}"] == 1
    assert values["divan_http_request_duration_seconds_bucket{le=5.0,method=GET,route=/rooms}"] == 2
    assert values["divan_http_request_duration_seconds_count{method=GET,route=/rooms}"] == 3
    assert values["divan_http_request_duration_seconds_sum{method=GET,route=/rooms}"] == 9.41
    assert values["divan_redis_latency_seconds_count"] == 3
    assert values == samples(two, "divan_http_request", "divan_redis_latency")


@pytest.mark.parametrize("form", list(Format))
def test_one_worker_has_the_same_page_as_a_single_process(tmp_path: Path, form: Format) -> None:
    """The bytes are equal, except for gauges that were not set."""
    alone, shared = Metrics(), worker(tmp_path)
    for metrics in (alone, shared):
        metrics.http_requests.labels('a"\n\\é', "GET", "200").inc(1e7)
        metrics.http_duration.labels("/", "GET").observe(0.25, {"trace_id": "ab" * 16})
        metrics.socketio_clients.labels("/chat").set(3)
        metrics.histogram("sizes", "Sizes.", ["zone"], [1, float("inf")]).labels("z").observe(2)
        for gauge in (metrics.redis_up, metrics.postgres_up, metrics.draining):
            gauge.set(1)
    ours, theirs = page(shared, form), page(alone, form)
    when = re.compile(rb" \d{10}\.\d+$", re.MULTILINE)  # Of the exemplar.
    assert when.sub(b"", ours) == when.sub(b"", theirs)


def test_nothing_is_lost_with_a_worker(tmp_path: Path) -> None:
    """A killed worker keeps its counts; its live gauges and its file disappear."""
    one, two = worker(tmp_path), worker(tmp_path)
    for metrics in (one, two):
        metrics.chat_send.inc(0.1)
        metrics.socketio_clients.labels("/").set(5)
        metrics.jobs_last_success.labels("nightly").set(1e9 if metrics is two else 1e8)
    die(two)
    values = samples(one, "divan_chat_send_total", "divan_socketio_clients", "divan_jobs_last")
    assert values == {
        "divan_chat_send_total": 0.2,
        "divan_socketio_clients{namespace=/}": 5,
        "divan_jobs_last_success_timestamp_seconds{name=nightly}": 1e9,
    }
    assert files(tmp_path) == ["archive", "lock", "worker"]
    assert samples(one, "divan_chat_send_total", "divan_socketio_clients", "divan_jobs_last") == values


@pytest.mark.slow
def test_restarts_leave_no_files(tmp_path: Path) -> None:
    """A hundred workers, one after the other: one archive and the last one's file; and it has all their counts."""
    for _ in range(100):
        metrics = worker(tmp_path)
        metrics.chat_send.inc(0.1)
        metrics.http_duration.labels("/", "GET").observe(0.1)
        die(metrics)
    last = worker(tmp_path)
    assert files(tmp_path) == ["archive", "lock", "worker"]
    # A sum that is rounded once, not a hundred times.
    assert samples(last, "divan_chat_send_total") == {"divan_chat_send_total": 10.0}
    assert samples(last, "divan_http_request_duration_seconds_count") == {
        "divan_http_request_duration_seconds_count{method=GET,route=/}": 100
    }


def test_a_dependency_is_up_if_it_is_up_for_all_workers(tmp_path: Path) -> None:
    """Workers that check the same Redis are one series; a worker before its first check has no value."""
    one, two, _ = worker(tmp_path), worker(tmp_path), worker(tmp_path)
    assert samples(one, "divan_redis_up", "divan_probe_up", "divan_health_ready") == {}
    for metrics in (one, two):
        metrics.redis_up.set(1)
        metrics.probe_up.labels("redis").set(1)
        metrics.health_ready.set(1)
    up = {"divan_redis_up": 1, "divan_probe_up{name=redis}": 1, "divan_health_ready": 1}
    assert samples(one, "divan_redis_up", "divan_probe_up", "divan_health_ready") == up
    two.health_ready.set(0)
    assert samples(one, "divan_health_ready") == {"divan_health_ready": 0}
    two.redis_up.set(0)
    assert samples(one, "divan_redis_up") == {"divan_redis_up": 0}
    die(two)
    assert samples(one, "divan_redis_up") == {"divan_redis_up": 1}


def test_the_most_recent_value_is_exposed(tmp_path: Path) -> None:
    """This also holds if the most recent result was no value."""
    one, two = worker(tmp_path), worker(tmp_path)
    one.redis_stream_lag.labels("chat", "g").set(7)
    two.redis_stream_lag.labels("chat", "g").set(3)
    assert list(samples(one, "divan_redis_stream_lag").values()) == [3]
    one.redis_stream_lag.labels("chat", "g").set(9)
    assert list(samples(two, "divan_redis_stream_lag").values()) == [9]
    two.forget(two.redis_stream_lag, "chat", "g")
    assert samples(one, "divan_redis_stream_lag") == {}
    two.redis_stream_lag.labels("chat", "g").set(4)
    assert list(samples(one, "divan_redis_stream_lag").values()) == [4]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("livesum", 1.0), ("livemin", -4.0), ("livemax", 5.0), ("sum", 1.0), ("min", -4.0), ("max", 5.0)],
)
def test_each_mode_makes_one_value(tmp_path: Path, mode: str, expected: float) -> None:
    """Of gauges that are set and of those that are counted up and down; of those that are not set, none."""
    workers = [worker(tmp_path) for _ in range(3)]
    first, second, _ = [metrics.gauge("level", "Level.", mode=mode) for metrics in workers]  # type: ignore[arg-type]
    first.set(5)
    second.dec(4)
    assert samples(workers[2], "divan_level") == {"divan_level": expected}


def test_a_removed_gauge_is_absent(tmp_path: Path) -> None:
    """It starts at zero when it is used again."""
    metrics = worker(tmp_path)
    gauge = metrics.gauge("level", "Level.", ["zone", "kind"])
    gauge.labels("a", "x").set(5)
    held = gauge.labels("a", "y")
    held.set(6)
    gauge.labels("b", "x").set(7)
    gauge.remove("b", "x")
    gauge.remove_by_labels({"kind": "x"})
    assert list(samples(metrics, "divan_level").values()) == [6]
    gauge.clear()
    held.inc()
    assert samples(metrics, "divan_level") == {}
    gauge.labels("a", "x").inc()
    assert samples(metrics, "divan_level") == {"divan_level{kind=x,zone=a}": 1}


def test_a_removed_counter_keeps_its_count(tmp_path: Path) -> None:
    """A counter never decreases: the counts of the workers stay."""
    metrics = worker(tmp_path)
    counter = metrics.counter("steps_total", "Steps.", ["zone"])
    counter.labels("a").inc(2)
    counter.remove("a")
    counter.labels("a").inc()
    assert samples(metrics, "divan_steps_total") == {"divan_steps_total{zone=a}": 3}


def test_a_family_of_another_worker_is_exposed(tmp_path: Path) -> None:
    """Some families are created on first use."""
    one, two = worker(tmp_path), worker(tmp_path)
    two.counter("refunds_total", "Refunds.", ["shop"]).labels("north").inc()
    assert b"# HELP divan_refunds_total Refunds.\n# TYPE divan_refunds_total counter\n" in page(one)
    assert samples(one, "divan_refunds_total") == {"divan_refunds_total{shop=north}": 1}


def test_a_newer_version_of_the_service_has_its_own_families(tmp_path: Path) -> None:
    """A new help text keeps the counts; other labels or buckets start at zero."""
    old = worker(tmp_path)
    old.counter("sales_total", "Sales.").inc(2)
    old.histogram("sizes", "Sizes.", buckets=[1, 2]).observe(1)
    die(old)
    new = worker(tmp_path)
    new.counter("sales_total", "Sales, all of them.").inc()
    new.histogram("sizes", "Sizes.", buckets=[1, 3]).observe(1)
    text = page(new)
    assert b"# HELP divan_sales_total Sales, all of them.\n" in text
    assert b"\ndivan_sales_total 3.0\n" in text
    assert b"\ndivan_sizes_count 1.0\n" in text
    assert text.count(b"# TYPE divan_sizes ") == 1
    die(new)
    assert b"\ndivan_sizes_count 1.0\n" in page(worker(tmp_path))


@pytest.mark.slow
def test_series_of_dead_workers_are_limited(tmp_path: Path) -> None:
    """A hundred workers that each had other label sets leave as many as one may have, and all the counts."""
    for number in range(100):
        metrics = worker(tmp_path, max_series=10)
        for place in range(5):
            metrics.counter("visits_total", "Visits.", ["place"]).labels(f"{number}-{place}").inc()
        die(metrics)
    values = samples(worker(tmp_path, max_series=10), "divan_visits_total")
    assert len(values) == 10
    assert sum(values.values()) == 500
    assert values["divan_visits_total{place=__overflow__}"] == 491


def test_created_is_the_time_of_the_first_worker(tmp_path: Path) -> None:
    """`_created` says since when the service counts, not since when its youngest worker does."""
    old, young = worker(tmp_path, created=True), worker(tmp_path, created=True)
    assert old.chat_send._created < young.chat_send._created
    die(old)
    since = samples(young, "divan_chat_send_created")["divan_chat_send_created"]
    assert since == samples(young, "divan_chat_send_created")["divan_chat_send_created"]
    assert since < young.chat_send._created


def test_processor_time_includes_dead_workers(tmp_path: Path) -> None:
    """Memory is summed over running workers, processor time over all workers."""
    one, two = worker(tmp_path), worker(tmp_path)
    for metrics in (one, two):
        register_process_collectors(metrics.registry)
    names = ("process_cpu_seconds_total", "process_open_fds", "process_max_fds", "python_info")
    both = [samples(metrics, *names) for metrics in (one, two)][-1]
    assert len(both) == 4
    die(two)
    left = samples(one, *names)
    assert left["process_cpu_seconds_total"] >= both["process_cpu_seconds_total"] > 0
    # Both are one process here, and both were counted.
    assert both["process_open_fds"] > 1.5 * left["process_open_fds"]
    assert left["process_max_fds"] == both["process_max_fds"]


def test_two_namespaces_share_a_directory(tmp_path: Path) -> None:
    """They do not see each other."""
    one, other = worker(tmp_path, namespace="shop"), worker(tmp_path, namespace="shop_eu")
    one.chat_send.inc()
    other.chat_send.inc()
    assert samples(one, "shop").get("shop_chat_send_total") == 1
    assert not samples(one, "shop_eu")


def test_a_custom_collector_has_the_values_of_its_worker(tmp_path: Path) -> None:
    """It is on the page; prometheus_client's own counters, which would count in one worker only, raise."""
    metrics = worker(tmp_path)
    Info("divan_build", "Build.", registry=metrics.registry).info({"commit": "abc"})
    assert b'\ndivan_build_info{commit="abc"} 1.0\n' in page(metrics)
    message = (
        "counter:mine counts in one worker only, and with PROMETHEUS_MULTIPROC_DIR the page includes all workers: "
        "create it with observability.metrics.counter, gauge, histogram or summary."
    )
    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(message)}$"):
        Counter("mine", "Mine.", registry=metrics.registry)
    with pytest.raises(
        ImproperlyConfigured, match=r"^divan_queue is shared by all workers, and a worker cannot call a"
    ):
        metrics.gauge("queue", "Queue.").set_function(lambda: 1)
    assert isinstance(metrics.registry, CollectorRegistry)


def test_a_missing_directory_is_created(tmp_path: Path) -> None:
    """Its parents are created too, when the first worker starts; OBS_ENABLED=false creates nothing."""
    missing = tmp_path / "run" / "metrics"
    flags = {"PROMETHEUS_MULTIPROC_DIR": str(missing)}
    Observability.from_env({**flags, "OBS_ENABLED": "false"})
    assert not missing.exists()
    bundle = Observability.from_env(flags)
    assert files(missing) == ["lock", "worker"]
    assert bundle.metrics.workers is not None


@pytest.mark.parametrize("kind", ["not writable", "a file", "below a file"])
def test_a_worker_starts_if_no_file_can_be_created(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """Otherwise it would be restarted again and again; it logs once that its metrics are on its own page only."""
    taken = tmp_path / "taken"
    taken.touch()
    directory = {"not writable": Path("/proc"), "a file": taken, "below a file": taken / "metrics"}[kind]
    observed = Observed({"PROMETHEUS_MULTIPROC_DIR": str(directory)})
    observed.obs.metrics.chat_send.inc(2)
    failures: list[Exception] = []
    for _ in range(3):
        assert b"\ndivan_chat_send_total 2.0\n" in observed.obs.metrics.render(failed=failures.append)
    assert len(failures) >= 3
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"Cannot create a metrics file in {directory} (")
    assert message.endswith("); the metrics of this worker are on its own page only.")
    answer = ask(observed, "/health/ready")
    assert (answer.status, orjson.loads(answer.body)["checks"]["metrics_directory"]["ok"]) == (200, False)


def test_every_gauge_declares_how_workers_are_combined() -> None:
    """Gauges of something that all workers share are not summed."""
    modes = {family.name: family.mode for family in FAMILIES if family.kind == "gauge"}
    summed = {name for name, mode in modes.items() if mode == "livesum"}
    same_for_all = {"health_ready", "probe_up", "redis_up", "postgres_up", "draining", "obs_build_info"}
    assert {modes[name] for name in same_for_all} == {"livemin", "livemax"}
    assert not summed & (same_for_all | {name for name in modes if "timestamp" in name or "redis" in name})


@pytest.mark.parametrize("backend", BACKENDS)
def test_process_series_are_updated_while_the_application_uses_all_threads(tmp_path: Path, backend: str) -> None:
    """Its sync functions may wait for a database, and occupy all threads of the framework."""
    one, two = worker(tmp_path), worker(tmp_path)
    assert one.workers is not None
    register_process_collectors(one.registry)

    release = threading.Event()

    async def live(workers: Workers) -> None:
        async def hold() -> None:
            await anyio.to_thread.run_sync(release.wait)

        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            tasks.start_soon(workers.keep_updating, one.registry.collectors)
            try:
                with anyio.fail_after(PATIENCE_S):
                    while not samples(two, "process_cpu_seconds_total"):  # noqa: ASYNC110 - a thread notes it
                        await anyio.sleep(0.01)
            finally:
                release.set()
                tasks.cancel_scope.cancel()

    run_on(backend, live, one.workers)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fast_counters_are_flushed_at_the_end(tmp_path: Path, backend: str) -> None:
    """A worker that shuts down writes its fast counters and its processor time."""
    one, two = worker(tmp_path), worker(tmp_path)
    assert one.workers is not None
    fast = FastCounter(one.chat_send)
    one.registry.before.append(fast.flush)
    register_process_collectors(one.registry)

    async def live(workers: Workers) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(workers.keep_updating, one.registry.collectors)
            await anyio.sleep(0.02)
            fast.value += 3
            tasks.cancel_scope.cancel()

    run_on(backend, live, one.workers)
    die(one)
    values = samples(two, "divan_chat_send_total", "process_cpu_seconds_total")
    assert values["divan_chat_send_total"] == 3
    assert values["process_cpu_seconds_total"] > 0
