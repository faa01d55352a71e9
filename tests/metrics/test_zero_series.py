"""What may happen is at zero before it does, so that the first time is seen."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
import pytest
from asgi_lifespan import LifespanManager
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

import divan_obs_asgi as obs
from divan_obs_asgi.connection.routes import DeclaredRoute, declared_routes
from divan_obs_asgi.metrics import Format, Metrics
from divan_obs_asgi.metrics.zero_series import ZeroSeries
from divan_obs_asgi.middlewares import MetricsMiddleware
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import BACKENDS, Observed, run_on


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()


class Things(HTTPEndpoint):
    async def get(self, request: Request) -> PlainTextResponse:
        return await hello(request)

    async def delete(self, request: Request) -> PlainTextResponse:
        return await hello(request)


def starlette() -> Starlette:
    return Starlette(
        routes=[
            Route("/users/{id:int}", hello, methods=["GET", "PUT"]),
            Route("/things", Things),
            Route("/raw", ASGIAppOfSomebody()),
            Mount("/m/{tenant}", routes=[Route("/rooms/{room}", hello), WebSocketRoute("/ws", chat)]),
            Mount("/static", StaticFiles(directory=".")),
            Host("api.example.org", Starlette(routes=[Route("/v1", hello)])),
        ]
    )


class ASGIAppOfSomebody:
    """An application below a route; which methods it answers nobody knows."""

    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


ROUTES = [
    DeclaredRoute("/users/{id}", ("GET", "PUT")),
    DeclaredRoute("/things", ("DELETE", "GET")),
    DeclaredRoute("/m/{tenant}/rooms/{room}", ("GET",)),
    DeclaredRoute("/m/{tenant}/ws", ()),
    DeclaredRoute("/v1", ("GET",)),
]


def test_the_routes_are_those_of_the_table() -> None:
    """Through mounts, hosts and middlewares; of what has no table nothing is known."""
    assert list(declared_routes(starlette())) == ROUTES
    assert list(declared_routes(obs.build_stack(starlette(), Observed().obs, [MetricsMiddleware]))) == ROUTES
    assert list(declared_routes(MetricsMiddleware(starlette(), Observed().obs))) == ROUTES
    assert list(declared_routes(object())) == []


def test_a_table_that_holds_itself_comes_to_an_end() -> None:
    """Mounted below itself, which some do by mistake."""
    app = Starlette(routes=[Route("/a", hello)])
    app.mount("/again", app)
    names = [route.template for route in declared_routes(app)]
    assert names[:2] == ["/a", "/again/a"]
    assert len(names) < 100


def samples(observed: Observed, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    found = observed.samples(name).items()
    return {tuple(dict(key)[label] for label in labels): value for key, value in found}


def zero(observed: Observed) -> None:
    """Every known series is there, and nothing has happened."""
    assert samples(observed, "divan_http_requests_total", "route", "method", "status") == {
        (route.template, method, status): 0.0
        for route in ROUTES
        for method in route.methods
        for status in ("200", "500")
    }
    requested = [route.template for route in ROUTES if route.methods]
    assert samples(observed, "divan_http_outcomes_total", "route", "outcome") == {
        (route, outcome): 0.0 for route in requested for outcome in ("ok", "error")
    }
    assert samples(observed, "divan_http_request_duration_seconds_count", "route", "method") == {
        (route.template, method): 0.0 for route in ROUTES for method in route.methods
    }
    assert samples(observed, "divan_websocket_connections_total", "route", "outcome") == {
        ("/m/{tenant}/ws", outcome): 0.0 for outcome in ("ok", "error")
    }


def in_place(observed: Observed) -> ASGIApp:
    app = starlette()
    obs.init(app, observed.obs)
    return app


def from_outside(observed: Observed) -> ASGIApp:
    return obs.build_stack(starlette(), observed.obs)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("observe", [in_place, from_outside])
def test_known_series_are_at_zero_when_the_application_has_started(
    observe: Callable[[Observed], ASGIApp], backend: str
) -> None:
    """Before its first request."""
    observed = Observed({"OBS_LOGGING_ENABLED": "false"})

    async def start() -> None:
        async with LifespanManager(observe(observed)):
            zero(observed)

    run_on(backend, start)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_lifespan_they_are_there_from_the_first_request_on(backend: str) -> None:
    """Servers and tests that send none, and mounted applications."""
    observed = Observed()
    stack = obs.build_stack(starlette(), observed.obs)

    async def ask(*paths: str) -> None:
        for path in paths:
            assert (await converse(stack, http_scope(path))).status == 200

    run_on(backend, ask, "/users/7", "/users/8")
    values = samples(observed, "divan_http_requests_total", "route", "method", "status")
    assert (values.pop(("/users/{id}", "GET", "200")), set(values.values()), len(values)) == (2.0, {0.0}, 11)


def test_a_declared_status_is_that_of_a_success() -> None:
    """As FastAPI's `status_code`."""
    metrics = Metrics()

    class Created:
        path_format, path_regex, methods, status_code = "/rooms", None, {"POST"}, 201

    app = Starlette()
    app.router.routes.append(Created())  # type: ignore[arg-type]
    ZeroSeries(metrics, app).start()
    page = metrics.render().decode()
    for status in (201, 500):
        assert f'divan_http_requests_total{{method="POST",route="/rooms",status="{status}"}} 0.0\n' in page


class Unreadable:
    """An application whose route table cannot be read."""

    @property
    def routes(self) -> list[object]:
        raise RuntimeError("not yet")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("hello")(scope, receive, send)


def test_requests_are_counted_if_the_routes_cannot_be_read() -> None:
    """The first request too; the failure to read the routes is reported as an internal error."""
    observed = Observed()
    stack = obs.build_stack(Unreadable(), observed.obs, [MetricsMiddleware])
    for _ in range(2):
        anyio.run(converse, stack, http_scope("/"))
    assert list(observed.samples("divan_http_requests_total").values()) == [2.0]
    assert observed.value("divan_obs_errors_total", component="known_series") == 1.0


def many(count: int) -> Starlette:
    return Starlette(routes=[Route(f"/{number}", hello) for number in range(count)])


@pytest.mark.parametrize(("routes", "warns"), [(5, False), (6, True)])
def test_too_many_routes_log_a_warning(routes: int, warns: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The warning comes at start-up, with the number to set, and not with the first overflow."""
    metrics = Metrics(max_series=10)
    known = ZeroSeries(metrics, many(routes))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            known.start()
    expected = (
        "The application has 6 pairs of route and method. One success and one failure of each are 12 label sets of "
        "divan_http_requests_total, but OBS_METRICS_MAX_SERIES is 10. Further ones are counted as __overflow__. "
        "Set it to 24 or more."
    )
    assert [record.getMessage() for record in caplog.records] == [expected] * warns


def test_zero_series_use_at_most_half_of_the_limit() -> None:
    """They do not fill a family: a 404 of a declared route is counted under its name."""
    metrics = Metrics(max_series=10)
    ZeroSeries(metrics, many(100)).start()
    assert metrics.label_sets()["http_requests_total"] <= 6
    assert metrics.label_sets()["http_request_duration_seconds"] == 5


@pytest.mark.parametrize("name", ["redis", "postgres"])
def test_what_nobody_has_asked_is_neither_up_nor_down(name: str) -> None:
    """A service without Redis raises no alert that it is down, in neither format."""
    metrics = Metrics()
    gauge = metrics.redis_up if name == "redis" else metrics.postgres_up
    series = f"\ndivan_{name}_up "
    for form in Format:
        assert series not in metrics.render(form).decode()
        assert f"# TYPE divan_{name}_up gauge\n" in metrics.render(form).decode()
    assert metrics.registry.get_sample_value(f"divan_{name}_up") is None
    gauge.set(0)
    for form in Format:
        assert f"{series}0.0\n" in metrics.render(form).decode()
    assert metrics.registry.get_sample_value(f"divan_{name}_up") == 0.0
