"""A framework's line about a failure that it answers by itself, and the connection's own line: one says it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import anyio
import pytest
import starlette

from divan_obs_asgi import middlewares
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.stack.build import build_stack
from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.stacks import CORE, Observed

NO_ACCESS = tuple(one for one in CORE if one is not middlewares.AccessLogMiddleware)


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield


def says(error: BaseException | None, msg: str = "Exception on request", level: int = logging.ERROR) -> None:
    """Log as a framework's file does."""
    exc_info: Any = (type(error), error, error.__traceback__) if error is not None else None
    path = starlette.__file__.replace("__init__", "applications")
    logging.getLogger("shop").handle(logging.LogRecord("shop", level, path, 1, msg, (), exc_info))


def raised(kind: type[Exception] = LookupError) -> Exception:
    try:
        raise kind("on purpose")
    except Exception as error:
        return error


def answering(status: int, do: Callable[[], object]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        do()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    return app


def errors(observed: Observed) -> list[tuple[str, int | None, str]]:
    return [
        (line["logger"].rpartition(".")[2], line["status"], line.get("error", {}).get("type", ""))
        for line in observed.lines()
        if line["level"] == "ERROR"
    ]


def served(app: ASGIApp, scope: Scope | None = None, factories: Sequence[Any] = CORE, **flags: str) -> Observed:
    observed = Observed({"LOG_SAMPLING_BUDGET": "1000000", **flags})
    observed.obs.log.install(own_access_line=False)
    scope = http_scope("/fail") if scope is None else scope
    message: Message = {"type": "http.request" if scope["type"] == "http" else "websocket.connect", "body": b""}
    anyio.run(converse, build_stack(app, observed.obs, factories), scope, [message])
    return observed


def test_an_answered_failure_is_the_access_line() -> None:
    """With the exception that the framework has logged, which is counted, too."""
    observed = served(answering(500, lambda: says(raised())))
    assert errors(observed) == [("access", 500, "LookupError")]
    assert observed.value("divan_http_exceptions_total", route="__unmatched__", type="LookupError") == 1.0


@pytest.mark.parametrize("status", [200, 404])
def test_a_failure_without_a_failed_request_keeps_the_frameworks_line(status: int) -> None:
    """The application has made something else of it."""
    observed = served(answering(status, lambda: says(raised())))
    assert errors(observed) == [("shop", None, "LookupError")]
    assert observed.value("divan_http_exceptions_total", route="__unmatched__", type="LookupError") == 0.0


def test_the_last_of_several_failures_is_the_access_lines() -> None:
    """The others are written."""

    def fail() -> None:
        for kind in (KeyError, ValueError, LookupError):
            says(raised(kind))

    assert errors(served(answering(500, fail))) == [
        ("access", 500, "LookupError"),
        ("shop", None, "KeyError"),
        ("shop", None, "ValueError"),
    ]


def test_a_failure_that_is_raised_is_one_line() -> None:
    """A framework that logs and raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        says(raised(KeyError))
        try:
            raise LookupError
        except LookupError as error:
            says(error)
            raise

    assert errors(served(app)) == [("access", 500, "LookupError"), ("shop", None, "KeyError")]


def test_without_an_access_line_nothing_is_lost() -> None:
    """The framework's line is the only one."""
    observed = served(answering(500, lambda: says(raised())), factories=NO_ACCESS)
    assert errors(observed) == [("shop", None, "LookupError")]


def test_an_access_line_below_its_loggers_level_says_nothing() -> None:
    """Then the framework's line is written."""
    logger = logging.getLogger("divan_obs_asgi.access")
    logger.setLevel(logging.CRITICAL)
    try:
        observed = served(answering(500, lambda: says(raised())), LOG_RECORDER_LINES="0")
    finally:
        logger.setLevel(logging.NOTSET)
    assert errors(observed) == [("shop", None, "LookupError")]


@pytest.mark.parametrize("current", ["thread", "task"])
def test_a_thread_and_a_task_of_the_request_are_the_request(current: str) -> None:
    """Django's synchronous views fail in a thread, and log there."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if current == "thread":
            await anyio.to_thread.run_sync(says, raised())
        else:

            async def child() -> None:
                says(raised())

            await asyncio.create_task(child())
        await answering(500, lambda: None)(scope, receive, send)

    assert errors(served(app)) == [("access", 500, "LookupError")]


def test_a_group_is_one_line() -> None:
    """The framework logs a member, and the group is raised."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        error = raised()
        says(error)
        raise ExceptionGroup("several", [error])

    assert errors(served(app)) == [("access", 500, "ExceptionGroup")]


def test_a_line_after_the_end_of_the_request_is_written() -> None:
    """A background task of the request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(500, lambda: None)(scope, receive, send)
        says(raised())

    assert errors(served(app)) == [("access", 500, ""), ("shop", None, "LookupError")]


def test_the_failure_of_a_quiet_path_is_written() -> None:
    """Its successes call no function."""

    def fail() -> None:
        record = current_record.get()
        assert record is not None
        record.housekeeping = True
        says(raised())

    assert errors(served(answering(200, fail))) == [("shop", None, "LookupError")]


def test_a_line_does_not_wait_for_hours() -> None:
    """A WebSocket lasts long: what was logged in it is written in seconds."""
    observed = Observed({"LOG_SAMPLING_BUDGET": "1000000"})
    observed.obs.log.install(own_access_line=False)
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        says(raised())
        observed.obs.log._write_held(60.0)
        seen.append(errors(observed))
        observed.obs.log._write_held(-60.0)
        seen.append(errors(observed))
        await answering(200, lambda: None)(scope, receive, send)

    anyio.run(converse, build_stack(app, observed.obs, CORE), http_scope("/fail"), [])
    assert seen == [[], [("shop", None, "LookupError")]]
    assert errors(observed) == seen[1]


def test_lines_below_error_are_written_at_once() -> None:
    """They say something else than a failure."""
    observed = served(answering(500, lambda: says(raised(), level=logging.WARNING)))
    assert [(line["level"], line["logger"]) for line in observed.lines()] == [
        ("WARNING", "shop"),
        ("ERROR", "divan_obs_asgi.access"),
    ]


def test_more_lines_than_are_held_are_written() -> None:
    """A connection that fails in a loop keeps a few."""

    def fail() -> None:
        for _ in range(100):
            says(raised(KeyError))

    observed = served(answering(200, fail))
    assert len(errors(observed)) == 100


def closing(code: int, do: Callable[[], object] = lambda: None, *, accept: bool = True) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if accept:
            await send({"type": "websocket.accept"})
        do()
        await send({"type": "websocket.close", "code": code})

    return app


def outcome(observed: Observed) -> str:
    [line] = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]
    return str(line["outcome"])


@pytest.mark.parametrize(("code", "ended"), [(1000, "error"), (1011, "error"), (4001, "ok")])
def test_a_websocket_that_a_framework_ends_after_a_failure_has_failed(code: int, ended: str) -> None:
    """Quart closes with 1000; who chooses a code of its own has something else to say."""
    observed = served(closing(code, lambda: says(raised())), websocket_scope("/ws"))
    assert outcome(observed) == ended
    redacted = ("shop", None, "LookupError") if ended == "ok" else ("access", 101, "LookupError")
    assert errors(observed) == [redacted]


def test_a_websocket_that_is_refused_after_a_failure_has_failed() -> None:
    """The handshake is answered 403."""
    observed = served(closing(1000, lambda: says(raised()), accept=False), websocket_scope("/ws"))
    assert (outcome(observed), errors(observed)) == ("error", [("access", 403, "LookupError")])


@pytest.mark.parametrize(
    ("code", "ended", "kind"),
    [(4500, "error", "LookupError"), (3503, "error", "LookupError"), (1011, "error", "LookupError"), (4401, "ok", "")],
)
def test_a_close_while_an_exception_is_handled_has_the_cause(code: int, ended: str, kind: str) -> None:
    """Litestar closes with 4500, and logs nothing."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            raise LookupError
        except LookupError:
            await send({"type": "websocket.close", "code": code})

    observed = served(app, websocket_scope("/ws"))
    assert outcome(observed) == ended
    assert errors(observed) == ([("access", 101, kind)] if kind else [])


def test_a_private_close_code_alone_is_not_an_error() -> None:
    """An application may mean anything by 4500."""
    assert outcome(served(closing(4500), websocket_scope("/ws"))) == "ok"


def test_a_close_code_that_the_server_refuses_still_says_that_it_failed() -> None:
    """daphne takes no 1011; Falcon then closes with 3011."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_refuse(message: Message) -> None:
            if message.get("code") == 1011:
                raise Exception("invalid close code 1011")
            await send(message)

        await stack(scope, receive, send_or_refuse)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            await send({"type": "websocket.close", "code": 1011})
        except Exception:
            await send({"type": "websocket.close", "code": 3011})

    observed = Observed()
    stack = build_stack(app, observed.obs, CORE)
    anyio.run(converse, refusing, websocket_scope("/ws"), [{"type": "websocket.connect"}])
    assert outcome(observed) == "error"
