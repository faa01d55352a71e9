"""A real Prometheus reads the page, in the format that it asks for, whatever stands on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from prometheus_client import Counter, Info
from prometheus_client.core import GaugeHistogramMetricFamily, UnknownMetricFamily
from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.registry import Collector

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import OpsMiddleware
from divan_obs_asgi.types import Receive, Scope, Send
from tests.servers.asgi import serve
from tests.servers.prometheus import PrometheusServer
from tests.stacks import Observed

pytestmark = pytest.mark.slow
TOKEN = "a-token-for-scrapers"
STRANGE = ["a\0b", "a\rb", 'a"b', "a\\b", "a\nb", "a\u2028b", "a\ud800b", "\x1f\x7f\x85", "a}b # {", " "]


async def nothing(scope: Scope, receive: Receive, send: Send) -> None: ...


class Kinds(Collector):
    """What an application may register beside prometheus_client's usual kinds."""

    def collect(self) -> Iterator[Samples]:
        yield GaugeHistogramMetricFamily("waiting", "Waiting.", buckets=[("1.0", 1), ("+Inf", 2)], gsum_value=3)
        yield UnknownMetricFamily("strange", "Strange.", value=1)

    def describe(self) -> list[Samples]:
        return []


def test_prometheus_reads_whatever_stands_on_the_page() -> None:
    """Strange values of labels and exemplars, in our metrics and in those that an application has registered."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN, "LOG_LEVEL": "CRITICAL"})
    metrics = observed.obs.metrics
    teas = Counter("teas", "Teas.", ["kind"], registry=metrics.registry)
    for number, value in enumerate(STRANGE):
        metrics.presence_rejects.labels(value).inc(exemplar={"note": value})
        readable = value.replace("\ud800", "")
        teas.labels(str(number)).inc(exemplar={"note": readable})
        teas.labels(readable).inc(exemplar={"a note": "1"})
    metrics.histogram("cold", "Cold.", [], [-10, 0, 10]).observe(-5)
    for amount in (float("nan"), float("-inf")):
        metrics.gauge("height", 'Height "of" \\ a\nroom\0.', ["x"]).labels(amount).set(amount)
    metrics.chat_send.inc(1e18)
    Info("shop", "Shop.", registry=metrics.registry).info({"town": 'B"\0\nern'})
    metrics.registry.register(Kinds())
    stack = obs.build_stack(nothing, observed.obs, [OpsMiddleware])
    with serve(stack) as serving, closing(PrometheusServer(f"{serving.host}:{serving.port}", TOKEN)) as prometheus:
        prometheus.start().wait_for("count(divan_presence_rejects_total)", [len(STRANGE)])
        prometheus.wait_for("sum(teas_total)", [2 * len(STRANGE)])
        prometheus.wait_for("up", [1])
        prometheus.wait_for("divan_chat_send_total", [1e18])
