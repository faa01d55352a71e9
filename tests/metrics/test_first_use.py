"""A family is created when it is first used, or with the first page. No client can see the difference."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from divan_obs_asgi import ImproperlyConfigured, Observability
from divan_obs_asgi.metrics import FAMILIES, Metrics
from divan_obs_asgi.metrics.catalogue import DOMAIN


def registered(registry: CollectorRegistry) -> int:
    return len(registry._collector_to_names)


def test_a_bundle_creates_only_the_families_that_are_used() -> None:
    """Seventy families would cost more than the rest of the bundle."""
    bundle = Observability.from_env({"OBS_TRACING_ENABLED": "false"})
    assert registered(bundle.metrics.registry) == 0
    bundle.metrics.chat_send.inc()
    assert registered(bundle.metrics.registry) == 1
    assert bundle.metrics.chat_send is bundle.metrics.chat_send


def test_the_page_has_all_families_in_the_order_of_the_catalogue() -> None:
    """The order of first use does not matter."""
    metrics = Metrics()
    metrics.counter("coffees_total", "Coffees.").inc()
    metrics.chat_send.inc()
    assert metrics.domain
    metrics.http_requests.labels("/", "GET", "200").inc()
    page = metrics.render().decode()
    names = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE divan_")]
    assert names == [*(f"divan_{family.name}" for family in FAMILIES), "divan_coffees_total"]
    assert "\ndivan_chat_send_total 1.0\n" in page
    assert "\ndivan_rooms_send_total 0.0\n" in page


def test_the_page_has_build_and_process_metrics() -> None:
    """A page that prometheus_client itself writes of the registry has both, too."""
    bundle = Observability.from_env({"OBS_TRACING_ENABLED": "false"})
    for page in (generate_latest(bundle.metrics.registry), bundle.metrics.render()):
        assert b"\ndivan_obs_build_info{" in page
        assert b"\npython_info{" in page


def test_the_names_of_the_catalogue_are_reserved_from_the_start() -> None:
    """A name that clashes is an error at start-up, and not at the first scrape."""
    metrics = Metrics()
    with pytest.raises(ImproperlyConfigured, match=r"'chat_send_total' is a counter without labels"):
        metrics.counter("chat_send_total", "Something else.")
    with pytest.raises(ImproperlyConfigured, match="divan_redis_latency_seconds_count is the name of another metric"):
        metrics.gauge("redis_latency_seconds_count", "Something else.")
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("divan_chat_send_total", "Something else.", registry=metrics.registry)


def test_an_unregistered_metric_stays_off_the_page() -> None:
    metrics = Metrics()
    metrics.registry.unregister(metrics.chat_send)
    assert b"divan_chat_send_total" not in metrics.render()


def test_other_workers_read_all_families_from_the_start(tmp_path: Path) -> None:
    """They cannot ask this worker for families that it has not created yet."""
    bundle = Observability.from_env({"OBS_TRACING_ENABLED": "false", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert registered(bundle.metrics.registry) > len(FAMILIES) - len(DOMAIN)
