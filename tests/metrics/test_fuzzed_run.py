"""Whatever a service goes through, its page can be read: by Prometheus, and by the strict parser of OpenMetrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Gauge
from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import divan_obs_asgi as obs
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.connection.routes import ROUTE_KEY
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.metrics.catalogue import DOMAIN
from divan_obs_asgi.testing import SCENARIOS, Scenario, converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.servers.promtool import complaints
from tests.stacks import Observed

read: Callable[[str], Iterator[Samples]] = text_string_to_metric_families

OPENMETRICS = (b"accept", b"application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
NAMES = st.text(max_size=12) | st.sampled_from(["", '"', "\\", "a\nb", "\ud800", "ada@example.org", "__overflow__"])


def connection(scenario: Scenario, route: str | None, sampled: bool, fails_by: str) -> Callable[[Observed], None]:
    """Return a request or a WebSocket that ends in some way, below a route of some name."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if route is not None:
            scope[ROUTE_KEY] = route
        if sampled:
            scope[RECORD_KEY].trace_id, scope[RECORD_KEY].sampled = "4bf92f3577b34da6a3ce929d0e0e4736", True
        await scenario.app(scope, receive, send)
        if fails_by:
            raise type(fails_by, (Exception,), {})

    def happen(observed: Observed) -> None:
        async def talk() -> None:
            with anyio.move_on_after(0.05):
                await converse(
                    obs.build_stack(app, observed.obs),
                    scenario.scope(),
                    scenario.incoming,
                    hangs_up_after=scenario.hangs_up_after,
                )

        anyio.run(talk)

    return happen


def domain(name: str, amount: float) -> Callable[[Observed], None]:
    def happen(observed: Observed) -> None:
        hooks = observed.obs.metrics.domain
        hooks.presence_heartbeat(name)
        hooks.presence_rejected(name)
        hooks.proximity_query(amount)
        hooks.activity_created(name)
        hooks.leaderboard_snapshot(name, name)

    return happen


def own(name: str, amount: float) -> Callable[[Observed], None]:
    def happen(observed: Observed) -> None:
        metrics = observed.obs.metrics
        # Not a text of any kind: the parser does not read a quote in an exemplar, which OpenMetrics allows.
        metrics.counter("coffees_total", "Coffees.\n", ["size"]).labels(name).inc(abs(amount), {"trace_id": "ab" * 16})
        metrics.gauge("room", 'Room "left".', ["size"]).labels(name).set(amount)
        metrics.histogram("cups", "Cups.", ["size"]).labels(name).observe(abs(amount))
        metrics.summary("beans", "Beans.", ["size"]).labels(name).observe(abs(amount))
        metrics.redis_latency.observe(abs(amount))
        metrics.redis_up.set(amount > 0)

    return happen


def job(fails: bool) -> Callable[[Observed], None]:
    def happen(observed: Observed) -> None:
        if "tidy" not in observed.obs.jobs.names():
            observed.obs.job("tidy")(tidy)
        found = observed.obs.jobs.get("tidy")
        assert found is not None
        with suppress(ValueError):
            anyio.run(found.run, fails)

    return happen


async def tidy(fails: bool) -> None:
    if fails:
        raise ValueError


STEPS = st.one_of(
    st.builds(
        connection,
        st.sampled_from(SCENARIOS),
        st.none() | NAMES,
        st.booleans(),
        st.sampled_from(["", "", "Sold", "né", "a b"]),
    ),
    st.builds(domain, NAMES, st.floats()),
    st.builds(own, NAMES, st.floats(allow_nan=False)),
    st.builds(job, st.booleans()),
)


async def nothing(scope: Scope, receive: Receive, send: Send) -> None: ...


def page(observed: Observed, *headers: tuple[bytes, bytes], stack: ASGIApp | None = None) -> bytes:
    done = anyio.run(converse, stack or obs.build_stack(nothing, observed.obs), http_scope("/metrics", headers=headers))
    assert done.status == 200
    return done.body


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(STEPS, max_size=8), st.sampled_from(["2", "500"]), st.booleans())
def test_every_page_of_a_run_can_be_read(
    steps: list[Callable[[Observed], None]], max_series: str, created: bool
) -> None:
    """In OpenMetrics; it has all families, and no failure of our own."""
    flags = {"OBS_METRICS_MAX_SERIES": max_series, "OBS_METRICS_CREATED": str(created).lower()}
    observed = Observed({"OBS_METRICS_PUBLIC": "true", "LOG_LEVEL": "CRITICAL", **flags})
    for happen in steps:
        happen(observed)
    families = {family.name for family in read(page(observed, OPENMETRICS).decode())}
    expected = [family for family in FAMILIES if family not in DOMAIN]
    assert families >= {f"divan_{declared.name.removesuffix('_total')}" for declared in expected}
    assert observed.value("divan_obs_errors_total", component="metrics") == 0.0


@pytest.mark.parametrize("max_series", ["2", "500"])
def test_promtool_accepts_the_page_of_a_long_run(max_series: str) -> None:
    """Each end of a connection, with strange names in every label; there is no complaint about names or help."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true", "LOG_LEVEL": "CRITICAL", "OBS_METRICS_MAX_SERIES": max_series})
    for number, scenario in enumerate(SCENARIOS):
        connection(scenario, ('"', "\\", "a\nb", "\ud800")[number % 4], True, "né")(observed)
    for amount in (0.0, 1e300, float("inf")):
        domain("é\u2028\x00", amount)(observed)
        job(amount > 1)(observed)
    assert complaints(page(observed)) == []


def test_promtool_accepts_every_family() -> None:
    """Each has a label set: of one without samples it has no opinion."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true"})
    for family in FAMILIES:
        metric = observed.obs.metrics.of(family)
        child = metric.labels(*family.labels) if family.labels else metric
        if isinstance(child, Gauge):
            child.set(1)
    text = page(observed)
    assert complaints(text) == []
    assert text.count(b"# TYPE divan_") == len(FAMILIES)
    assert all(f"\ndivan_{family.name}".encode() in text for family in FAMILIES)
