"""GET /ops/cardinality."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Enum, Histogram, Info, Summary

from tests.ops.asking import ask, bearer, operated, told
from tests.stacks import Observed


def families(observed: Observed) -> dict[str, Any]:
    """Return what is told of the largest families, by name, in their order."""
    return {family["name"]: family for family in told(observed, "/ops/cardinality")["top"]}


def test_the_largest_families_come_first() -> None:
    """With what they are labelled by, and how many lines of the page they take."""
    observed = operated()
    for number in range(40):
        observed.obs.metrics.http_duration.labels(f"/{number}", "GET")
    for number in range(30):
        observed.obs.metrics.presence_heartbeats.labels(f"campus-{number}").inc()
    largest, second, *_ = families(observed).values()
    assert largest == {
        "name": "divan_http_request_duration_seconds",
        "labels": ["route", "method"],
        "label_sets": 40,
        "series": 40 * 17,
        "governed": True,
        "overflowed": {"limit": 0, "vocabulary": 0},
    }
    assert (second["name"], second["label_sets"], second["series"]) == ("divan_presence_heartbeats_total", 30, 30)


def test_what_was_left_out_is_before_all_else() -> None:
    """A family that is full, and a value that nobody has declared, are what somebody looks for."""
    observed = operated({"OBS_METRICS_MAX_SERIES": "5"})
    metrics = observed.obs.metrics
    metrics.declare("kind", ["study"])
    for number in range(9):
        metrics.presence_heartbeats.labels(f"campus-{number}").inc()
    metrics.activities_created.labels("sleep").inc()
    answer = told(observed, "/ops/cardinality")
    full, odd, *others = answer["top"]
    assert answer["max_label_sets"] == 5
    assert (full["name"], full["label_sets"]) == ("divan_presence_heartbeats_total", 5)
    assert full["overflowed"] == {"limit": 5, "vocabulary": 0}
    assert (odd["name"], odd["overflowed"]) == ("divan_activities_created_total", {"limit": 0, "vocabulary": 1})
    assert all(other["overflowed"] == {"limit": 0, "vocabulary": 0} for other in others)


def test_all_series_are_counted() -> None:
    """As many as the page has lines of our own."""
    observed = operated()
    observed.obs.metrics.redis_latency.observe(0.1)
    observed.obs.metrics.invites_sent.inc()
    page = observed.obs.metrics.render().decode().splitlines()
    answer = told(observed, "/ops/cardinality")
    assert answer["families"] == sum(line.startswith("# TYPE divan_") for line in page)
    assert answer["series"] == sum(line.startswith("divan_") for line in page)


def test_what_no_governor_bounds_is_told_too() -> None:
    """A metric that the application has made with prometheus_client may be the one that fills Prometheus."""
    observed = operated()
    registry = observed.obs.metrics.registry
    visits = Counter("visits", "Visits.", ["visitor"], registry=registry)
    for number in range(700):
        visits.labels(number).inc()
    Histogram("cups", "Cups.", registry=registry, buckets=[1, 2])
    Summary("beans", "Beans.", registry=registry)
    Enum("door", "Door.", states=["open", "shut"], registry=registry)
    Info("shop", "Shop.", registry=registry).info({"town": "Bern"})
    found = families(observed)
    assert next(iter(found.values())) == {
        "name": "visits_total",
        "labels": ["visitor"],
        "label_sets": 700,
        "series": 700,
        "governed": False,
        "overflowed": {"limit": 0, "vocabulary": 0},
    }
    page = observed.obs.metrics.render().decode().splitlines()
    for name in ("cups", "beans", "door", "shop_info"):
        assert found[name]["series"] == sum(line.startswith(name) for line in page)


def test_no_value_of_a_label_is_told() -> None:
    """Names and numbers only."""
    observed = operated()
    observed.obs.metrics.presence_heartbeats.labels("zebra").inc()
    assert b"zebra" not in ask(observed, "/ops/cardinality", bearer()).body


def test_it_is_for_operators() -> None:
    """How much a service knows of its traffic is theirs."""
    assert ask(operated(), "/ops/cardinality").status == 401
