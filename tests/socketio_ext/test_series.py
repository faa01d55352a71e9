"""Plain counts reach the metrics in full, in whichever thread the metrics are read."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import socketio

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.exposition.text import Format
from divan_obs_asgi.metrics.fast_counters import FastCounter
from divan_obs_asgi.socketio_ext import ObservedAsyncServer
from divan_obs_asgi.socketio_ext.names import Names
from divan_obs_asgi.socketio_ext.series import HandlerSeries
from divan_obs_asgi.socketio_ext.server_metrics import ServerMetrics
from tests.stacks import Observed

LABELS = {"namespace": "/", "event": "say"}


def test_no_event_is_lost_or_counted_twice_during_a_scrape() -> None:
    """A scrape reads in a thread of its own while events go on."""
    metrics = Metrics()
    tally, handler = FastCounter(metrics.socketio_upgrades), HandlerSeries(metrics, "/", "say", plain=True)
    metrics.registry.before += [tally.flush, handler.publish]
    with ThreadPoolExecutor(1) as pool:
        pages = pool.submit(lambda: [metrics.render() for _ in range(50)])
        for _ in range(20_000):
            tally.value += 1
            handler.events += 1
        assert pages.result()
    page = metrics.render().decode()
    assert "divan_socketio_upgrades_total 20000.0" in page
    assert 'divan_socketio_events_total{event="say",namespace="/"} 20000.0' in page


def test_a_handler_that_was_never_called_has_no_series() -> None:
    """A connect is not counted as an event, and an event without a handler has no duration."""
    metrics = Metrics()
    handler = HandlerSeries(metrics, "/", "connect", plain=False)
    handler.publish()
    assert metrics.label_sets()["socketio_events_total"] == 0
    handler.observe(call(0.1))
    handler.publish()
    assert metrics.label_sets()["socketio_events_total"] == 0
    assert metrics.label_sets()["socketio_event_duration_seconds"] == 1


def call(seconds: float) -> RequestRecord:
    record = RequestRecord.__new__(RequestRecord)
    record.duration_s = seconds
    return record


def test_the_exemplar_of_a_duration_is_a_trace_that_is_there() -> None:
    """An unsampled trace was never exported."""
    metrics = Metrics()
    handler = HandlerSeries(metrics, "/", "say", plain=True)
    for trace_id, sampled in (("ab" * 16, True), ("cd" * 16, False)):
        record = call(0.002)
        record.trace_id, record.sampled, record.started_ns = trace_id, sampled, 10**18
        handler.observe(record)
    handler.publish()
    page = metrics.render(Format.OPENMETRICS).decode()
    (line,) = (line for line in page.splitlines() if "trace_id" in line)
    assert 'le="0.0025"' in line
    assert line.endswith(f'}} 2.0 # {{trace_id="{"ab" * 16}"}} 0.002 1000000000.002')
    assert "cd" * 16 not in page


def test_series_of_handlers_are_at_zero_when_the_application_has_started() -> None:
    """Namespaces and events, of functions and of classes; a catch-all handler has no names."""

    class Rooms(socketio.AsyncNamespace):
        async def on_join(self, sid: str, room: str) -> None: ...

        async def on_connect(self, sid: str, environ: object) -> None: ...

    observed = Observed()
    server: Any = ObservedAsyncServer(obs=observed.obs, async_mode="asgi")
    server.on("say", lambda sid, text: None)
    server.on("*", lambda event, sid, text: None)
    server.on("say", lambda event, sid, text: None, namespace="*")
    methods: Any = Rooms
    server.register_namespace(methods("/rooms"))
    assert observed.samples("divan_socketio_connects_total") == {}
    observed.obs.background.mark_started()

    def told(name: str, *labels: str) -> dict[tuple[str, ...], float]:
        found = observed.samples(f"divan_socketio_{name}").items()
        return {tuple(dict(key)[label] for label in labels): value for key, value in found}

    assert told("events_total", "namespace", "event") == {("/", "say"): 0.0, ("/rooms", "join"): 0.0}
    assert told("clients", "namespace") == {("/",): 0.0, ("/rooms",): 0.0}
    assert told("emits_total", "namespace") == {("/",): 0.0, ("/rooms",): 0.0}
    assert told("connects_total", "namespace", "outcome") == {
        (namespace, outcome): 0.0 for namespace in ("/", "/rooms") for outcome in ("accepted", "refused", "error")
    }
    assert {namespace for namespace, _ in told("disconnects_total", "namespace", "reason")} == {"/", "/rooms"}


@pytest.mark.slow
def test_200_000_strange_events_are_one_series() -> None:
    """A client may call its events, and its namespaces, whatever it likes: neither series nor memory grow."""
    metrics = Metrics()
    watch = ServerMetrics(metrics, Names(socketio.AsyncServer()), InternalErrors(lambda component: None))

    def meet(count: int) -> int:
        for number in range(count):
            watch.handler(f"/{number}", f"event {number}").events += 1
        gc.collect()
        return sys.getallocatedblocks()

    before = meet(2000)
    assert meet(200_000) - before < 1000
    assert metrics.label_sets()["socketio_events_total"] == 1
    labels = {"namespace": "__unknown__", "event": "__unknown__"}
    assert metrics.registry.get_sample_value("divan_socketio_events_total", labels) == 202_000
