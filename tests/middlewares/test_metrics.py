"""What is counted of a connection, and under which names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import divan_obs_asgi as obs
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.metrics.family import DURATION_BUCKETS_S
from divan_obs_asgi.middlewares import MetricsMiddleware
from divan_obs_asgi.testing import SCENARIOS, Scenario, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.stacks import BACKENDS, Observed, run_on


def answers(status: int) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    return app


def by(observed: Observed, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the samples of one name that have counted something, by the values of some labels."""
    samples = observed.samples(name).items()
    return {tuple(dict(key)[label] for label in labels): value for key, value in samples if value}


def starlette() -> Starlette:
    async def user(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    return Starlette(
        routes=[Route("/users/{id}", user), Mount("/m", routes=[Route("/rooms/{room}", user)])],
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_request_is_counted_and_timed_once(backend: str) -> None:
    """By route template, method and status; the histogram has the edges that the alerts ask about."""
    observed = Observed()
    stack = MetricsMiddleware(starlette(), observed.obs)

    run_on(backend, converse, stack, http_scope("/users/7"))
    run_on(backend, converse, stack, http_scope("/users/8"))

    assert by(observed, "divan_http_requests_total", "route", "method", "status") == {
        ("/users/{id}", "GET", "200"): 2.0
    }
    assert by(observed, "divan_http_outcomes_total", "route", "outcome") == {("/users/{id}", "ok"): 2.0}
    assert by(observed, "divan_http_request_duration_seconds_count", "route", "method") == {("/users/{id}", "GET"): 2.0}
    buckets = observed.samples("divan_http_request_duration_seconds_bucket")
    edges = [float(dict(key)["le"]) for key in buckets if ("route", "/users/{id}") in key]
    assert edges == [*DURATION_BUCKETS_S, float("inf")]
    assert {0.12, 0.15, 0.4} < set(edges)


def test_methods_that_clients_invent_share_one_series() -> None:
    """Fifty inventions are not fifty series; also a known method in lower case is none (RFC 9110, 9.1)."""
    observed = Observed()
    stack = MetricsMiddleware(starlette(), observed.obs)
    for method in [f"BREW{number}" for number in range(50)] + ["get", "", "GET ", "\u212aET"]:
        anyio.run(converse, stack, http_scope("/users/7", method=method))
    assert {method for (method,) in by(observed, "divan_http_requests_total", "method")} == {"_OTHER"}
    assert {method for (method,) in by(observed, "divan_http_request_duration_seconds_count", "method")} == {"_OTHER"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])
def test_known_methods_have_their_own(method: str) -> None:
    """Those of RFC 9110, and PATCH."""
    observed = Observed()
    anyio.run(converse, MetricsMiddleware(answers(200), observed.obs), http_scope(method=method))
    assert by(observed, "divan_http_requests_total", "method") == {(method,): 1.0}


@pytest.mark.parametrize(
    ("status", "label"),
    [(100, "100"), (418, "418"), (599, "599"), *((other, "_OTHER") for other in (99, 600, 1000, -1, 10**12))],
)
def test_a_status_that_is_none_is_no_label(status: int, label: str) -> None:
    """An application that computes its status by mistake makes one series and not thousands."""
    observed = Observed()
    anyio.run(converse, MetricsMiddleware(answers(status), observed.obs), http_scope())
    assert by(observed, "divan_http_requests_total", "status") == {(label,): 1.0}


def test_what_no_route_matched_is_one_series() -> None:
    """A scanner that tries a thousand paths, or hosts, or query strings is visible, and is one line."""
    observed = Observed()
    stack = MetricsMiddleware(starlette(), observed.obs)
    for number in range(200):
        scope = http_scope(f"/wp-admin/{number}.php", headers=[(b"host", b"host-%d" % number)])
        scope["query_string"] = b"a=%d" % number
        anyio.run(converse, stack, scope)
    assert by(observed, "divan_http_requests_total", "route", "method", "status") == {
        ("__unmatched__", "GET", "404"): 200.0
    }


def test_what_no_route_below_a_mount_matched_is_one_too() -> None:
    """The mount is ours and is named, the rest is the client's."""
    observed = Observed()
    stack = MetricsMiddleware(starlette(), observed.obs)
    for path in ("/m/rooms/9", "/m/nope", "/m/nope/2"):
        anyio.run(converse, stack, http_scope(path))
    assert by(observed, "divan_http_requests_total", "route", "status") == {
        ("/m/rooms/{room}", "200"): 1.0,
        ("/m/{__unmatched__}", "404"): 2.0,
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.scope()["type"] == "http"], ids=lambda s: s.name)
def test_every_end_of_a_request_is_in_all_three(scenario: Scenario, backend: str) -> None:
    """Failures too: a latency objective that leaves them out is blind to the slowest ones."""
    observed = Observed()
    stack = MetricsMiddleware(scenario.app, observed.obs)

    run_on(backend, talk(stack, scenario))

    assert by(observed, "divan_http_requests_total", "status") == {(str(scenario.status),): 1.0}
    assert by(observed, "divan_http_outcomes_total", "outcome") == {(scenario.outcome,): 1.0}
    assert list(by(observed, "divan_http_request_duration_seconds_count").values()) == [1.0]
    assert observed.samples("divan_websocket_connections_total") == {}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.scope()["type"] == "websocket"], ids=lambda s: s.name)
def test_a_websocket_is_in_no_http_family(scenario: Scenario, backend: str) -> None:
    """It lives for minutes and would be the slowest request of all."""
    observed = Observed()
    stack = MetricsMiddleware(scenario.app, observed.obs)

    run_on(backend, talk(stack, scenario))

    assert by(observed, "divan_websocket_connections_total", "outcome") == {(scenario.outcome,): 1.0}
    assert list(by(observed, "divan_websocket_duration_seconds_count").values()) == [1.0]
    for family in ("http_requests_total", "http_outcomes_total", "http_request_duration_seconds_count"):
        assert observed.samples(f"divan_{family}") == {}


def talk(stack: ASGIApp, scenario: Scenario) -> Callable[[], Awaitable[object]]:
    async def conversation() -> object:
        return await converse(stack, scenario.scope(), scenario.incoming, hangs_up_after=scenario.hangs_up_after)

    return conversation


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_request_is_counted(backend: str) -> None:
    """Before and after its response has started; the caller still finds it cancelled."""
    observed = Observed()

    def cancelled(started: bool, cancelling: anyio.CancelScope) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if started:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            cancelling.cancel()
            await anyio.sleep_forever()

        return app

    async def cancel() -> None:
        for started in (False, True):
            with anyio.CancelScope() as cancelling:
                await converse(MetricsMiddleware(cancelled(started, cancelling), observed.obs), http_scope())
            assert cancelling.cancelled_caught

    run_on(backend, cancel)
    assert by(observed, "divan_http_outcomes_total", "outcome") == {("cancelled",): 2.0}
    assert by(observed, "divan_http_requests_total", "status") == {("0",): 1.0, ("200",): 1.0}


def test_time_after_the_response_is_no_latency() -> None:
    """A background task of an hour is not what the client waited for."""
    observed = Observed()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answers(200)(scope, receive, send)
        scope[RECORD_KEY]._started -= 3600

    anyio.run(converse, MetricsMiddleware(app, observed.obs), http_scope())
    (seconds,) = observed.samples("divan_http_request_duration_seconds_sum").values()
    assert seconds < 3600


def test_two_stacks_count_a_request_once() -> None:
    """A mounted application that is observed by itself does not double the traffic."""
    observed = Observed()
    inner = obs.build_stack(answers(200), observed.obs, [MetricsMiddleware])
    outer = obs.build_stack(inner, observed.obs, [MetricsMiddleware])
    anyio.run(converse, outer, http_scope())
    assert list(observed.samples("divan_http_requests_total").values()) == [1.0]


def test_two_services_in_one_process_count_apart() -> None:
    """Each `Observability` has a registry of its own."""
    ours, theirs = Observed(), Observed()
    anyio.run(converse, MetricsMiddleware(answers(200), ours.obs), http_scope())
    assert list(ours.samples("divan_http_requests_total").values()) == [1.0]
    assert theirs.samples("divan_http_requests_total") == {}


def test_a_websocket_of_an_unknown_path_is_one_series() -> None:
    """The closed sets hold for handshakes as they do for requests."""
    observed = Observed()
    stack = MetricsMiddleware(starlette(), observed.obs)
    connect: list[Message] = [{"type": "websocket.connect"}]
    for number in range(20):
        anyio.run(converse, stack, websocket_scope(f"/ws/{number}"), connect)
    assert {route for (route,) in by(observed, "divan_websocket_connections_total", "route")} == {"__unmatched__"}


def test_it_steps_aside_where_it_is_off() -> None:
    """The reason is the flag's name."""
    with pytest.raises(obs.MiddlewareNotUsed, match=r"^OBS_METRICS_ENABLED is false$"):
        MetricsMiddleware(answers(200), Observed({"OBS_METRICS_ENABLED": "false"}).obs)
