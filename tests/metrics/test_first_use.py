"""Families are made when they are used, or read; nobody sees the difference."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from divan_obs_asgi import ImproperlyConfigured, Observability
from divan_obs_asgi.metrics import FAMILIES, Metrics


def made(registry: CollectorRegistry) -> int:
    return len(registry._collector_to_names)


def test_a_bundle_makes_no_family_that_nobody_uses() -> None:
    """Seventy families would cost more than all else of a bundle."""
    bundle = Observability.from_env({"OBS_TRACING_ENABLED": "false"})
    assert made(bundle.metrics.registry) == 0
    bundle.metrics.chat_send.inc()
    assert made(bundle.metrics.registry) == 1
    assert bundle.metrics.chat_send is bundle.metrics.chat_send


def test_the_page_has_all_of_them_in_order() -> None:
    """Whatever was used before, in whatever order."""
    metrics = Metrics()
    metrics.counter("coffees_total", "Coffees.").inc()
    metrics.chat_send.inc()
    metrics.http_requests.labels("/", "GET", "200").inc()
    page = metrics.render().decode()
    told = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE divan_")]
    assert told == [*(f"divan_{family.name}" for family in FAMILIES), "divan_coffees_total"]
    assert "\ndivan_chat_send_total 1.0\n" in page
    assert "\ndivan_rooms_send_total 0.0\n" in page


def test_the_page_tells_build_and_process() -> None:
    """And what prometheus_client itself writes of the registry has both, too."""
    bundle = Observability.from_env({"OBS_TRACING_ENABLED": "false"})
    for page in (generate_latest(bundle.metrics.registry), bundle.metrics.render()):
        assert b"\ndivan_obs_build_info{" in page
        assert b"\npython_info{" in page


def test_a_name_of_the_catalogue_is_taken_before_it_is_used() -> None:
    """What clashes is a start-up error, and not one of the first page."""
    metrics = Metrics()
    with pytest.raises(ImproperlyConfigured, match=r"'chat_send_total' is a counter without labels"):
        metrics.counter("chat_send_total", "Something else.")
    with pytest.raises(ImproperlyConfigured, match="divan_redis_latency_seconds_count is the name of another one"):
        metrics.gauge("redis_latency_seconds_count", "Something else.")
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("divan_chat_send_total", "Something else.", registry=metrics.registry)


def test_what_was_taken_off_the_page_stays_off() -> None:
    metrics = Metrics()
    metrics.registry.unregister(metrics.chat_send)
    assert b"divan_chat_send_total" not in metrics.render()


def test_other_workers_read_all_families_from_the_start(tmp_path: Path) -> None:
    """They cannot ask for what this one has not made yet."""
    bundle = Observability.from_env({"OBS_TRACING_ENABLED": "false", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert made(bundle.metrics.registry) > len(FAMILIES)
