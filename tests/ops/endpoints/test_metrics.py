"""GET /metrics: the page that Prometheus scrapes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import anyio
import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import OpsMiddleware
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.servers.promtool import complaints
from tests.stacks import BACKENDS, Observed, run_on

OPENMETRICS = (b"accept", b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3")


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the endpoints stand in front of the application")


def ask(
    observed: Observed, *headers: tuple[bytes, bytes], method: str = "GET", backend: str = "asyncio"
) -> Conversation:
    app = obs.build_stack(nothing, observed.obs, [OpsMiddleware])
    return run_on(backend, converse, app, http_scope("/metrics", method=method, headers=headers))


def public() -> Observed:
    return Observed({"OBS_METRICS_PUBLIC": "true"})


def busy() -> Observed:
    """Return one that has seen something of every kind of metric."""
    observed = public()
    metrics = observed.obs.metrics
    metrics.http_requests.labels('/"quoted"', "GET", "200").inc(exemplar={"trace_id": "ab" * 16})
    metrics.http_duration.labels("/", "GET").observe(0.2, {"trace_id": "cd" * 16})
    metrics.redis_latency.observe(0.001)
    metrics.socketio_clients.labels("/chat").set(3)
    metrics.domain.room_created()
    return observed


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scraper_chooses_the_format(backend: str) -> None:
    """Text for everybody, OpenMetrics with exemplars for who prefers it; a cache keeps them apart."""
    observed = busy()
    text, openmetrics = ask(observed, backend=backend), ask(observed, OPENMETRICS, backend=backend)
    assert text.header(b"content-type") == [b"text/plain; version=0.0.4; charset=utf-8"]
    assert openmetrics.header(b"content-type") == [b"application/openmetrics-text; version=1.0.0; charset=utf-8"]
    assert b"# EOF" not in text.body
    assert openmetrics.body.endswith(b"\n# EOF\n")
    assert b'trace_id="cdcd' in openmetrics.body
    assert text.header(b"vary") == openmetrics.header(b"vary") == [b"accept, accept-encoding"]
    list(text_string_to_metric_families(openmetrics.body.decode()))  # type: ignore[no-untyped-call]


def test_promtool_has_no_complaint() -> None:
    """Prometheus's own parser reads the page, and finds names and help as they should be."""
    assert complaints(ask(busy()).body) == []


def test_promtool_reads_a_strange_page() -> None:
    """Whatever stands in labels; and it would have complained."""
    observed = public()
    for odd in ('"', "\\", "\n", "\ud800", "é\u2028", "\x00", "{}", "#"):
        observed.obs.metrics.presence_rejects.labels(odd).inc()
    page = ask(observed).body
    assert complaints(page) == []
    assert complaints(page.replace(b'"} ', b"} ")) != []


def test_it_is_compressed_for_who_takes_it() -> None:
    """A tenth of the bytes."""
    plain, packed = ask(busy()), ask(busy(), (b"accept-encoding", b"gzip, deflate"))
    assert packed.header(b"content-encoding") == [b"gzip"]
    assert plain.header(b"content-encoding") == []
    assert packed.header(b"content-length") == [b"%d" % len(packed.body)]
    assert gzip.decompress(packed.body).splitlines()[:3] == plain.body.splitlines()[:3]
    assert len(packed.body) < len(plain.body) / 3


def test_a_header_in_two_parts_is_one() -> None:
    """RFC 9110, section 5.3: `Accept` may come in several lines."""
    parts = [(b"accept", b"text/plain;q=0.3"), (b"accept", b"application/openmetrics-text")]
    assert ask(busy(), *parts).body.endswith(b"# EOF\n")


def test_a_head_request_has_the_length_and_no_body() -> None:
    """In each format (RFC 9110, section 9.3.2)."""
    for headers in ([], [OPENMETRICS], [(b"accept-encoding", b"gzip")]):
        observed = busy()
        got, head = ask(observed, *headers), ask(observed, *headers, method="HEAD")
        assert head.body == b""
        assert head.status == 200
        for name in (b"content-type", b"content-encoding", b"vary"):
            assert head.header(name) == got.header(name)


class Broken(Collector):
    """What an application registers, and what fails later."""

    def collect(self) -> Iterator[Samples]:
        yield GaugeMetricFamily("half", "Half.", value=1)
        raise RuntimeError("the database has gone")

    def describe(self) -> list[Samples]:
        return []


def test_a_collector_that_fails_is_counted_and_left_out() -> None:
    """The scrape succeeds, and says of itself that something is missing."""
    observed = public()
    observed.obs.metrics.registry.register(Broken())
    done = ask(observed)
    assert done.status == 200
    assert b"half" not in done.body
    assert observed.value("divan_obs_errors_total", component="metrics") == 1.0


def test_a_scrape_shows_what_has_just_happened() -> None:
    """A page that costs little is never an old one."""
    observed = public()

    async def scrape_twice() -> tuple[bytes, bytes]:
        app = obs.build_stack(nothing, observed.obs, [OpsMiddleware])
        observed.obs.metrics.jobs_running.labels("nightly").set(0)
        first = await converse(app, http_scope("/metrics"))
        observed.obs.metrics.jobs_running.labels("nightly").inc()
        return first.body, (await converse(app, http_scope("/metrics"))).body

    before, after = anyio.run(scrape_twice)
    assert b'\ndivan_jobs_running{name="nightly"} 0.0\n' in before
    assert b'\ndivan_jobs_running{name="nightly"} 1.0\n' in after
