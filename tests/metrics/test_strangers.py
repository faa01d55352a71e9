"""
What clients invent leaves nothing behind: neither series nor memory grow with the number of different things they send.

A million campus ids are in test_governor.py. What goes through a route table costs more for each: a hundred thousand
requests go through record and metrics, and some thousands through the whole stack. A leak of one small object each
would be seen in both.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import divan_obs_asgi as obs
from divan_obs_asgi.faults import Faults
from divan_obs_asgi.metrics import HttpTraffic, Metrics
from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.routes import RouteTemplates
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Message, Scope
from tests.stacks import Observed

# Blocks of memory: far fewer than there are strangers, and more than what comes and goes by itself.
FLAT = 1000


async def user(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def application() -> Starlette:
    return Starlette(routes=[Route("/users/{id}", user), Mount("/m", routes=[Route("/rooms/{room}", user)])])


def stranger(number: int) -> Scope:
    """Return a request of which nothing was seen before: path, method, query, host."""
    path = ("/users/{}", "/m/rooms/{}", "/m/{}", "/{}")[number % 4].format(number)
    scope = http_scope(path, method=f"BREW{number}" if number % 2 else "GET", headers=[(b"host", b"%d.org" % number)])
    scope["query_string"] = b"q=%d" % number
    return scope


def growth(meet: Callable[[int, int], object], count: int) -> int:
    """Return how many blocks of memory are more in use after `count` strangers than after the first few."""
    warm_up = 2000
    meet(0, warm_up)
    gc.collect()
    before = sys.getallocatedblocks()
    meet(warm_up, warm_up + count)
    gc.collect()
    return sys.getallocatedblocks() - before


def test_a_hundred_thousand_strangers_are_a_handful_of_series() -> None:
    """Each with its own path, method and host, in record and metrics."""
    metrics = Metrics()
    traffic, routes, faults = HttpTraffic(metrics), RouteTemplates(application()), Faults(lambda component: None)

    async def receive() -> Message:
        raise AssertionError("not asked")

    async def send(message: Message) -> None: ...

    def meet(start: int, end: int) -> None:
        for number in range(start, end):
            record = RequestRecord(stranger(number), receive, send, routes, faults)
            record.add_finisher("metrics", traffic.finish)
            left = traffic.begin(record)
            record.status = 404
            record.returned()
            left()
            record.release()

    assert growth(meet, 100_000) < FLAT
    metrics.render()
    assert metrics.label_sets()["http_requests_total"] == 4
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    assert sum(sample.value for sample in samples if sample.name == "divan_http_requests_total") == 102_000


def test_strangers_leave_nothing_in_the_whole_stack() -> None:
    """Ids, lines, spans, metrics and all."""
    observed = Observed({"LOG_LEVEL": "ERROR"})
    stack = obs.build_stack(application(), observed.obs)

    async def come(start: int, end: int) -> None:
        for number in range(start, end):
            await converse(stack, stranger(number))

    def meet(start: int, end: int) -> None:
        anyio.run(come, start, end)
        observed.obs.log.sink.flush()
        observed.stream.seek(0)
        observed.stream.truncate()

    assert growth(meet, 5_000) < FLAT
    series = observed.obs.metrics.label_sets()
    assert (series["http_requests_total"], series["http_exceptions_total"]) == (7, 0)
