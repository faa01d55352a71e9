"""The chain: what a settings list may name, what a bad one is told, and the application's life inside it."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from asgi_lifespan import LifespanManager
from prometheus_client import make_asgi_app
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from divan_obs_asgi import ImproperlyConfigured, MiddlewareNotUsed, Observability, ProbeFailed, build_stack
from divan_obs_asgi.probes import HeartbeatProbe
from divan_obs_asgi.stack.build import MiddlewareFactory, Stack
from divan_obs_asgi.stack.lifespan import says_unsupported
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.patience import PATIENCE_S
from tests.stacks import Observed, run_on

HERE = __name__
LOOPS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
STARTUP: Message = {"type": "lifespan.startup"}
SHUTDOWN: Message = {"type": "lifespan.shutdown"}
STARTED: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", b"")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Tag:
    """A third party's middleware: it says in a header that it was there."""

    name = b"tag"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-tag", self.name)]
            await send(message)

        await self.app(scope, receive, send_tagged)


class OtherTag(Tag):
    name = b"other"


class StepsAside:
    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        raise MiddlewareNotUsed("there is nothing to do")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


def gives_nothing(app: ASGIApp, obs: Observability) -> None:
    """A factory whose author forgot the `return`."""


def also_gives_nothing(app: ASGIApp, obs: Observability) -> None: ...


NOT_CALLABLE = "a string"


def fresh(**environ: str) -> Observability:
    return Observed(environ).obs


def tags(app: ASGIApp) -> list[bytes]:
    return anyio.run(converse, app, http_scope()).header(b"x-tag")


# What a list may name.


def test_a_middleware_joins_by_its_dotted_path() -> None:
    """Third parties need no registration: `OBS_MIDDLEWARE` is a list of names."""
    obs = fresh(OBS_MIDDLEWARE=f"divan_obs_asgi.middlewares.RequestIdMiddleware,{HERE}.Tag")
    done = anyio.run(converse, build_stack(hello, obs), http_scope(headers=[(b"x-request-id", b"abc")]))
    assert done.header(b"x-tag") == [b"tag"]
    assert done.header(b"x-request-id") == [b"abc"]


def test_the_list_is_in_order_outermost_first() -> None:
    """A header of the inner one is set before that of the outer one."""
    assert tags(build_stack(hello, fresh(OBS_MIDDLEWARE=f"{HERE}.Tag,{HERE}.OtherTag"))) == [b"other", b"tag"]
    assert tags(build_stack(hello, fresh(OBS_MIDDLEWARE=f"{HERE}.OtherTag,{HERE}.Tag"))) == [b"tag", b"other"]


def test_a_list_in_code_takes_the_place_of_the_flag() -> None:
    """And holds classes, functions and dotted paths."""

    def other_tag(app: ASGIApp, obs: Observability, /) -> ASGIApp:
        return OtherTag(app, obs)

    obs = fresh(OBS_MIDDLEWARE="nowhere.to.be.Found")
    assert tags(build_stack(hello, obs, [Tag, other_tag, f"{HERE}.Tag"])) == [b"tag", b"other", b"tag"]


def test_a_middleware_that_steps_aside_is_left_out() -> None:
    """The rest of the list works, and the stack can tell who is missing and why."""
    stack = build_stack(hello, fresh(), [Tag, f"{HERE}.StepsAside", OtherTag])
    assert tags(stack) == [b"other", b"tag"]
    assert isinstance(stack, Stack)
    assert stack.skipped == {f"{HERE}.StepsAside": "there is nothing to do"}
    assert stack.app is hello


def test_a_stack_in_which_all_step_aside_is_the_application() -> None:
    """No wrapper, no cost."""
    assert build_stack(hello, fresh(), [StepsAside, StepsAside]) is hello
    assert build_stack(hello, fresh(), []) is hello
    assert build_stack(hello, fresh(OBS_MIDDLEWARE="")) is hello


def test_switched_off_means_not_even_looked_at() -> None:
    """`OBS_ENABLED=false` is the way out, also out of a broken list."""
    assert build_stack(hello, fresh(OBS_ENABLED="false", OBS_MIDDLEWARE="nowhere.to.be.Found")) is hello


def test_the_flags_that_are_off_are_told() -> None:
    """`skipped` names the flag of each part that is off."""
    stack = build_stack(hello, fresh(OBS_METRICS_ENABLED="false"))
    assert isinstance(stack, Stack)
    assert stack.skipped == {
        "divan_obs_asgi.middlewares.MetricsMiddleware": "OBS_METRICS_ENABLED is false",
        "divan_obs_asgi.middlewares.QuietPathsMiddleware": "OBS_QUIET_PATHS is empty",
        "divan_obs_asgi.middlewares.TracingMiddleware": "OBS_TRACING_ENABLED is false",
    }


# What a bad list is told.


def problem(*middleware: str | MiddlewareFactory) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        build_stack(hello, fresh(), middleware)
    return str(caught.value)


def test_all_unknown_paths_are_in_one_error() -> None:
    """One start-up tells everything that is wrong; what is right in the list is not mentioned."""
    message = problem("no_such_module.Thing", f"{HERE}.Tag", f"{HERE}.NoSuchClass", "divan_obs_asgi.nowhere.Thing")
    assert message.splitlines() == [
        "OBS_MIDDLEWARE: 'no_such_module.Thing' cannot be imported: No module named 'no_such_module'.",
        f"OBS_MIDDLEWARE: '{HERE}.NoSuchClass' is not callable; expected (app, observability) -> app.",
        "OBS_MIDDLEWARE: 'divan_obs_asgi.nowhere.Thing' cannot be imported: No module named 'divan_obs_asgi.nowhere'.",
    ]


@pytest.mark.parametrize("path", [f"{HERE}.NOT_CALLABLE", "nodots", "", "sys.path"])
def test_a_path_to_something_else(path: str) -> None:
    """A path must lead to a class or a function."""
    assert problem(path) == f"OBS_MIDDLEWARE: {path!r} is not callable; expected (app, observability) -> app."


@pytest.mark.parametrize("path", [".relative.Thing", "..Thing", "sys..Thing", "sys.\0.Thing"])
def test_a_path_that_cannot_be_one(path: str) -> None:
    """It is named in the error like any other."""
    assert problem(path).startswith(f"OBS_MIDDLEWARE: {path!r} ")


def test_an_entry_that_is_not_callable() -> None:
    """A list in code is checked like one of names."""
    assert "42" in problem(cast(MiddlewareFactory, 42))


def test_a_factory_that_returns_nothing() -> None:
    """Found at start-up, and not as a TypeError of the first request."""
    expected = f"OBS_MIDDLEWARE: {HERE}.gives_nothing returned None; expected an ASGI application."
    assert problem(f"{HERE}.gives_nothing") == expected
    assert problem(Tag, cast(MiddlewareFactory, gives_nothing)) == expected.replace(f"{HERE}.", "")


def test_all_factories_that_return_nothing_are_in_one_error() -> None:
    """Every entry that is wrong is named."""
    message = problem(f"{HERE}.gives_nothing", f"{HERE}.also_gives_nothing")
    assert f"{HERE}.gives_nothing " in message
    assert f"{HERE}.also_gives_nothing " in message


def test_paths_and_factories_that_are_wrong_are_in_one_error() -> None:
    """Who has mended a path does not meet the next error at the next start."""
    message = problem(f"{HERE}.gives_nothing", "nowhere.at.all", f"{HERE}.also_gives_nothing")
    assert re.findall(r"^OBS_MIDDLEWARE: \S*?(\w+)'? ", message, re.MULTILINE) == [
        "gives_nothing",
        "all",
        "also_gives_nothing",
    ]


def test_errors_are_told_in_the_order_of_the_list() -> None:
    """Which is not the order in which the chain is built; the cause is that of the first."""

    def broken(app: ASGIApp, obs: Observability, /) -> ASGIApp:
        raise ZeroDivisionError

    def badly_configured(app: ASGIApp, obs: Observability, /) -> ASGIApp:
        raise ImproperlyConfigured("There is no tenant.")

    with pytest.raises(ImproperlyConfigured) as caught:
        build_stack(
            hello, fresh(), [broken, f"{HERE}.gives_nothing", Tag, badly_configured, f"{HERE}.also_gives_nothing"]
        )
    told = [re.sub(r"^OBS_MIDDLEWARE: (\S+\.)?", "", line) for line in str(caught.value).splitlines()]
    assert told == [
        "broken raised when it was called with (app, observability): ZeroDivisionError.",
        "gives_nothing returned None; expected an ASGI application.",
        "badly_configured raised when it was called with (app, observability): There is no tenant.",
        "also_gives_nothing returned None; expected an ASGI application.",
    ]
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_bug_in_a_constructor_is_not_hidden() -> None:
    """The error names the middleware; the exception with the line that is wrong is its cause."""

    def broken(app: ASGIApp, obs: Observability, /) -> ASGIApp:
        raise ZeroDivisionError("the author's bug")

    with pytest.raises(ImproperlyConfigured) as caught:
        build_stack(hello, fresh(), [broken])
    assert re.fullmatch(
        r"OBS_MIDDLEWARE: .*broken raised when it was called with \(app, observability\): ZeroDivisionError\.",
        str(caught.value),
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_module_that_breaks_when_it_is_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises: the dotted path is what somebody has to look for."""
    (tmp_path / "breaks_at_import.py").write_text("raise RuntimeError('a secret')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImproperlyConfigured) as caught:
        build_stack(hello, fresh(), ["breaks_at_import.Middleware"])
    assert str(caught.value) == (
        "OBS_MIDDLEWARE: 'breaks_at_import.Middleware' cannot be imported: its module raised RuntimeError."
    )


# The application's life.


def live(backend: str, app: ASGIApp, obs: Observability | None = None) -> tuple[list[Message], BaseException | None]:
    """Start and stop `app` inside a stack, as a server does; return what it answered and raised."""
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}

    async def start_and_stop() -> tuple[list[Message], BaseException | None]:
        with anyio.fail_after(PATIENCE_S):
            done = await converse(build_stack(app, obs or fresh()), scope, [STARTUP, SHUTDOWN])
        return done.sent, done.error

    return run_on(backend, start_and_stop)


@LOOPS
def test_the_applications_life_is_its_own(backend: str) -> None:
    """Start-up and shutdown run once, in order, in the application's own lifespan."""
    events = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        events.append("up")
        yield
        events.append("down")

    assert live(backend, Starlette(lifespan=lifespan)) == ([STARTED, STOPPED], None)
    assert events == ["up", "down"]


@LOOPS
def test_an_application_without_lifespan_says_so_to_its_server(backend: str) -> None:
    """By raising (ASGI, "Lifespan Protocol"): `uvicorn --lifespan auto` serves on, `on` gives up. It is ready."""
    error = NotImplementedError("lifespan")
    obs = fresh()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    assert live(backend, app, obs) == ([], error)
    assert "lifespan" not in obs.probes.names()


@LOOPS
def test_an_application_that_breaks_before_it_listens_is_not_ready(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a middleware cannot be built. Its server hears of it, the log too, and so does who asks for health."""
    observed = Observed()

    class Broken:
        def __init__(self, app: object) -> None:
            raise ConnectionError("no settings")

    app = Starlette(middleware=[Middleware(Broken)])  # type: ignore[arg-type]
    sent, error = live(backend, app, observed.obs)
    assert sent == []
    assert isinstance(error, ConnectionError)
    assert [(one.levelname, one.message, one.exc_info and one.exc_info[1]) for one in caplog.records] == [
        ("ERROR", "The application failed to start; it is not ready.", error)
    ]
    for group in ("ready", "startup"):
        assert not run_on(backend, observed.obs.probes.ask, group).ok
    assert run_on(backend, observed.obs.probes.ask, "live").ok
    # Once more, without the fault.
    assert live(backend, Starlette(), observed.obs) == ([STARTED, STOPPED], None)
    for group in ("ready", "startup"):
        assert run_on(backend, observed.obs.probes.ask, group).ok


@LOOPS
def test_a_lifespan_that_breaks_off_while_the_application_serves(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What it has started may be gone: not ready any more, but not to be started anew."""
    obs, error = fresh(), ConnectionError("the pool is gone")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(STARTED)
        raise error

    assert live(backend, app, obs) == ([STARTED], error)
    assert [one.levelname for one in caplog.records] == ["ERROR"]
    assert not run_on(backend, obs.probes.ask, "ready").ok
    assert run_on(backend, obs.probes.ask, "startup").ok


@LOOPS
def test_an_application_that_only_starts_is_stopped_for(backend: str) -> None:
    """It returns once it has started; what runs beside it goes on to the end."""
    ended: list[str] = []
    obs = fresh()

    async def beside() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("beside")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(STARTED)

    obs.background.add("beside", beside)
    assert live(backend, app, obs) == ([STARTED, STOPPED], None)
    assert ended == ["beside"]


def raised_by(app: Any, scope: Scope) -> BaseException | None:
    return run_on("asyncio", converse, app, scope).error


async def asserts(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"


async def asserts_with_a_text(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http", f"unexpected scope {scope['type']}"


async def implements_no_other(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError


async def looks_for_the_path(scope: Scope, receive: Receive, send: Send) -> None:
    scope["path"]


async def as_django(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(f"Django can only handle ASGI/HTTP connections, not {scope['type']}.")


async def as_channels(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(f"No application configured for scope type {scope['type']!r}")


async def as_asgiref(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("WSGI wrapper received a non-HTTP scope")


async def looks_for_its_handler(scope: Scope, receive: Receive, send: Send) -> None:
    handlers: dict[str, ASGIApp] = {"http": hello, "websocket": hello}
    await handlers[scope["type"]](scope, receive, send)


async def has_no_method(scope: Scope, receive: Receive, send: Send) -> None:
    await getattr(asyncio, scope["type"])(scope, receive, send)


async def finds_no_handler(scope: Scope, receive: Receive, send: Send) -> None:
    handler: Any = {"http": hello}.get(scope["type"])
    await handler(scope, receive, send)


async def knows_two_kinds(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] in ("http", "websocket"):
        handler = hello
    await handler(scope, receive, send)


async def refuses_by_a_function(scope: Scope, receive: Receive, send: Send) -> None:
    def refuse(kind: object) -> None:
        raise ValueError(f"unsupported scope type: {kind}")

    refuse(scope["type"])


async def calls_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    database: Any = None
    database.connect()


async def passes_a_copy(scope: Scope, receive: Receive, send: Send) -> None:
    await asserts(dict(scope), receive, send)


async def makes_a_request(scope: Scope, receive: Receive, send: Send) -> None:
    Request(scope, receive)


async def asserts_its_settings(scope: Scope, receive: Receive, send: Send) -> None:
    settings: list[str] = []
    assert settings


async def misses_a_setting(scope: Scope, receive: Receive, send: Send) -> None:
    dict[str, str]()["DATABASE_URL"]


async def raises_for_a_reason(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("no database")


async def builds_too_late(scope: Scope, receive: Receive, send: Send) -> None:
    Starlette(1, 2, 3, 4, 5, 6, 7, 8)  # type: ignore[call-arg, arg-type]


def in_a_constructor(error: Exception) -> ASGIApp:
    class Broken:
        def __init__(self, app: object) -> None:
            raise error

    return Starlette(middleware=[Middleware(Broken)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("app", "unsupported"),
    [
        (asserts, True),
        (asserts_with_a_text, True),
        (implements_no_other, True),
        (looks_for_the_path, True),
        (as_django, True),
        (as_channels, True),
        (as_asgiref, True),
        (looks_for_its_handler, True),
        (has_no_method, True),
        (finds_no_handler, True),
        (knows_two_kinds, True),
        (refuses_by_a_function, True),
        (calls_nothing, False),
        (passes_a_copy, True),
        (makes_a_request, True),
        (make_asgi_app(), True),
        (asserts_its_settings, False),
        (misses_a_setting, False),
        (raises_for_a_reason, False),
        (builds_too_late, False),
        (in_a_constructor(AssertionError()), False),
        (in_a_constructor(NotImplementedError()), False),
        (in_a_constructor(KeyError("path")), False),
        (in_a_constructor(ValueError("expected a scope")), False),
        (in_a_constructor(TypeError("missing 1 argument")), False),
        (in_a_constructor(AttributeError("path")), False),
        (in_a_constructor(TypeError("Limit.__init__() got an unexpected keyword argument 'lifespan'")), False),
        (in_a_constructor(ValueError("lifespan_timeout must be positive")), False),
        (in_a_constructor(ValueError("a lifespan of 0 s is too short")), False),
    ],
)
def test_no_lifespan_and_no_start_are_told_apart(app: ASGIApp, unsupported: bool) -> None:
    """By who complains: code that has the scope at hand, and speaks of it."""
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    error = raised_by(app, scope)
    assert error is not None
    assert says_unsupported(error, scope) is unsupported


def test_a_failed_start_ends_the_call_at_once() -> None:
    """hypercorn looks whether it has ended as soon as it has heard of it; what raises in its `send` is its own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def serve() -> bool:
        heard = asyncio.Event()

        async def receive() -> Message:
            return STARTUP

        async def send(message: Message) -> None:
            heard.set()
            raise ConnectionError("of the server")

        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
        task = asyncio.create_task(cast(Any, build_stack(app, fresh()))(scope, receive, send))
        await heard.wait()
        ended = task.done()
        with pytest.raises(ConnectionError):
            await task
        return ended

    assert asyncio.run(serve())


@pytest.mark.parametrize(("phase", "text"), [("startup", "start; it is not ready."), ("shutdown", "shut down.")])
@pytest.mark.parametrize("reason", ["", "Traceback: no tables"])
def test_a_failure_is_logged_once(caplog: pytest.LogCaptureFixture, phase: str, text: str, reason: str) -> None:
    """The server logs the message; python-socketio swallows what `on_startup` has raised, and sends none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if phase == "shutdown":
            await send(STARTED)
            await receive()
        try:
            raise LookupError("no tables")
        except LookupError:
            await send({"type": f"lifespan.{phase}.failed", "message": reason})
            if reason:
                raise

    sent, error = live("asyncio", app)
    assert sent[-1]["type"] == f"lifespan.{phase}.failed"
    assert isinstance(error, LookupError) is bool(reason)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in errors] == ([] if reason else [f"The application failed to {text}"])
    assert all(record.exc_info and record.exc_info[0] is LookupError for record in errors)


@LOOPS
def test_an_application_that_raises_after_it_has_listened_could_not_start(backend: str) -> None:
    """Its server hears of it as it would without the stack: `uvicorn --lifespan on` gives up."""
    error = ConnectionError("no database")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise error

    assert live(backend, app) == ([], error)


@LOOPS
def test_an_application_that_returns_from_a_lifespan_without_a_word(backend: str) -> None:
    """The protocol is spoken for it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    assert live(backend, app) == ([STARTED, STOPPED], None)


@LOOPS
def test_a_failed_startup_fails(backend: str) -> None:
    """The message with the application's reason reaches the server, and so does the very exception."""
    error = ConnectionError("no database")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise error
        yield

    sent, raised = live(backend, Starlette(lifespan=lifespan))
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "no database" in sent[0]["message"]
    assert raised is error


@LOOPS
def test_a_failed_startup_fails_also_without_an_exception(backend: str) -> None:
    """An application may send the message and return."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "not today"})

    assert live(backend, app) == ([{"type": "lifespan.startup.failed", "message": "not today"}], None)


@LOOPS
def test_a_failed_shutdown_fails(backend: str) -> None:
    """As it would without the stack."""
    error = ConnectionError("gone already")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        raise error

    sent, raised = live(backend, Starlette(lifespan=lifespan))
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert raised is error


@LOOPS
def test_an_exit_during_startup_comes_out_as_it_is(backend: str) -> None:
    """No exception is replaced, also where it is no `Exception`: `sys.exit()` in a start-up hook ends the process."""

    class Exit(BaseException):
        pass

    error = Exit()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise error

    assert live(backend, app)[1] is error


@LOOPS
def test_a_server_that_gives_up_is_obeyed(backend: str) -> None:
    """Cancelled while it waits for the shutdown, the stack and the application end."""
    ended: list[str] = []
    scopes: list[anyio.CancelScope] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        scopes[0].deadline = anyio.current_time() + 0.02
        try:
            yield
        finally:
            ended.append("down")

    async def give_up() -> bool:
        with anyio.CancelScope() as cancelling:
            scopes.append(cancelling)
            await converse(build_stack(Starlette(lifespan=lifespan), fresh()), {"type": "lifespan"}, [STARTUP])
        return cancelling.cancelled_caught

    assert run_on(backend, give_up)
    assert ended == ["down"]


@LOOPS
def test_lifespan_state_reaches_the_requests(backend: str) -> None:
    """What the application puts into its state is there in every request, with LifespanManager as with a server."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        yield {"pool": "a pool"}

    async def show(request: Request) -> Response:
        return PlainTextResponse(request.state.pool)

    async def ask() -> bytes:
        stack = build_stack(Starlette(routes=[Route("/", show)], lifespan=lifespan), fresh())
        async with LifespanManager(cast(Any, stack)) as manager:
            return (await converse(manager.app, http_scope())).body

    assert run_on(backend, ask) == b"a pool"


def test_lifespan_manager_sees_a_failed_startup() -> None:
    """Tests of applications find the exception that the start-up raised."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise ConnectionError("no database")
        yield

    async def start() -> None:
        async with LifespanManager(cast(Any, build_stack(Starlette(lifespan=lifespan), fresh()))):
            raise AssertionError("unreachable")

    with pytest.raises(ConnectionError, match="no database"):
        anyio.run(start)


@LOOPS
@pytest.mark.parametrize("supported", [True, False], ids=["with_lifespan", "without_lifespan"])
def test_the_heartbeat_beats_while_the_application_lives(backend: str, supported: bool) -> None:
    """Only then is a loop that stands still a reason for a restart: before and after, nobody beats."""
    now = [0.0]
    heartbeat = HeartbeatProbe(clock=lambda: now[0])
    obs = fresh()
    obs.background.add("another heartbeat", heartbeat.run)
    answers: list[str] = []

    async def ask() -> None:
        try:
            await heartbeat.check()
            answers.append("alive")
        except ProbeFailed as failure:
            answers.append(failure.reason)

    async def live_and_ask() -> None:
        await ask()
        async with living(build_stack(Starlette() if supported else hello_only, obs), supported):
            await anyio.wait_all_tasks_blocked()
            await ask()
            now[0] += 11.0  # The loop has not turned for so long.
            await ask()
        await obs.background.end_alone()
        await ask()

    run_on(backend, live_and_ask)
    assert answers == ["alive", "alive", "timeout", "alive"]


@asynccontextmanager
async def living(stack: Any, supported: bool) -> AsyncIterator[None]:
    """While it lives: until the end of its lifespan, and without one for as long as the server goes on."""
    if supported:
        async with LifespanManager(stack):
            yield
    else:
        await converse(stack, {"type": "lifespan", "state": {}})
        yield


async def hello_only(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await hello(scope, receive, send)


@LOOPS
def test_what_is_queued_is_written_at_the_end(backend: str) -> None:
    """A stopped service has written its last lines."""
    observed = Observed()

    async def work() -> None:
        stack = build_stack(hello_only, observed.obs)
        await converse(stack, {"type": "lifespan", "state": {}})
        await converse(stack, http_scope())

    run_on(backend, work)
    assert observed.stream.getvalue().count(b"\n") == 1
    assert observed.obs.background._alone is not None


def test_what_goes_on_without_a_lifespan_ends_with_its_stack() -> None:
    """In an event loop that lives longer, as that of a test session does."""
    obs = fresh()

    async def work() -> None:
        ended = anyio.Event()

        async def beside() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()

        obs.background.add("beside", beside)
        stack = build_stack(hello_only, obs)
        await converse(stack, {"type": "lifespan", "state": {}})
        await anyio.wait_all_tasks_blocked()
        del stack
        gc.collect()
        with anyio.fail_after(30):
            await ended.wait()

    anyio.run(work)


@LOOPS
@pytest.mark.parametrize("ending", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
def test_what_is_queued_is_written_before_the_server_hears_of_the_end(backend: str, ending: str) -> None:
    """It may end the process as soon as it has."""
    observed = Observed()
    written_by_then: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await hello(scope, receive, send)
            return
        await receive()
        await send(STARTED)
        await receive()
        await converse(stack, http_scope())
        await send({"type": ending})

    async def live_and_look() -> None:
        incoming = iter([STARTUP, SHUTDOWN])

        async def receive() -> Message:
            return next(incoming)

        async def send(message: Message) -> None:
            written_by_then.append(observed.stream.getvalue().count(b"\n"))

        await stack({"type": "lifespan", "state": {}}, receive, send)

    stack = build_stack(app, observed.obs)
    run_on(backend, live_and_look)
    assert written_by_then == [0, 1]


@LOOPS
def test_what_runs_beside_the_application_has_ended_before_the_server_hears_of_the_end(backend: str) -> None:
    """uvicorn ends the event loop then: what still had a connection to close would be cut off."""
    told: list[str] = []
    # The watchdog wakes as often as `wait_all_tasks_blocked` looks.
    obs = fresh(OBS_WATCHDOG_ENABLED="false")

    async def watch() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.02)
            told.append("closed")

    async def live_and_listen() -> None:
        messages = iter([STARTUP, SHUTDOWN])

        async def receive() -> Message:
            return next(messages)

        async def send(message: Message) -> None:
            await anyio.wait_all_tasks_blocked()
            told.append(message["type"])

        obs.background.add("watch", watch)
        await build_stack(Starlette(), obs)({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

    run_on(backend, live_and_listen)
    assert told == ["lifespan.startup.complete", "closed", "lifespan.shutdown.complete"]
