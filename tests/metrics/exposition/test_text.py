"""The page is what prometheus_client would have written, byte for byte."""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    Info,
    disable_created_metrics,
    enable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest as text
from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from divan_obs_asgi.metrics import FAMILIES, Format, Metrics
from divan_obs_asgi.metrics.catalogue import DOMAIN

openmetrics: Callable[[CollectorRegistry], bytes] = exposition.generate_latest
read: Callable[[str], Iterator[Samples]] = text_string_to_metric_families

VALUES = st.one_of(st.floats(), st.integers(-5, 10**7).map(float), st.sampled_from([999999.5, 1e6, 1e16, 1e-7, -0.0]))
AMOUNTS = st.one_of(st.floats(min_value=0, allow_nan=False), st.integers(0, 10**7).map(float))
LABELS = st.tuples(st.text(max_size=8), st.sampled_from(["", 'a "b"\n\\c', "é", "z" * 600, "\ud800"]))
# Of `divan_rooms_created_total` it is a part of the name.
CREATED = re.compile(rb"^\w+_created[ {]", re.MULTILINE)
KINDS = ("counter", "gauge", "histogram", "summary")
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), LABELS, AMOUNTS, VALUES, st.booleans()), max_size=25)


@contextmanager
def created_series(wanted: bool) -> Iterator[None]:
    """Have prometheus_client write `_created`, or not; it is one switch for the process."""
    (enable_created_metrics if wanted else disable_created_metrics)()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        enable_created_metrics()  # type: ignore[no-untyped-call]


def filled(steps: list[tuple[str, tuple[str, str], float, float, bool]], created: bool) -> Metrics:
    """Return metrics of every kind, with labels around `le` in the alphabet, that have seen something."""
    metrics = Metrics(created=created)
    names = ["zone", "kind"]
    counter = metrics.counter("steps_total", 'Steps "taken".\nOr \\ not.', names)
    gauge = metrics.gauge("height", "Height.", names)
    histogram = metrics.histogram("width", "Width.", names, [0.1, 1, 2.5, 1e6, 1e7])
    summary = metrics.summary("weight", "Weight.", names)
    for kind, labels, amount, value, has_exemplar in steps:
        exemplar = {"trace_id": "ab" * 16, "note": labels[1][:20].replace("\ud800", "")} if has_exemplar else None
        if kind == "counter":
            counter.labels(*labels).inc(amount, exemplar)
        elif kind == "gauge":
            gauge.labels(*labels).set(value)
        elif kind == "histogram":
            histogram.labels(*labels).observe(value, exemplar)
        else:
            summary.labels(*labels).observe(value)
    return metrics


@pytest.mark.slow
@pytest.mark.parametrize("created", [False, True])
@given(STEPS)
@example([])
@example([("histogram", ("", ""), 0.0, float("nan"), True)])
def test_it_writes_what_prometheus_client_writes(
    created: bool, steps: list[tuple[str, tuple[str, str], float, float, bool]]
) -> None:
    """In both formats, with and without `_created`, whatever the labels, the values and the exemplars are."""
    metrics = filled(steps, created)
    # prometheus_client's parser refuses this kind, which prometheus_client's writers write.
    below_zero = metrics.histogram("cold", "Cold.", [], [-10, 0, 10])
    for *_, value, _ in steps:
        below_zero.observe(value)
    with created_series(created):
        assert metrics.render(Format.TEXT) == text(metrics.registry)
        assert metrics.render(Format.OPENMETRICS) == openmetrics(metrics.registry)


@pytest.mark.slow
@given(STEPS)
def test_its_openmetrics_can_be_read(steps: list[tuple[str, tuple[str, str], float, float, bool]]) -> None:
    """By prometheus_client's own strict parser."""
    # It refuses what a histogram may hold of values that are no measurements.
    steps = [(kind, labels, amount, abs(amount), has_exemplar) for kind, labels, amount, _, has_exemplar in steps]
    page = filled(steps, created=True).render(Format.OPENMETRICS).decode()
    families = {family.name: family for family in read(page)}
    expected = [family for family in FAMILIES if family not in DOMAIN]
    assert {f"divan_{declared.name.removesuffix('_total')}" for declared in expected} <= families.keys()


def test_a_gauge_may_be_a_function() -> None:
    """`set_function` works as it does in prometheus_client."""
    metrics = Metrics()
    metrics.gauge("queue", "Queue.").set_function(lambda: 41.5 + 0.5)
    metrics.gauge("queues", "Queues.", ["name"]).labels("a").set_function(lambda: 7)
    page = metrics.render()
    assert b"\ndivan_queue 42.0\n" in page
    assert b'\ndivan_queues{name="a"} 7.0\n' in page


def test_foreign_metrics_are_on_the_page() -> None:
    """prometheus_client's collectors, and an application's own; without their `_created`."""
    metrics = Metrics()
    GCCollector(metrics.registry)
    build = Info("divan_build", "Build.", registry=metrics.registry)
    build.info({"version": "1"})
    for form in Format:
        page = metrics.render(form)
        assert b"python_gc_collections_total" in page
        assert b'divan_build_info{version="1"} 1.0\n' in page
        assert CREATED.search(page) is None
    gc.disable()  # A collection between two pages would be counted on the second.
    try:
        with created_series(False):
            assert metrics.render(Format.TEXT) == text(metrics.registry)
            assert metrics.render(Format.OPENMETRICS) == openmetrics(metrics.registry)
    finally:
        gc.enable()
    metrics.registry.unregister(build)
    assert b"divan_build" not in metrics.render()


class Broken(Collector):
    """A collector that raises."""

    def collect(self) -> Iterator[Samples]:
        yield GaugeMetricFamily("half", "Half.", value=1)
        raise RuntimeError("the database has gone")

    def describe(self) -> list[Samples]:
        return []


def test_a_collector_that_raises_is_skipped() -> None:
    """All others are on the page, and the failure is reported; prometheus_client would return no page at all."""
    metrics = Metrics()
    metrics.registry.register(Broken())
    metrics.gauge("bad", "Bad.").set_function(lambda: 1 / 0)
    metrics.gauge("good", "Good.").set(1)
    failures: list[Exception] = []
    page = metrics.render(Format.OPENMETRICS, failures.append).decode()
    assert [type(failure) for failure in failures] == [RuntimeError, ZeroDivisionError]
    names = {family.name for family in read(page)}
    assert "divan_good" in names
    assert names.isdisjoint({"half", "divan_bad"})


class Odd(Collector):
    """A collector that returns an invalid value."""

    def __init__(self, value: object) -> None:
        self.value = value

    def collect(self) -> Iterator[Samples]:
        yield GaugeMetricFamily("odd", "Odd.", value=self.value)  # type: ignore[arg-type]

    def describe(self) -> list[Samples]:
        return []


@pytest.mark.parametrize("value", ["text", b"1.0.0", []])
@pytest.mark.parametrize("form", Format)
def test_a_value_that_is_not_a_number_is_skipped(value: object, form: Format) -> None:
    """This holds for a collector and for a gauge function; the rest of the page is there."""
    metrics = Metrics()
    assert metrics.chat_send
    metrics.registry.register(Odd(value))
    metrics.gauge("odd", "Odd.").set_function(lambda: value)  # type: ignore[arg-type,return-value]
    failures: list[Exception] = []
    page = metrics.render(form, failures.append)
    assert b"odd" not in page
    assert len(failures) == 2
    assert b"\ndivan_chat_send_total 0.0\n" in page


def test_nan_is_a_value() -> None:
    """Prometheus knows it by this name."""
    metrics = Metrics()
    metrics.registry.register(Odd(float("nan")))
    metrics.gauge("strange", "Strange.").set_function(lambda: float("nan"))
    for form in Format:
        page = metrics.render(form)
        assert b"\nodd NaN\n" in page
        assert b"\ndivan_strange NaN\n" in page


class Hanging(Collector):
    """A collector that waits for a database without a response."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        self.answer.wait(30)
        return 1

    def collect(self) -> Iterator[Samples]:
        yield GaugeMetricFamily("late", "Late.", value=self())

    def describe(self) -> list[Samples]:
        return []


@pytest.mark.parametrize("way", ["collector", "function", "another's function", "another's child"])
def test_a_collector_that_hangs_is_skipped_until_it_returns(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """The page does not wait for it, and does not call it again, so that waiting threads do not accumulate."""
    metrics, hanging = Metrics(timeout_s=0.02), Hanging()
    assert metrics.chat_send
    failures: list[Exception] = []
    if way == "collector":
        metrics.registry.register(hanging)
    elif way == "another's function":
        Gauge("late", "Late.", registry=metrics.registry).set_function(hanging)
    elif way == "another's child":
        Gauge("late", "Late.", ["x"], registry=metrics.registry).labels("y").set_function(hanging)
    else:
        metrics.gauge("late", "Late.").set_function(hanging)

    def shown() -> bool:
        page = metrics.render(failed=failures.append)
        assert b"\ndivan_chat_send_total 0.0\n" in page
        return re.search(rb'late(\{x="y"\})? 1.0\n', page) is not None

    assert [shown() for _ in range(3)] == [False] * 3
    assert (hanging.asked, [type(failure) for failure in failures]) == (1, [TimeoutError] * 3)
    hanging.answer.set()
    for thread in callbacks():
        thread.join()
    assert shown()
    hanging.answer.clear()
    assert not shown()
    hanging.answer.set()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"{WHO[way]} has not returned within 0.02 s; its series are missing until it returns."
    for thread in callbacks():
        thread.join()


def callbacks() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "divan_obs_asgi.callback"]


WHO = {
    "collector": "The collector Hanging",
    "function": "A function of divan_late",
    "another's function": "The collector Gauge",
    "another's child": "The collector Gauge",
}


def test_a_failing_flush_does_not_affect_others() -> None:
    """The page, the sizes of the families and prometheus_client's own page are there; the failure is reported."""
    metrics = Metrics()
    failures: list[Exception] = []
    metrics.registry.failed = failures.append
    metrics.registry.before += [lambda: 1 / 0, metrics.chat_send.inc]
    assert b"\ndivan_chat_send_total 1.0\n" in metrics.render()
    assert metrics.registry.get_sample_value("divan_chat_send_total") == 2.0
    assert metrics.cardinality()
    assert metrics.label_sets()
    assert [type(failure) for failure in failures] == [ZeroDivisionError] * 4


def test_created_series_are_off() -> None:
    """They would double the page."""
    for form in Format:
        metrics = Metrics()
        metrics.presence_rejects.labels("stale").inc()
        assert CREATED.search(metrics.render(form)) is None
    with_them = Metrics(created=True)
    with_them.presence_rejects.labels("stale").inc()
    assert b'\ndivan_presence_rejects_created{reason="stale"} 1.' in with_them.render(Format.TEXT)


def test_exemplars_are_in_openmetrics_only() -> None:
    """The text format has no place for them."""
    metrics = Metrics()
    metrics.http_duration.labels("/", "GET").observe(0.2, {"trace_id": "ab" * 16})
    assert b' # {trace_id="abababababababababababababababab"} 0.2 1' in metrics.render(Format.OPENMETRICS)
    assert b"trace_id" not in metrics.render(Format.TEXT)


def test_an_exemplar_that_is_too_long_is_dropped() -> None:
    """OpenMetrics allows 128 characters; prometheus_client would raise into the application."""
    metrics = Metrics()
    metrics.invites_sent.inc(exemplar={"note": "long " * 30})
    assert b"\ndivan_invites_sent_total 1.0\n" in metrics.render(Format.OPENMETRICS)


@pytest.mark.parametrize("name", ["user id", "user-id", "", "é", "9a", "__name__", "a\n", 7])
def test_an_exemplar_with_an_invalid_name_is_dropped(name: str) -> None:
    """Prometheus would reject the whole page; prometheus_client raises for some of them in the application."""
    metrics = Metrics()
    metrics.invites_sent.inc(exemplar={name: "1"})
    metrics.redis_ping_duration.observe(0.1, {name: "1"})
    page = metrics.render(Format.OPENMETRICS).decode()
    assert "\ndivan_invites_sent_total 1.0\n" in page
    assert {family.name for family in read(page)} >= {"divan_invites_sent", "divan_redis_ping_duration_seconds"}
