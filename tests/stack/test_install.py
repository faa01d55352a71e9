"""One line for an application: `init` in place, `wrap` from outside."""

from __future__ import annotations

import logging

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.logs import PipelineHandler
from divan_obs_asgi.testing import Conversation, Telemetry, converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import Observed

ACCESS, COUNTED = "divan_obs_asgi.access", "divan_http_requests_total"


def ask(app: ASGIApp, path: str = "/", **headers: str) -> Conversation:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return anyio.run(converse, app, http_scope(path, headers=raw), [{"type": "http.request", "body": b""}])


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def breaks(request: Request) -> Response:
    raise ValueError("on purpose")


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"raw"})


def pipelines() -> list[logging.Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, PipelineHandler)]


# init


def test_one_line_observes_an_application(telemetry: Telemetry) -> None:
    """Ids, metrics, logs and health are there, and the application answers as before."""
    app, observed = Starlette(routes=[Route("/users/{id}", hello)]), Observed({"OBS_ADMIN_TOKEN": "sesame"})
    assert obs.init(app, observed.obs) is observed.obs
    done = ask(app, "/users/7", x_request_id="abc")
    assert (done.status, done.body, done.header(b"x-request-id")) == (200, b"hello", [b"abc"])
    assert telemetry.of(observed.obs).metrics.value(COUNTED, route="/users/{id}", status="200") == 1
    assert [line["request_id"] for line in telemetry.of(observed.obs).lines.find(logger=ACCESS)] == ["abc"]
    assert ask(app, "/health/live").body == b'{"status":"ok"}'
    assert ask(app, "/metrics").status == 401
    metrics = ask(app, "/metrics", authorization="Bearer sesame")
    assert metrics.status == 200
    assert b'divan_http_requests_total{method="GET",route="/users/{id}",status="200"} 1.0' in metrics.body


def test_init_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bundle of one's own, the flags decide."""
    monkeypatch.setenv("OBS_SERVICE_NAME", "from-the-environment")
    assert obs.init(Starlette()).settings.service.name == "from-the-environment"


def test_init_names_bad_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """At start-up, and the application stays as it was."""
    monkeypatch.setenv("LOG_LEVEL", "loud")
    monkeypatch.setenv("OBS_OPS_ENABLED", "perhaps")
    app = Starlette(routes=[Route("/", hello)])
    with pytest.raises(obs.ImproperlyConfigured, match=r"LOG_LEVEL is 'loud'[^$]*\nOBS_OPS_ENABLED is 'perhaps'"):
        obs.init(app)
    assert pipelines() == []
    assert ask(app).header(b"x-request-id") == []


class AsksItsDatabase:
    """A third party's middleware that registers a probe, whose name can be taken once."""

    def __init__(self, app: ASGIApp, bundle: obs.Observability) -> None:
        bundle.probes.register(Database())
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Database:
    name = "database"
    group: obs.probes.Group = "ready"
    critical = True
    timeout = 10.0

    async def check(self) -> dict[str, object]:
        return {}


def test_init_makes_each_middleware_once() -> None:
    """Their constructors are called when `init` is, and not again when the application builds its own stack."""
    app, observed = Starlette(routes=[Route("/", hello)]), Observed({"OBS_MIDDLEWARE": f"{__name__}.AsksItsDatabase"})
    obs.init(app, observed.obs)
    assert (ask(app).body, ask(app).body) == (b"hello", b"hello")


def test_init_twice_changes_nothing(telemetry: Telemetry) -> None:
    """A module that is imported twice, a factory that is called again: one stack, and the first bundle."""
    app, first, second = Starlette(routes=[Route("/", hello)]), Observed(), Observed()
    assert obs.init(app, first.obs) is first.obs
    assert obs.init(app, second.obs) is first.obs
    assert obs.init(app) is first.obs
    assert len(ask(app).header(b"x-request-id")) == 1
    assert telemetry.of(first.obs).metrics.value(COUNTED, route="/", status="200") == 1
    assert telemetry.of(second.obs).metrics.value(COUNTED, route="/", status="200") == 0
    assert len(telemetry.of(first.obs).lines.find(logger=ACCESS)) == 1
    assert second.lines() == []


def test_an_unhandled_exceptions_answer_carries_the_request_id(telemetry: Telemetry) -> None:
    """The stack stands outside of the framework's error middleware: the id of a 500 is the one to search for."""
    app, observed = Starlette(routes=[Route("/broken", breaks)]), Observed()
    obs.init(app, observed.obs)
    done = ask(app, "/broken", x_request_id="abc")
    assert (done.status, done.header(b"x-request-id")) == (500, [b"abc"])
    assert isinstance(done.error, ValueError), "the server does not see the exception any more"
    (line,) = telemetry.of(observed.obs).lines.find(logger=ACCESS)
    assert (line["request_id"], line["status"], line["level"], line["route"]) == ("abc", 500, "ERROR", "/broken")
    assert telemetry.of(observed.obs).metrics.value(COUNTED, route="/broken", status="500") == 1


def test_the_applications_middlewares_still_run() -> None:
    """Also those that are added after `init`, and inside of the stack."""
    ids = []

    class Notes(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            response = await call_next(request)
            ids.append(response.headers.get("x-request-id"))
            response.headers["x-noted"] = "yes"
            return response

    app, observed = Starlette(routes=[Route("/", hello)], middleware=[Middleware(GZipMiddleware, 1)]), Observed()
    obs.init(app, observed.obs)
    app.add_middleware(Notes)
    done = ask(app, accept_encoding="gzip")
    assert done.header(b"content-encoding") == [b"gzip"]
    assert done.header(b"x-noted") == [b"yes"]
    assert ids == [None], "the stack does not stand outside"


def test_error_handlers_and_routes_may_be_added_after_init(telemetry: Telemetry) -> None:
    """The stack is built at the first message, with everything that the application has by then."""
    app, observed = Starlette(), Observed()
    obs.init(app, observed.obs)
    app.router.routes.append(Route("/broken", breaks))
    app.add_exception_handler(ValueError, lambda request, error: PlainTextResponse("sorry", 409))
    done = ask(app, "/broken")
    assert (done.status, done.body, done.error) == (409, b"sorry", None)
    assert telemetry.of(observed.obs).metrics.value(COUNTED, route="/broken", status="409") == 1


def test_init_is_for_starlette() -> None:
    """Other applications are told what to call."""
    with pytest.raises(obs.ImproperlyConfigured) as caught:
        obs.init(raw)  # type: ignore[arg-type]
    assert str(caught.value) == "init got function; expected Starlette or FastAPI. Use wrap for others."


def test_init_comes_before_the_first_request() -> None:
    """A stack that would never be built is an error."""
    app = Starlette(routes=[Route("/", hello)])
    ask(app)
    with pytest.raises(obs.ImproperlyConfigured) as caught:
        obs.init(app, Observed().obs)
    assert str(caught.value) == ("init was called after the application has started; call it where the app is made.")


def test_init_finds_a_broken_list_at_once() -> None:
    """And not the first request."""
    app = Starlette()
    with pytest.raises(obs.ImproperlyConfigured, match=r"'nowhere\.Thing' cannot be imported"):
        obs.init(app, Observed({"OBS_MIDDLEWARE": "nowhere.Thing"}).obs)


def test_init_with_everything_off_leaves_the_application_untouched() -> None:
    """`OBS_ENABLED=false` is as if the line were not there."""
    app, observed = Starlette(routes=[Route("/", hello)]), Observed({"OBS_ENABLED": "false"})
    obs.init(app, observed.obs)
    assert ask(app).header(b"x-request-id") == []
    assert ask(app, "/health/live").status == 404
    assert pipelines() == []
    assert observed.lines() == []


# wrap


def test_wrap_observes_any_application(telemetry: Telemetry) -> None:
    """A raw ASGI application, without any framework."""
    observed = Observed()
    done = ask(obs.wrap(raw, observed.obs), "/anything", x_request_id="abc")
    assert (done.body, done.header(b"x-request-id")) == (b"raw", [b"abc"])
    assert telemetry.of(observed.obs).metrics.value(COUNTED, route="__unmatched__", status="200") == 1


def test_wrap_takes_an_application_of_asgi_2(telemetry: Telemetry) -> None:
    """One that is called with the scope, and gives what is called with receive and send (Django Channels 2)."""

    class Double:
        def __init__(self, scope: Scope) -> None:
            self.scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            await raw(self.scope, receive, send)

    observed = Observed()
    done = ask(obs.wrap(Double, observed.obs), x_request_id="abc")  # type: ignore[arg-type]
    assert (done.body, done.header(b"x-request-id")) == (b"raw", [b"abc"])
    assert telemetry.of(observed.obs).metrics.value(COUNTED, route="__unmatched__", status="200") == 1


def test_wrap_names_bad_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """At start-up."""
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(obs.ImproperlyConfigured, match="LOG_LEVEL is 'loud'"):
        obs.wrap(raw)


def test_wrap_with_everything_off_is_the_application() -> None:
    """And the root logger is nobody's but the application's."""
    assert obs.wrap(raw, Observed({"OBS_ENABLED": "false"}).obs) is raw
    assert pipelines() == []


def test_a_stack_around_a_stack_counts_and_logs_a_request_once(telemetry: Telemetry) -> None:
    """An application that was given to `init`, and then to `wrap`, perhaps by somebody else."""
    app, inner, outer = Starlette(routes=[Route("/users/{id}", hello)]), Observed(), Observed()
    obs.init(app, inner.obs)
    done = ask(obs.wrap(app, outer.obs), "/users/7")
    assert len(done.header(b"x-request-id")) == 1
    assert telemetry.metrics.value(COUNTED, route="/users/{id}", status="200") == 1
    line = telemetry.lines.one(logger=ACCESS)
    assert done.header(b"x-request-id") == [str(line["request_id"]).encode()]


def test_wrapping_twice_with_one_bundle_counts_once(telemetry: Telemetry) -> None:
    """The same holds within one bundle."""
    observed = Observed()
    done = ask(obs.wrap(obs.wrap(raw, observed.obs), observed.obs))
    assert len(done.header(b"x-request-id")) == 1
    assert telemetry.of(observed.obs).metrics.value(COUNTED, route="__unmatched__", status="200") == 1
    assert len(telemetry.of(observed.obs).lines.find(logger=ACCESS)) == 1


# The root logger.


def test_the_root_logger_has_one_pipeline() -> None:
    """The newest; a reload does not write every line twice. Handlers of others stay."""
    root, other = logging.getLogger(), logging.NullHandler()
    root.addHandler(other)
    first, second = Observed(), Observed()
    obs.wrap(raw, first.obs)
    obs.init(Starlette(), second.obs)
    assert len(pipelines()) == 1
    assert other in root.handlers
    logging.getLogger("shop").warning("hello")
    assert [line["msg"] for line in second.lines()] == ["hello"]
    assert first.lines() == []


def test_the_log_level_is_the_roots() -> None:
    """And uvicorn's own access line, which would be a second one for each request, is off."""
    observed = Observed({"LOG_LEVEL": "WARNING"})
    obs.wrap(raw, observed.obs)
    logging.getLogger("shop").info("not this")
    logging.getLogger("shop").warning("this")
    logging.getLogger("uvicorn.access").error("nor this")
    assert [line["msg"] for line in observed.lines()] == ["this"]


def test_the_root_logger_can_be_left_alone(telemetry: Telemetry) -> None:
    """`OBS_LOGGING_ENABLED=false` is for applications that set up their own logging."""
    observed = Observed({"OBS_LOGGING_ENABLED": "false"})
    ask(obs.wrap(raw, observed.obs))
    assert pipelines() == []
    assert len(telemetry.of(observed.obs).lines.find(logger=ACCESS)) == 1
