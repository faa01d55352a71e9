"""
Values that clients invent leave nothing behind: neither series nor memory grow with the number of different requests.

test_cardinality_limit.py sends a million campus ids, and socketio_ext/test_series.py a million events. Here a million
requests go through record and metrics, as Starlette leaves requests that match no route. Some thousands go through the
route table and the whole stack: a leak of one small object for each would show there, too.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import divan_obs_asgi as obs
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import HttpTraffic, Metrics
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Scope
from tests.stacks import Observed

pytestmark = pytest.mark.slow

# Blocks of memory: far fewer than there are invented requests, and more than the usual fluctuation.
FLAT = 3000


async def user(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def application() -> Starlette:
    return Starlette(routes=[Route("/users/{id}", user), Mount("/m", routes=[Route("/rooms/{room}", user)])])


def invented(number: int) -> Scope:
    """Return a request with a path, a method, a query and a host that are all new."""
    path = ("/users/{}", "/m/rooms/{}", "/m/{}", "/{}")[number % 4].format(number)
    scope = http_scope(path, method=f"BREW{number}" if number % 2 else "GET", headers=[(b"host", b"%d.org" % number)])
    scope["query_string"] = b"q=%d" % number
    return scope


def growth(meet: Callable[[int, int], object], count: int) -> int:
    """Return by how many blocks the memory has grown after `count` invented requests."""
    warm_up = 2000
    meet(0, warm_up)
    gc.collect()
    before = sys.getallocatedblocks()
    meet(warm_up, warm_up + count)
    gc.collect()
    return sys.getallocatedblocks() - before


def meeting(metrics: Metrics, scope_of: Callable[[int], Scope]) -> Callable[[int, int], None]:
    """Return a function that serves invented requests, each with a 404."""
    traffic, routes, faults = (
        HttpTraffic(metrics),
        RouteTemplates(application()),
        InternalErrors(lambda component: None),
    )

    def meet(start: int, end: int) -> None:
        for number in range(start, end):
            record = RequestRecord(scope_of(number), routes, faults)
            record.add_finisher("metrics", traffic.finish)
            left = traffic.begin(record)
            record.status = 404
            record.returned()
            left()
            record.release()

    return meet


def counted(metrics: Metrics) -> tuple[int, float]:
    """Return the number of series of requests, and the number of requests."""
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    return metrics.label_sets()["http_requests_total"], sum(
        sample.value for sample in samples if sample.name == "divan_http_requests_total"
    )


def test_a_million_invented_requests_are_one_series() -> None:
    """Each with a path, a method and a host of its own."""
    metrics = Metrics()
    app = application()

    def scope_of(number: int) -> Scope:
        return {
            "type": "http",
            "method": f"BREW{number}",
            "path": f"/{number}",
            "headers": [(b"host", b"%d.org" % number)],
            "router": app.router,  # And no endpoint: it has looked, and found none.
        }

    assert growth(meeting(metrics, scope_of), 1_000_000) < FLAT
    assert counted(metrics) == (1, 1_002_000.0)


def test_invented_paths_are_a_handful_of_series() -> None:
    """Also where a template, or a mount, takes what they invent."""
    metrics = Metrics()
    assert growth(meeting(metrics, invented), 20_000) < FLAT
    assert counted(metrics) == (4, 22_000.0)


def test_invented_requests_leave_nothing_in_the_whole_stack() -> None:
    """Ids, lines, spans, metrics and all."""
    observed = Observed({"LOG_LEVEL": "ERROR"})
    stack = obs.build_stack(application(), observed.obs)

    async def come(start: int, end: int) -> None:
        for number in range(start, end):
            await converse(stack, invented(number))

    def meet(start: int, end: int) -> None:
        anyio.run(come, start, end)
        observed.obs.log.sink.flush()
        observed.stream.seek(0)
        observed.stream.truncate()

    assert growth(meet, 5_000) < FLAT
    series = observed.obs.metrics.label_sets()
    assert (series["http_requests_total"], series["http_exceptions_total"]) == (7, 0)
