"""A request that waits for just one thing says so."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any

import anyio.lowlevel
import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.connection import current_record
from divan_obs_asgi.connection.wait_times import Cause, WaitTimes
from divan_obs_asgi.testing import converse, http_scope
from tests.stacks import BACKENDS, Observed, run_on

# How long each request waits, or computes, for the one thing.
WAIT_S = 0.2
# What is to be found of it at least. On a busy machine all else may take any time, too, and a wait may begin late.
LEAST_MS = 0.5 * WAIT_S * 1e3
LOOPS = ["asyncio", "uvloop"]


def waits() -> WaitTimes:
    record = current_record.get()
    assert record is not None
    assert record.waited is not None
    return record.waited


async def during(cause: Cause, call: Awaitable[object]) -> None:
    """Make a call as the patches of the client libraries do."""
    waited = waits()
    waited.begin(cause)
    try:
        await call
    finally:
        waited.end(cause)


def line_of(work: Callable[[], Awaitable[object]], backend: str = "asyncio", **flags: str) -> dict[str, Any]:
    """Return the access line of a request that does some work; each is slow."""

    async def endpoint(request: Request) -> Response:
        await work()
        return PlainTextResponse("done")

    return line_of_app(Starlette(routes=[Route("/orders", endpoint)]), backend, **flags)


def line_of_app(app: Starlette, backend: str = "asyncio", **flags: str) -> dict[str, Any]:
    observed = Observed({"LOG_SLOW_MS": "1", **flags})
    stack = obs.build_stack(app, observed.obs)
    run_on(backend, converse, stack, http_scope("/orders"))
    (line,) = [line for line in observed.lines() if "outcome" in line]
    return line


def waited_ms(line: dict[str, Any], cause: str) -> float:
    """Return how long the request waited for this; all causes add up to its duration within 2 ms."""
    waited = line["waited"]
    ms = {name: value["ms"] if isinstance(value, dict) else value for name, value in waited.items()}
    assert abs(sum(ms.values()) - line["latency_ms"]) < 2
    return float(ms.get(cause, 0.0))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cause", ["sql", "redis", "http", "pool_ms"])
def test_a_call_is_found(cause: Any, backend: str) -> None:
    """With the number of calls."""
    line = line_of(lambda: during(cause.removesuffix("_ms"), anyio.sleep(WAIT_S)), backend)

    assert waited_ms(line, cause) >= LEAST_MS
    if cause != "pool_ms":
        assert line["waited"][cause]["n"] == 1


@pytest.mark.parametrize("backend", LOOPS)
def test_calls_at_the_same_time_count_once(backend: str) -> None:
    """Two queries in two tasks wait as long as one."""

    async def work() -> None:
        await asyncio.gather(*(during("sql", asyncio.sleep(WAIT_S)) for _ in range(2)))

    line = line_of(work, backend)

    assert waited_ms(line, "sql") >= LEAST_MS
    assert line["waited"]["sql"]["n"] == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_processor_is_found(backend: str) -> None:
    """The request computes."""

    async def work() -> None:
        await anyio.sleep(0.001)
        end = time.thread_time() + WAIT_S
        while time.thread_time() < end:
            pass

    assert waited_ms(line_of(work, backend), "cpu_ms") >= LEAST_MS


@pytest.mark.parametrize("backend", LOOPS)
def test_a_held_event_loop_is_found(backend: str) -> None:
    """Another task blocks the loop; the request's own wait was over long before."""

    async def work() -> None:
        async def block() -> None:
            time.sleep(WAIT_S)  # noqa: ASYNC251

        holder = asyncio.get_running_loop().create_task(block())
        await asyncio.sleep(0.005)
        await holder

    assert waited_ms(line_of(work, backend), "loop_ms") >= LEAST_MS


@pytest.mark.parametrize("backend", LOOPS)
def test_a_loop_that_was_held_in_the_middle_of_a_call_does_not_count(backend: str) -> None:
    """The call took that long anyway."""

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.05, time.sleep, 0.05)
        await during("sql", asyncio.sleep(2 * WAIT_S))

    line = line_of(work, backend)

    assert waited_ms(line, "sql") >= LEAST_MS


class Node:
    """An object in a cycle, which only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.interpreter
@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_garbage_collector_is_found(backend: str) -> None:
    """However busy the request looks."""
    kept = [Node() for _ in range(200_000)]

    took_s = 0.0

    async def work() -> None:
        nonlocal took_s
        started = time.perf_counter()
        for _ in range(5):
            gc.collect()
        took_s = time.perf_counter() - started

    line = line_of(work, backend)

    assert len(kept) == 200_000
    assert waited_ms(line, "gc_ms") >= 0.5 * took_s * 1e3


@pytest.mark.parametrize("backend", LOOPS)
def test_a_wait_for_a_thread_of_an_executor_is_found(backend: str) -> None:
    """The only thread is taken."""

    async def work() -> None:
        with ThreadPoolExecutor(1) as executor:
            loop = asyncio.get_running_loop()
            # In a context of its own: this call is not of the request.
            Context().run(executor.submit, time.sleep, WAIT_S)
            await loop.run_in_executor(executor, str)

    assert waited_ms(line_of(work, backend), "thread_ms") >= LEAST_MS


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wait_for_a_thread_of_anyio_is_found(backend: str) -> None:
    """Plain endpoints run in these threads."""

    async def work() -> None:
        limiter = anyio.CapacityLimiter(1)
        await limiter.acquire_on_behalf_of(limiter)
        async with anyio.create_task_group() as tasks:

            async def free() -> None:
                await anyio.sleep(WAIT_S)
                limiter.release_on_behalf_of(limiter)

            tasks.start_soon(free)
            await anyio.to_thread.run_sync(str, limiter=limiter)

    assert waited_ms(line_of(work, backend), "thread_ms") >= LEAST_MS


def test_a_query_in_a_thread_is_the_query() -> None:
    """And not the thread, which the request has got."""

    def query() -> None:
        waited = waits()
        waited.begin("sql")
        time.sleep(WAIT_S)
        waited.end("sql")

    assert waited_ms(line_of(lambda: anyio.to_thread.run_sync(query)), "sql") >= LEAST_MS


def test_computing_in_a_thread_is_the_processor() -> None:
    """As in the task itself."""

    def compute() -> None:
        end = time.thread_time() + WAIT_S
        while time.thread_time() < end:
            pass

    line = line_of(lambda: anyio.to_thread.run_sync(compute))

    assert line["waited"]["cpu_ms"] >= 0.9 * WAIT_S * 1e3
    waited_ms(line, "cpu_ms")


def test_a_call_that_was_cancelled_before_it_got_a_thread_waits_no_longer() -> None:
    """What follows is not the thread."""

    async def work() -> None:
        limiter = anyio.CapacityLimiter(1)
        await limiter.acquire_on_behalf_of(limiter)
        with anyio.move_on_after(0.001):
            await anyio.to_thread.run_sync(str, limiter=limiter)
        await anyio.sleep(WAIT_S)

    assert waited_ms(line_of(work), "other_ms") >= LEAST_MS


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_request_says_what_it_waited_for(backend: str) -> None:
    """A query that a time limit ends."""
    observed = Observed()
    limit: anyio.CancelScope

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await during("sql", query())

    async def query() -> None:
        limit.deadline = anyio.current_time() + WAIT_S
        await anyio.sleep_forever()

    async def cancelled() -> None:
        nonlocal limit
        with anyio.CancelScope() as limit:
            await converse(obs.build_stack(app, observed.obs), http_scope("/orders"))

    run_on(backend, cancelled)
    (line,) = [line for line in observed.lines() if "outcome" in line]

    assert line["outcome"] == "cancelled"
    assert waited_ms(line, "sql") >= LEAST_MS


def test_a_background_task_does_not_count() -> None:
    """It runs after the response."""

    async def work() -> None:
        await during("sql", anyio.sleep(WAIT_S))

    async def endpoint(request: Request) -> Response:
        await anyio.sleep(0.01)
        return PlainTextResponse("done", background=BackgroundTask(work))

    line = line_of_app(Starlette(routes=[Route("/orders", endpoint)]))

    assert "sql" not in line["waited"]
    waited_ms(line, "other_ms")


def test_a_streamed_response_counts_to_its_end() -> None:
    """Also where a middleware of Starlette passes it on from another task."""

    async def body() -> Any:
        yield "a"
        await during("redis", anyio.sleep(WAIT_S))
        yield "b"

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(body())

    async def passed_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    routes, middleware = [Route("/orders", endpoint)], [Middleware(BaseHTTPMiddleware, dispatch=passed_on)]

    assert waited_ms(line_of_app(Starlette(routes=routes, middleware=middleware)), "redis") >= LEAST_MS


def test_a_fast_request_says_nothing() -> None:
    """Nor one without the flag."""
    assert "waited" not in line_of(lambda: anyio.lowlevel.checkpoint(), LOG_SLOW_MS="30000")
    assert "waited" not in line_of(lambda: anyio.sleep(0.01), OBS_WAIT_TIMES_ENABLED="false")


def test_the_histogram_has_route_and_cause() -> None:
    """Only with its flag, for fast requests too."""

    async def endpoint(request: Request) -> Response:
        await during("sql", anyio.sleep(0.001))
        return PlainTextResponse("done")

    for flag, count in (("true", 1.0), ("false", 0.0)):
        observed = Observed({"OBS_METRICS_WAIT_TIMES": flag})
        stack = obs.build_stack(Starlette(routes=[Route("/orders/{id}", endpoint)]), observed.obs)
        run_on("asyncio", converse, stack, http_scope("/orders/7"))

        assert observed.value("divan_http_request_wait_seconds_count", route="/orders/{id}", cause="sql") == count
