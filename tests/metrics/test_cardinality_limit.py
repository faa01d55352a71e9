"""An attacker, a scanner or a careless label cannot fill Prometheus."""

from __future__ import annotations

import logging
import re
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.metrics import OVERFLOW, Metrics
from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.redaction import RedactionPolicy


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of one name by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def parsed(page: str) -> list[Metric]:
    return list(text_string_to_metric_families(page))  # type: ignore[no-untyped-call]


def overflows(metrics: Metrics, family: str, cause: str = "limit") -> float:
    labels = {"family": family, "cause": cause}
    return metrics.registry.get_sample_value("divan_metrics_overflow_total", labels) or 0.0


def test_what_is_over_the_limit_is_one_series() -> None:
    """Nothing is lost of the sum, and the overflow is one of the label sets that the limit allows."""
    metrics = Metrics(max_series=4)
    for number in range(10):
        metrics.presence_heartbeats.labels(f"campus-{number}").inc()
    assert series(metrics, "divan_presence_heartbeats_total") == {
        ("campus-0",): 1.0,
        ("campus-1",): 1.0,
        ("campus-2",): 1.0,
        (OVERFLOW,): 7.0,
    }
    assert overflows(metrics, "presence_heartbeats_total") == 7.0
    metrics.presence_heartbeats.labels("campus-1").inc()
    assert series(metrics, "divan_presence_heartbeats_total")[("campus-1",)] == 2.0


def test_a_limit_of_one_is_the_sum() -> None:
    """The smallest limit leaves a metric that still counts."""
    metrics = Metrics(max_series=1)
    metrics.presence_heartbeats.labels("north").inc()
    assert series(metrics, "divan_presence_heartbeats_total") == {(OVERFLOW,): 1.0}


def test_each_family_has_the_limit_for_itself() -> None:
    """One that is full takes nothing from the others."""
    metrics = Metrics(max_series=3)
    for number in range(9):
        metrics.presence_heartbeats.labels(f"campus-{number}").inc()
    metrics.presence_rejects.labels("stale").inc()
    assert series(metrics, "divan_presence_rejects_total") == {("stale",): 1.0}
    assert metrics.label_sets()["presence_heartbeats_total"] == 3


def test_every_kind_of_metric_is_limited() -> None:
    """Counter, gauge, histogram and summary, the catalogue's and the application's."""
    metrics = Metrics(max_series=3)
    for number in range(9):
        metrics.counter("a_total", "A.", ["x"]).labels(number).inc()
        metrics.gauge("b", "B.", ["x"]).labels(x=number).set(number)
        metrics.histogram("c", "C.", ["x"]).labels(number).observe(number)
        metrics.summary("d", "D.", ["x"]).labels(number).observe(number)
    expected = {("0",), ("1",), (OVERFLOW,)}
    for name in ("a_total", "b", "c_count", "d_count"):
        assert set(series(metrics, f"divan_{name}")) == expected, name


def test_the_overflow_warns_once_for_each_family(caplog: pytest.LogCaptureFixture) -> None:
    """A flood is one line; what it names is redacted."""
    metrics = Metrics(max_series=2)
    by_mail = metrics.counter("logins_total", "Logins.", ["email"])
    colours = metrics.counter("paints_total", "Paints.", ["colour"])
    by_mail.labels("first@example.org").inc()
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            colours.labels(f"colour {number} of ada@example.org").inc()
    assert [record.getMessage() for record in caplog.records] == [
        "Metric paints_total has reached its limit of 2 label sets (OBS_METRICS_MAX_SERIES). Further ones, first "
        "colour='colour 1 of [redacted:email]', are counted as __overflow__."
    ]


def test_a_value_outside_the_vocabulary_is_an_overflow(caplog: pytest.LogCaptureFixture) -> None:
    """The other labels are kept, and the log says once what to declare."""
    metrics = Metrics()
    metrics.declare("period", ["day", "week"])
    with caplog.at_level(logging.WARNING):
        for period in ("day", "fortnight", "year", "week"):
            metrics.lb_snapshots.labels(period, "campus").inc()
    assert series(metrics, "divan_lb_snapshots_total") == {
        ("day", "campus"): 1.0,
        (OVERFLOW, "campus"): 2.0,
        ("week", "campus"): 1.0,
    }
    assert overflows(metrics, "lb_snapshots_total", "vocabulary") == 2.0
    assert [record.getMessage() for record in caplog.records] == [
        "Metric lb_snapshots_total got a label value that is not in its vocabulary: period='fortnight', "
        "scope='campus'. It is counted as __overflow__."
    ]


def test_a_vocabulary_applies_to_the_applications_metrics_only() -> None:
    """The `reason` of a refused heartbeat does not change the `reason` of a Socket.IO disconnect."""
    metrics = Metrics()
    metrics.declare("reason", ["unknown_campus"])
    metrics.socketio_disconnects.labels("/", "ping_timeout").inc()
    metrics.presence_rejects.labels("unknown_campus").inc()
    labels = {"namespace": "/", "reason": "ping_timeout"}
    assert metrics.registry.get_sample_value("divan_socketio_disconnects_total", labels) == 1.0
    assert metrics.registry.get_sample_value("divan_presence_rejects_total", {"reason": "unknown_campus"}) == 1.0


def test_a_vocabulary_can_be_declared_late() -> None:
    """From then on it holds, also for values that were seen before."""
    metrics = Metrics()
    metrics.activities_created.labels("study").inc()
    metrics.declare("kind", ["sport"])
    metrics.activities_created.labels("study").inc()
    assert series(metrics, "divan_activities_created_total") == {("study",): 1.0, (OVERFLOW,): 1.0}
    with pytest.raises(ImproperlyConfigured, match=r"^The label 'kind' was declared without values\.$"):
        metrics.declare("kind", [])


@pytest.mark.parametrize(
    ("radius_m", "expected"),
    [(0, "100"), (-5, "100"), (100, "100"), (100.5, "250"), (5000, "5000"), (5001, "+Inf"), (float("nan"), "+Inf")],
)
def test_a_radius_is_counted_in_its_class(radius_m: float, expected: str) -> None:
    """It is the smallest class that includes the radius: an odd radius does not identify a user."""
    metrics = Metrics()
    metrics.domain.proximity_query(radius_m)
    assert series(metrics, "divan_proximity_queries_total") == {(expected,): 1.0}


@pytest.mark.parametrize("odd", [None, "wide", object(), [1], Decimal("nan")])
def test_a_domain_method_counts_an_invalid_argument(odd: object) -> None:
    """The host's mistake is seen in the metric, and not as a failing request."""
    metrics = Metrics()
    metrics.domain.proximity_query(odd)  # type: ignore[arg-type]
    metrics.domain.presence_heartbeat(odd)  # type: ignore[arg-type]
    assert series(metrics, "divan_proximity_queries_total") == {(OVERFLOW,): 1.0}
    assert sum(series(metrics, "divan_presence_heartbeats_total").values()) == 1.0


class Unspeakable:
    """What raises when it is made text."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_value_without_text_is_unreadable() -> None:
    """A label never raises for its value."""
    metrics = Metrics()
    metrics.presence_rejects.labels(Unspeakable()).inc()
    assert series(metrics, "divan_presence_rejects_total") == {("__unreadable__",): 1.0}


@given(st.lists(st.text(), max_size=30))
def test_any_text_can_be_scraped(values: list[str]) -> None:
    """Quotes, line breaks, lone surrogates, a megabyte: the page stays readable, and nothing of the sum is lost."""
    metrics = Metrics(max_series=10)
    metrics.of(Catalogue.presence_rejects)
    for value in values:
        metrics.presence_rejects.labels(value).inc()
        metrics.presence_rejects.labels(value + "\ud800" + "long " * 200).inc()
    page = generate_latest(metrics.registry).decode()  # type: ignore[no-untyped-call]
    (family,) = (family for family in parsed(page) if family.name == "divan_presence_rejects")
    counted = [sample for sample in family.samples if sample.name.endswith("_total")]
    assert sum(sample.value for sample in counted) == 2 * len(values)
    assert len(counted) <= 10
    assert all(len(sample.labels["reason"]) <= 500 for sample in counted)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), max_size=60), st.integers(1, 12))
def test_the_first_label_sets_are_kept_and_later_ones_overflow(asked: list[tuple[str, str]], limit: int) -> None:
    """There is room for one less than the limit; all later label sets share the last one."""
    metrics = Metrics(max_series=limit)
    metrics.of(Catalogue.lb_snapshots)
    model: dict[tuple[str, ...], float] = {}
    for labels in asked:
        key: tuple[str, ...] = (
            labels if labels in model or len(model.keys() - {(OVERFLOW,) * 2}) < limit - 1 else (OVERFLOW,) * 2
        )
        model[key] = model.get(key, 0.0) + 1.0
        metrics.lb_snapshots.labels(*labels).inc()
    assert series(metrics, "divan_lb_snapshots_total") == model
    assert metrics.label_sets()["lb_snapshots_total"] == len(model)


def test_the_limit_holds_for_concurrent_threads() -> None:
    """The limit holds and no count is lost, also during scrapes."""
    metrics = Metrics(max_series=20)

    def ask(start: int) -> None:
        for number in range(start, start + 2000):
            metrics.presence_heartbeats.labels(f"campus-{number % 60}").inc()
            if number % 500 == 0:
                metrics.render()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(ask, start) for start in range(4)]:
            done.result()
    found = series(metrics, "divan_presence_heartbeats_total")
    assert (len(found), sum(found.values())) == (20, 8000.0)
    assert overflows(metrics, "presence_heartbeats_total") == found[(OVERFLOW,)]


def test_redacted_values_share_a_label_set_in_a_full_family() -> None:
    """A thousand addresses are one marker, whether there is room or not."""
    metrics = Metrics(RedactionPolicy(), max_series=3)
    logins = metrics.counter("logins_total", "Logins.", ["email", "way"])
    for number in range(1000):
        logins.labels(f"user{number}@example.org", "password").inc()
    logins.labels("ada@example.org", "token").inc()
    logins.labels("ada@example.org", "fingerprint").inc()
    logins.labels("grace@example.org", "password").inc()
    assert series(metrics, "divan_logins_total") == {
        ("[redacted:email]", "password"): 1001.0,
        ("[redacted:email]", "token"): 1.0,
        (OVERFLOW, OVERFLOW): 1.0,
    }


def test_a_removed_label_set_makes_room() -> None:
    """`remove` and `clear` take values as they were given, and a removed label set starts anew."""
    metrics = Metrics(max_series=3)
    rooms = metrics.gauge("rooms", "Rooms.", ["email"])
    rooms.labels("ada@example.org").set(7)
    rooms.remove("ada@example.org")
    assert series(metrics, "divan_rooms") == {}
    rooms.labels("ada@example.org").set(1)
    assert series(metrics, "divan_rooms") == {("[redacted:email]",): 1.0}
    rooms.clear()
    assert metrics.label_sets()["rooms"] == 0


@pytest.mark.slow
def test_a_million_invented_values_use_no_memory() -> None:
    """Neither memory nor series grow with distinct values; what is over the limit is found out at once."""
    metrics = Metrics()
    heartbeats = metrics.presence_heartbeats

    def flood(start: int, count: int) -> None:
        for number in range(start, start + count):
            heartbeats.labels("campus-%d" % number).inc()  # noqa: UP031 - the fastest way

    def held() -> int:
        # By what was allocated here and for metrics: other tests' threads may be at work.
        here = [tracemalloc.Filter(True, __file__), tracemalloc.Filter(True, "*/divan_obs_asgi/metrics/*")]
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(here).traces)

    flood(0, 2000)
    tracemalloc.start()
    try:
        flood(2000, 2000)
        before = held()
        flood(4000, 20_000)
        after = held()
    finally:
        tracemalloc.stop()
    flood(24_000, 976_000)
    assert after - before < 10_000
    assert metrics.label_sets()["presence_heartbeats_total"] == 500
    assert sum(series(metrics, "divan_presence_heartbeats_total").values()) == 1_000_000


def test_a_label_set_of_a_histogram_costs_three_kilobytes() -> None:
    """So a family of durations that is full takes 1.5 MB, and not what somebody sends."""
    metrics = Metrics()
    metrics.http_duration.labels("/", "GET")
    tracemalloc.start()
    try:
        for number in range(400):
            metrics.http_duration.labels(f"/{number}", "GET")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / 400 < 4000


def test_a_name_has_one_definition() -> None:
    """The error describes both definitions."""
    metrics = Metrics()
    with pytest.raises(
        ImproperlyConfigured,
        match=r"^The metric 'http_requests_total' is a counter with the labels route, method, status, 'Finished HTTP "
        r"requests, by route, method and status; status 0: no response was started\.' already; "
        r"requested: a counter without labels, 'Mine\.'\.$",
    ):
        metrics.counter("http_requests_total", "Mine.")
    metrics.counter("coffees_total", "Coffees.", ["kind"])
    for other in (
        lambda: metrics.counter("coffees_total", "Coffees.", ["size"]),
        lambda: metrics.counter("coffees_total", "Cups of coffee.", ["kind"]),
        lambda: metrics.gauge("socketio_clients", "Clients.", ["namespace"]),
        lambda: metrics.histogram("redis_latency_seconds", "Seconds."),
        lambda: metrics.histogram("http_request_duration_seconds", "Seconds.", ["route", "method"], [1, 2]),
    ):
        with pytest.raises(ImproperlyConfigured, match=" already; requested: "):
            other()
    assert metrics.counter("coffees_total", "Coffees.", ["kind"]) is metrics.counter(
        "coffees_total", "Coffees.", ["kind"]
    )


@pytest.mark.parametrize(
    ("name", "help", "labels"),
    [
        ("coffees", "Coffees.", []),
        ("Coffees_total", "Coffees.", []),
        ("coffees-total", "Coffees.", []),
        ("coffees_total", " ", []),
        ("coffees_total", "Coffees.", ["kind", "kind"]),
        ("coffees_total", "Coffees.", ["__name__"]),
        ("coffees_total", "Coffees.", ["a b"]),
    ],
)
def test_a_bad_name_raises_at_once(name: str, help: str, labels: list[str]) -> None:
    """The first scrape would fail otherwise."""
    with pytest.raises(ImproperlyConfigured, match=f"^The metric {name!r} "):
        Metrics().counter(name, help, labels)


@pytest.mark.parametrize(
    "buckets", [[1, 1], [2, 1], [float("nan")], [1, float("nan")], [float("-inf"), 1], [1, *[float("inf")] * 2], ["x"]]
)
def test_invalid_buckets_raise(buckets: list[float]) -> None:
    """Prometheus would reject the whole page because of one histogram."""
    message = f"The metric 'cups' has the buckets {', '.join(map(str, buckets))}; expected upper edges in rising order."
    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(message)}$"):
        Metrics().histogram("cups", "Cups.", buckets=buckets)


def test_a_single_string_is_one_label() -> None:
    """And not its letters."""
    metrics = Metrics()
    coffees = metrics.counter("coffees_total", "Coffees.", "size")
    coffees.labels(size="large").inc()
    assert series(metrics, "divan_coffees_total") == {("large",): 1.0}
    assert metrics.counter("coffees_total", "Coffees.", ["size"]) is coffees


def test_an_error_of_prometheus_client_names_the_metric() -> None:
    """A gauge that ends in _total, buckets in disorder, the label `le`, a name that a histogram uses itself."""
    metrics = Metrics()
    for bad in (
        lambda: metrics.gauge("coffees_total", "Coffees."),
        lambda: metrics.histogram("coffees", "Coffees.", buckets=[2, 1]),
        lambda: metrics.histogram("coffees", "Coffees.", ["le"]),
        lambda: metrics.summary("coffees", "Coffees.", ["quantile"]),
        lambda: metrics.gauge("http_request_duration_seconds_sum", "Sum."),
    ):
        with pytest.raises(ImproperlyConfigured, match=r"^The metric '\w+' "):
            bad()


def test_a_name_clash_between_series_raises() -> None:
    """`rooms_total` has a series `rooms_created`, and that is what OpenMetrics calls `rooms_created_total`."""
    metrics = Metrics()
    assert metrics.domain
    for clash in (lambda: metrics.counter("rooms_total", "Rooms."), lambda: metrics.gauge("rooms_created", "Rooms.")):
        with pytest.raises(ImproperlyConfigured) as refused:
            clash()
        assert str(refused.value).endswith(
            " cannot be created: divan_rooms_created is the name of another metric; besides its own name a counter, "
            "summary or histogram takes <name>_created."
        )


def test_series_can_start_at_zero() -> None:
    """All combinations, up to half of what the family may have: what happens must find room too."""
    metrics = Metrics(max_series=8)
    metrics.start_at_zero(metrics.lb_snapshots, period=["day", "week"], scope=["campus"])
    assert series(metrics, "divan_lb_snapshots_total") == {("day", "campus"): 0.0, ("week", "campus"): 0.0}
    metrics.start_at_zero(metrics.lb_snapshots, period=map(str, range(100)), scope=["campus"])
    assert metrics.label_sets()["lb_snapshots_total"] == 4


def test_a_single_string_can_start_at_zero() -> None:
    """A text is one value and not its letters; what has no labels is at zero anyway."""
    metrics = Metrics()
    metrics.start_at_zero(metrics.lb_snapshots, period="day", scope=("campus",))
    metrics.start_at_zero(metrics.chat_send)
    assert series(metrics, "divan_lb_snapshots_total") == {("day", "campus"): 0.0}
    assert series(metrics, "divan_chat_send_total") == {(): 0.0}


@pytest.mark.parametrize("values", [{}, {"period": ["day"]}, {"period": ["day"], "scope": ["campus"], "area": ["x"]}])
def test_start_at_zero_needs_all_labels(values: dict[str, list[str]]) -> None:
    """The error lists the labels."""
    metrics = Metrics()
    message = (
        f"The metric 'lb_snapshots_total' has the labels period, scope; got values of {', '.join(values) or 'none'}."
    )
    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(message)}$"):
        metrics.start_at_zero(metrics.lb_snapshots, **values)


def test_every_metric_has_the_namespace() -> None:
    """Everything carries it, the application's metrics too."""
    metrics = Metrics(namespace="shop")
    metrics.counter("coffees_total", "Coffees.").inc()
    names = {family.name for family in metrics.registry.collect()}
    assert "shop_coffees" in names
    assert all(name.startswith("shop_") for name in names)
