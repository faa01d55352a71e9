"""The content of a log line: the fields, the level, and always valid JSON."""

from __future__ import annotations

import io
import json
import logging
import re
import sqlite3
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import anyio
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocketDisconnect

from divan_obs_asgi import Observability, build_stack
from divan_obs_asgi.logs import PipelineHandler, timestamp
from divan_obs_asgi.middlewares import AccessLogMiddleware, RequestIdMiddleware
from divan_obs_asgi.testing import SCENARIOS, Scenario, converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.recursion import ask
from tests.stacks import Observed

# The fields of every line, in order. An application may bind `user_id` and `ip` too.
SPEC_FIELDS = [
    *("ts", "level", "msg", "service", "env", "commit"),
    *("request_id", "trace_id", "span_id", "route", "status", "latency_ms"),
]
MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Unprintable:
    """An object whose author made a mistake."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


class App:
    """A logger of its own that writes to a pipeline; the root logger is left alone."""

    def __init__(self, **environ: str) -> None:
        self.observed = Observed(environ)
        self.logger = logging.Logger("shop.orders")
        self.logger.addHandler(PipelineHandler(self.observed.obs.log))

    def line(self) -> dict[str, Any]:
        """Return the one line that was written."""
        (line,) = self.observed.lines()
        return line

    def written(self) -> bytes:
        self.observed.obs.log.sink.flush()
        return self.observed.stream.getvalue()


def access_line(app: ASGIApp, scope: Scope, **environ: str) -> dict[str, Any]:
    observed = Observed(environ)
    stack = build_stack(app, observed.obs, [RequestIdMiddleware, AccessLogMiddleware])
    anyio.run(converse, stack, scope)
    (line,) = observed.lines()
    return line


def strict(data: bytes) -> Any:
    """Read JSON as the strictest of log collectors do: UTF-8, and no NaN or Infinity."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(data.decode("utf-8"), parse_constant=refuse)


# The access line.


def test_the_access_line_has_every_field() -> None:
    """The required fields in their order, then the library's own."""

    async def show(request: Request) -> Response:
        return PlainTextResponse("hello", 201)

    line = access_line(
        Starlette(routes=[Route("/users/{id}", show)]),
        http_scope("/users/7", headers=[(b"x-request-id", b"abc")]),
        OBS_SERVICE_NAME="divan-api",
        OBS_ENV="staging",
        OBS_COMMIT="42bb08b",
    )
    assert list(line) == [*SPEC_FIELDS, "logger", "outcome", "sample_rate"]
    assert MICROSECONDS.fullmatch(line.pop("ts"))
    assert 0 < line.pop("latency_ms") < 10_000
    assert line == {
        "level": "INFO",
        "msg": "GET /users/{id}",
        "service": "divan-api",
        "env": "staging",
        "commit": "42bb08b",
        "request_id": "abc",
        "trace_id": "",
        "span_id": "",
        "route": "/users/{id}",
        "status": 201,
        "logger": "divan_obs_asgi.access",
        "outcome": "ok",
        "sample_rate": 1.0,
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_connection_has_one_line_with_every_field(scenario: Scenario) -> None:
    """However it ends."""
    observed = Observed()
    stack = build_stack(scenario.app, observed.obs, [AccessLogMiddleware])

    async def connect() -> None:
        await converse(stack, scenario.scope(), scenario.incoming, hangs_up_after=scenario.hangs_up_after)

    anyio.run(connect)
    (line,) = observed.lines()
    assert list(line)[: len(SPEC_FIELDS)] == SPEC_FIELDS
    assert (line["outcome"], line["status"]) == (scenario.outcome, scenario.status)
    assert line["level"] == expected_level(scenario)


def expected_level(scenario: Scenario) -> str:
    """A server's failure is an ERROR, a client's is not, and somebody's decision to stop is worth a WARNING."""
    if scenario.status >= 500 or scenario.outcome in ("error", "error_after_start", "incomplete"):
        return "ERROR"
    return "WARNING" if scenario.outcome == "cancelled" else "INFO"


@pytest.mark.parametrize(
    ("status", "level"), [(200, "INFO"), (304, "INFO"), (404, "INFO"), (499, "INFO"), (500, "ERROR"), (503, "ERROR")]
)
def test_the_level_of_a_status(status: int, level: str) -> None:
    """An error of a client is not an error of the service."""

    async def show(request: Request) -> Response:
        return Response(status_code=status)

    assert access_line(Starlette(routes=[Route("/", show)]), http_scope("/"))["level"] == level


def streams(error: BaseException | None) -> ASGIApp:
    """Return an application that streams, and raises `error` when its client has gone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        except OSError:
            if error is None:
                raise
            raise error from None

    return app


# What may be sampled is, but for the first line.
UNDER_LOAD = {"LOG_SAMPLING_BUDGET": "1", "LOG_SAMPLING_RATE_INFO": "0", "LOG_RECORDER_LINES": "0"}
SOME = 3


async def ask_nobody(app: ASGIApp) -> None:
    """Make some requests, each from a client that leaves at once."""
    for _ in range(SOME):
        await converse(app, http_scope(), [{"type": "http.disconnect"}], hangs_up_after=1)


async def reads_from_nobody(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()


class Stop(BaseException):
    """A cancellation of another library."""


@pytest.mark.parametrize(
    ("app", "level"),
    [
        # What the server raises in `send`, alone or beside others in a task group.
        (streams(None), "INFO"),
        (streams(ClientDisconnect()), "INFO"),
        (streams(ExceptionGroup("", [ClientDisconnect(), ExceptionGroup("", [WebSocketDisconnect()])])), "INFO"),
        (reads_from_nobody, "INFO"),
        # The application's own, which would have been an ERROR with its client there.
        (streams(KeyError()), "ERROR"),
        (streams(ConnectionRefusedError("no database")), "ERROR"),
        (streams(ExceptionGroup("", [ClientDisconnect(), ExceptionGroup("", [KeyError()])])), "ERROR"),
        # Somebody's decision, and an application that failed while it was carried out.
        (streams(Stop()), "INFO"),
    ],
)
def test_a_failure_after_a_disconnect_is_an_error(app: ASGIApp, level: str) -> None:
    """That a client has gone is worth a sampled line; what the application does wrong then is always an ERROR."""
    observed = Observed(UNDER_LOAD)
    anyio.run(ask_nobody, build_stack(app, observed.obs, [AccessLogMiddleware]))
    written = [(line["outcome"], line["level"]) for line in observed.lines()]
    assert set(written) == {("client_disconnect", level)}
    # A slow machine may begin another second, and its budget, in between.
    assert (len(written) < SOME) is (level == "INFO")


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (Stop(), "WARNING"),
        (BaseExceptionGroup("", [Stop()]), "WARNING"),
        (BaseExceptionGroup("", [Stop(), KeyError()]), "ERROR"),
    ],
)
def test_a_failure_beside_a_cancellation_is_one(error: BaseException, level: str) -> None:
    """A task group raises both together."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    observed = Observed()
    anyio.run(converse, build_stack(app, observed.obs, [AccessLogMiddleware]), http_scope())
    assert [(line["outcome"], line["level"]) for line in observed.lines()] == [("cancelled", level)]


@pytest.mark.parametrize(
    ("lowest", "written"),
    [
        ("DEBUG", ["INFO", "WARNING", "ERROR"]),
        ("INFO", ["INFO", "WARNING", "ERROR"]),
        ("WARNING", ["WARNING", "ERROR"]),
        ("ERROR", ["ERROR"]),
        ("CRITICAL", []),
    ],
)
def test_log_level_is_the_lowest_that_is_written(lowest: str, written: list[str]) -> None:
    """For access lines as for all others; without a flight recorder also where a request fails."""
    observed = Observed({"LOG_LEVEL": lowest, "LOG_RECORDER_LINES": "0"})
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    for name in ("plain", "interrupted", "server_error"):
        anyio.run(converse, build_stack(by_name[name].app, observed.obs, [AccessLogMiddleware]), http_scope())
    assert [line["level"] for line in observed.lines()] == written


def test_an_unhandled_exception_is_in_the_line() -> None:
    """Its type, its traceback, and a fingerprint by which equal ones are found."""

    class OutOfStock(Exception):
        pass

    async def buy(request: Request) -> Response:
        raise OutOfStock(f"order {request.path_params['id']}")

    app = Starlette(routes=[Route("/buy/{id}", buy)])
    first, second = access_line(app, http_scope("/buy/1")), access_line(app, http_scope("/buy/2"))
    assert first["error"]["type"].endswith("OutOfStock")
    assert "in buy" in first["error"]["traceback"]
    assert first["error"]["fingerprint"] == second["error"]["fingerprint"]
    assert re.fullmatch(r"[0-9a-f]{16}", first["error"]["fingerprint"])


def test_a_databases_exception_is_logged_without_its_text() -> None:
    """It repeats what was to be stored, a chat message as well; in which form, the driver decides."""

    async def send(request: Request) -> Response:
        try:
            raise sqlite3.IntegrityError("cannot store 'meet me at the mill'")
        except sqlite3.IntegrityError as error:
            raise LookupError(f"not sent: {error}") from error

    line = access_line(Starlette(routes=[Route("/", send)]), http_scope("/"))
    assert line["error"]["type"] == "LookupError"
    assert line["error"]["traceback"].endswith("in send\nLookupError: [redacted:database]")
    assert "mill" not in str(line)


def test_different_failures_have_different_fingerprints() -> None:
    """The type and the place make the fingerprint, not the text."""

    async def here(request: Request) -> Response:
        raise ValueError

    async def there(request: Request) -> Response:
        raise ValueError

    async def otherwise(request: Request) -> Response:
        raise KeyError

    app = Starlette(routes=[Route("/here", here), Route("/there", there), Route("/otherwise", otherwise)])
    paths = ("/here", "/there", "/otherwise")
    assert len({access_line(app, http_scope(path))["error"]["fingerprint"] for path in paths}) == 3


def test_the_end_of_a_websocket_is_in_the_line() -> None:
    """The close code shows which side closed, and why."""
    lines = {}
    for scenario in SCENARIOS:
        if scenario.name in ("websocket", "websocket_lost"):
            observed = Observed()
            stack = build_stack(scenario.app, observed.obs, [AccessLogMiddleware])
            anyio.run(converse, stack, scenario.scope(), scenario.incoming)
            (lines[scenario.name],) = observed.lines()
    assert {name: line["close_code"] for name, line in lines.items()} == {"websocket": 1001, "websocket_lost": 1006}


def test_bound_fields_are_in_the_line() -> None:
    """Business fields, redacted; they change nothing of what the line says by itself."""
    observed = Observed({"OBS_REDACT_USER_ID": "keep"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        observed.obs.log.bind(user_id="u7", cart={"items": 3, "password": "hunter2"}, email="ann@example.org")
        observed.obs.log.bind(user_id="u8", status=999, level="DEBUG", ts="yesterday")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    anyio.run(converse, build_stack(app, observed.obs, [AccessLogMiddleware]), http_scope())
    (line,) = observed.lines()
    assert line["user_id"] == "u8"
    assert line["cart"] == {"items": 3, "password": "[redacted:credential]"}
    assert line["email"] == "[redacted:email]"
    assert (line["status"], line["level"]) == (200, "INFO")
    assert MICROSECONDS.fullmatch(line["ts"])


def test_binding_outside_of_a_request_does_nothing() -> None:
    """Code that is called from a job as well as from a request needs no test for it."""
    observed = Observed()
    observed.obs.log.bind(user_id="u7")
    assert observed.lines() == []


def test_a_route_that_cannot_be_written_costs_no_line() -> None:
    """An application may declare a route of invalid UTF-8."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["divan_obs_asgi.route"] = scope["path"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    assert access_line(app, http_scope("/\udcff"))["status"] == 200


# The application's own lines.


def test_an_applications_line_has_every_field() -> None:
    """Outside a request, a line has no ids, no route, no status and no latency."""
    app = App(OBS_ENV="staging")
    app.logger.info("sold %d of %s", 3, "tea", extra={"order": 7})
    line = app.line()
    assert list(line) == [*SPEC_FIELDS, "logger", "sample_rate", "order"]
    assert MICROSECONDS.fullmatch(line.pop("ts"))
    assert line == {
        "level": "INFO",
        "msg": "sold 3 of tea",
        "service": "divan-api",
        "env": "staging",
        "commit": "unknown",
        "request_id": "",
        "trace_id": "",
        "span_id": "",
        "route": None,
        "status": None,
        "latency_ms": None,
        "logger": "shop.orders",
        "sample_rate": 1.0,
        "order": 7,
    }


def test_a_line_within_a_request_carries_its_ids() -> None:
    """Every line of a request is found by its id, also one from a thread of the framework's pool."""
    app = App()

    def show(request: Request) -> Response:  # Not async: Starlette calls it in a worker thread.
        app.logger.warning("in stock: none")
        return PlainTextResponse("hello")

    stack = build_stack(
        Starlette(routes=[Route("/users/{id}", show)]), app.observed.obs, [RequestIdMiddleware, AccessLogMiddleware]
    )
    anyio.run(converse, stack, http_scope("/users/7", headers=[(b"x-request-id", b"abc")]))
    inside, access = app.observed.lines()
    assert (inside["msg"], inside["request_id"], inside["route"]) == ("in stock: none", "abc", "/users/{id}")
    assert access["request_id"] == "abc"
    app.logger.warning("afterwards")
    assert app.observed.lines()[-1]["request_id"] == ""


def test_a_logged_exception_is_in_the_line() -> None:
    """As in the access line: type, fingerprint and traceback."""
    app = App()
    try:
        raise LookupError("no tea")
    except LookupError:
        app.logger.exception("not sold")
    line = app.line()
    assert (line["msg"], line["level"], line["error"]["type"]) == ("not sold", "ERROR", "LookupError")
    assert line["error"]["traceback"].endswith("LookupError: no tea\n")
    app.logger.error("nothing here", exc_info=True)
    assert "error" not in app.observed.lines()[-1]


def test_the_end_of_a_traceback_that_is_logged_as_text_is_kept() -> None:
    """uvicorn logs the reason of a failed start like this; a cut at the end would remove the reason."""
    app = App()
    frame = '  File "/srv/shop/main.py", line 7, in lifespan\n    await connect("ada@example.org")\n'
    app.logger.error(
        "Traceback (most recent call last):\n" + 100 * frame + "ConnectionError: no database at token=s3cr3t-7"
    )
    message = app.line()["msg"]
    assert message.startswith("Traceback (most recent call last):\n[cut:length]\n")
    assert message.splitlines()[-3:] == [
        '  File "/srv/shop/main.py", line 7, in lifespan',
        '    await connect("[redacted:email]")',
        "ConnectionError: no database at token=[redacted:credential]",
    ]
    assert len(message) <= 2048


@pytest.mark.parametrize("text", ["", "Error: no tea", "x" * 5000, "x\n" * 2000])
def test_a_traceback_that_is_logged_as_text_is_bounded(text: str) -> None:
    """For any content; its end is kept unless it is a message that may contain half a secret."""
    app = App()
    app.logger.error("Traceback (most recent call last):\n%s", text)
    message = app.line()["msg"]
    assert message.startswith("Traceback (most recent call last):\n")
    assert message.endswith(text[-100:] if len(text) < 2048 else "[cut:length]")
    assert len(message) <= 2048


def test_the_end_of_a_long_traceback_is_kept() -> None:
    """The last lines say what happened and where; a framework's own frames stand first."""
    app = App()
    try:
        ask(40)
    except LookupError:
        app.logger.exception("not sold")
    assert app.line()["error"]["traceback"].endswith("LookupError: no tea\n")


def test_a_fingerprint_does_not_depend_on_the_depth_of_a_recursion() -> None:
    """It stays the same where the same code runs out of stack a little sooner."""

    def recurse(depth: int) -> None:
        if depth == 0:
            raise LookupError("no tea")
        recurse(depth - 1)

    app = App()
    for depth in (3, 200):
        try:
            recurse(depth)
        except LookupError:
            app.logger.exception("not sold")
    assert len({line["error"]["fingerprint"] for line in app.observed.lines()}) == 1


class Mistaken(Exception):
    """An exception whose author made a mistake."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


def chained() -> BaseException:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise LookupError("second") from error
    except LookupError as error:
        return error


def grouped() -> BaseException:
    return ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [TypeError("two")] * 50)])


def noted() -> BaseException:
    error = ValueError("with notes")
    error.add_note("a note\x1b[31m")
    error.__notes__.append(Unprintable())  # type: ignore[arg-type]
    return error


def in_a_circle() -> BaseException:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def out_of_stack() -> BaseException:
    def recurse() -> None:
        recurse()

    try:
        recurse()
    except RecursionError as error:
        return error
    raise AssertionError("unreachable")


@pytest.mark.parametrize(
    "make",
    [
        Mistaken,
        chained,
        grouped,
        noted,
        in_a_circle,
        out_of_stack,
        lambda: ValueError("x" * 1_000_000),
        lambda: ValueError("\ud800\x00\x1b[31m"),
        lambda: ValueError(Unprintable()),
        KeyboardInterrupt,
    ],
)
def test_any_exception_makes_one_line(make: Callable[[], BaseException]) -> None:
    """Causes, groups, notes and mistakes: type, fingerprint and a traceback on one line, of bounded length."""
    app = App()
    app.logger.error("failed", exc_info=make())
    written = app.written()
    assert written.count(b"\n") == 1
    assert len(written) < 20_000
    assert sorted(strict(written)["error"]) == ["fingerprint", "traceback", "type"]
    assert b"\x1b" not in written
    assert b"\\u001b" not in written


@pytest.mark.parametrize("exc_info", [("a", "b", "c"), (None, None, None), "no", 7, (ValueError,)])
def test_an_invalid_exc_info(exc_info: object) -> None:
    """A record that another library made may carry anything."""
    app = App()
    app.logger.handle(logging.makeLogRecord({"msg": "hello", "exc_info": exc_info, "levelno": 20}))
    line = app.line()
    assert line["msg"] == "hello"
    assert "error" not in line


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x00b", "\x7f", "\x9b31m", "a\u2028b", "a\u2029b", "\x08", "\x0c"])
def test_a_line_has_no_terminal_commands(text: str) -> None:
    """Not even escaped: `jq -r` would print it. It is seen that there was something."""
    app = App()
    app.logger.info("got %s", text, extra={"value": text, "more": [text]})
    line = app.line()
    shown = f"{line['msg']}{line['value']}{line['more'][0]}"
    assert shown.isprintable(), shown
    assert len(line["value"]) == len(line["more"][0]) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        *("\r\n", "\n", "\r", "\u200b", "\u200e", "\u200f", "\u061c", "\u2060", "\ufeff", "\xad", "\U000e0041"),
        *map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))),
        *("a\u200db", "a\u200cb", "\u200d"),
    ],
)
def test_a_line_has_no_misleading_characters(text: str) -> None:
    """Neither a second line, nor reversed text, nor invisible characters, in any text except a traceback."""
    app = App()
    given = {"msg": "got %s", "args": (text,), "name": f"a{text}b", "levelname": text, "levelno": logging.ERROR}
    try:
        raise LookupError(text)
    except LookupError:
        given |= {"exc_info": sys.exc_info(), "value": text, f"k{text}": [text], "thread_name": text}
    app.logger.handle(logging.makeLogRecord(given))
    line = app.line()
    result = line.pop("error")["traceback"].replace("\n", "")
    result += "".join(map(str, line.values())) + "".join(line)
    assert not set(text.replace("a", "").replace("b", "")) & set(result)


def test_joiners_stay_where_a_word_or_an_emoji_has_them() -> None:
    """Persian and Hindi are written with them."""
    text = (
        "\U0001f469\U0001f3fd\u200d\U0001f4bb \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0915\u094d\u200d\u0937"
    )
    app = App()
    app.logger.info("%s", text)
    assert app.line()["msg"] == text


def test_arguments_that_have_names_are_fields() -> None:
    """`%(password)s` says what stands there, whatever the text around it says."""
    app = App()
    app.logger.info("%(user)s came with %(password)s, %(n)d", {"user": "ada", "password": "x y", "n": 3})
    assert app.line()["msg"] == "ada came with [redacted:credential], 3"


def test_a_mapping_that_is_a_text_is_one_of_fields() -> None:
    """As `logging` has it for a single argument."""
    app = App()
    app.logger.info("got %s", {"password": "x y"})
    assert app.line()["msg"] == "got {'password': '[redacted:credential]'}"


@given(st.text(st.sampled_from('\\u001bf\x1b\n"')))
def test_text_that_looks_like_an_escape_stays(text: str) -> None:
    """Only real control characters are replaced, not backslashes that stand for themselves."""
    app = App()
    app.logger.info("%s", text)
    assert app.line()["msg"] == text.replace("\x1b", "\u241b").replace("\n", "\u240a")


def test_very_many_fields_are_cut() -> None:
    """A line has an end."""
    app = App()
    app.logger.info("hello", extra={f"field_{number}": number for number in range(1000)})
    line = app.line()
    assert line["field_0"] == 0
    assert line["..."].startswith("[cut:")
    assert len(line) < 60


def test_names_have_an_end() -> None:
    """Those of loggers and levels as well."""
    app = App()
    app.logger.name = "x" * 1_000_000
    app.logger.info("hello")
    assert len(app.line()["logger"]) == 200


def test_a_stack_that_was_asked_for_is_in_the_line() -> None:
    """`stack_info=True` works as with the standard library's formatter."""
    app = App()
    app.logger.warning("how did we get here?", stack_info=True)
    assert "test_a_stack_that_was_asked_for_is_in_the_line" in app.line()["stack"]


def test_secrets_are_redacted_wherever_they_stand() -> None:
    """In the message, in its arguments, in an exception's text and under a key."""
    app = App()
    try:
        raise ConnectionError("postgresql://divan:hunter2@db/divan")
    except ConnectionError:
        app.logger.exception("token=%s of %s", "hunter2", "ann@example.org", extra={"api_key": "hunter2"})
    written = app.written()
    assert written
    assert b"hunter2" not in written
    assert b"ann@example.org" not in written


# Hostile input.


def deep() -> list[object]:
    nested: list[object] = []
    for _ in range(sys.getrecursionlimit() * 2):
        nested = [nested]
    return nested


def circular() -> dict[str, object]:
    circle: dict[str, object] = {}
    circle["again"] = circle
    return circle


HOSTILE: dict[str, Callable[[], object]] = {
    "lone surrogate": lambda: "a\ud800b\udcff",
    "control characters": lambda: "a\x00\x1b[31m\r\nb\x7f\u2028",
    "a megabyte": lambda: "x" * 1_000_000,
    "unprintable object": Unprintable,
    "huge integer": lambda: 10**6000,
    "not a number": lambda: float("nan"),
    "infinity": lambda: float("-inf"),
    "circular": circular,
    "deep": deep,
    "bytes": lambda: b"\xff\xfe",
    "a set": lambda: {1, "two", None},
    "an exception": lambda: ValueError(Unprintable()),
    "keys of all kinds": lambda: {1: "a", None: "b", (1, 2): "c", "\udcff": "d"},
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("where", ["message", "argument", "formatted", "extra"])
def test_any_record_makes_one_line_of_strict_json(value: Callable[[], object], where: str) -> None:
    """The caller notices nothing, and the line is there."""
    app = App()
    if where == "message":
        app.logger.info(value())
    elif where == "argument":
        app.logger.info("got %s", value())
    elif where == "formatted":
        app.logger.info("got %r and %5.1f", value(), value())
    else:
        app.logger.info("got it", extra={"value": value(), "more": [value()]})
    written = app.written()
    assert written.count(b"\n") == 1
    assert strict(written)["logger"] == "shop.orders"
    assert len(written) < 20_000


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_any_bound_field_makes_one_line_of_strict_json(value: Callable[[], object]) -> None:
    """The same for the fields of an access line."""
    observed = Observed()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        observed.obs.log.bind(value=value(), more=[value()])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    anyio.run(converse, build_stack(app, observed.obs, [AccessLogMiddleware]), http_scope())
    observed.obs.log.sink.flush()
    written = observed.stream.getvalue()
    assert written.count(b"\n") == 1
    assert strict(written)["status"] == 200
    assert len(written) < 20_000


@pytest.mark.parametrize(
    ("template", "arguments", "message"),
    [
        ("100% sure of %s", ("tea",), "100% sure of %s [TypeError while formatting]"),
        ("%d cups", ("three",), "%d cups [TypeError while formatting]"),
        ("%s and %s", ("tea",), "%s and %s [TypeError while formatting]"),
        ("no place", ("tea",), "no place [TypeError while formatting]"),
        ("%(cups)d", ({"plates": 1},), "%(cups)d [KeyError while formatting]"),
        ("%s", (Unprintable(),), "%s [RuntimeError while formatting]"),
        ("half of %", ("tea",), "half of % [ValueError while formatting]"),
    ],
)
def test_a_message_that_does_not_fit_its_arguments(template: str, arguments: tuple[object, ...], message: str) -> None:
    """The line shows the template and what went wrong, and none of the arguments."""
    app = App()
    app.logger.info(template, *arguments)
    assert app.line()["msg"] == message


def test_a_logger_whose_name_cannot_be_written() -> None:
    """A name may be made of anything, for example of a file's."""
    app = App()
    app.logger.name = "upload.\udcff"
    app.logger.info("hello")
    assert app.line()["msg"] == "hello"


def test_extra_fields_whose_names_are_no_text() -> None:
    """The standard library lets them pass."""
    app = App()
    fields: dict[Any, object] = {7: "seven", None: "none"}
    app.logger.info("hello", extra=fields)
    assert app.line()["msg"] == "hello"


def test_extra_fields_do_not_overwrite_the_lines_own() -> None:
    """An attacker who chooses a key cannot forge another request's line."""
    app = App()
    app.logger.info("hello", extra={"level": "CRITICAL", "request_id": "forged", "ts": "now", "status": 200})
    line = app.line()
    assert (line["level"], line["request_id"], line["status"]) == ("INFO", "", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared() -> App:
    """One pipeline for all examples; each reads its own line."""
    return App()


@pytest.mark.slow
@given(message=st.text(st.characters()), arguments=st.lists(JSON, max_size=3), extra=st.dictionaries(st.text(), JSON))
@example(message="%", arguments=[None], extra={})
@example(message="%s" * 3, arguments=["\udcff"] * 3, extra={"\udcff": "\ud800"})
def test_any_message_with_any_arguments_makes_one_line(
    shared: App, message: str, arguments: list[object], extra: dict[str, object]
) -> None:
    """Strict JSON, one line, whatever was logged."""
    stream = shared.observed.stream
    stream.seek(0)
    stream.truncate()
    # Names that the standard library itself refuses.
    reserved = {*vars(logging.makeLogRecord({})), "message", "asctime"}
    shared.logger.info(message, *arguments, extra={key: extra[key] for key in extra if key not in reserved})
    written = shared.written()
    assert written.count(b"\n") == 1
    assert list(strict(written))[: len(SPEC_FIELDS)] == SPEC_FIELDS


# Time.


@pytest.mark.parametrize(
    ("unix_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_000_000_000, "1970-01-01T00:00:01.000000Z"),
        (1_795_490_000_123_456_789, "2026-11-24T03:13:20.123456Z"),
        (951_782_400_000_000_999, "2000-02-29T00:00:00.000000Z"),
    ],
)
def test_a_timestamp_is_utc_with_microseconds(unix_ns: int, text: str) -> None:
    """RFC 3339, so that lines of all hosts sort as text."""
    assert timestamp(unix_ns) == text


def test_lines_are_written_as_utf_8() -> None:
    """Text of any language stands in the line as it is."""
    stream = io.BytesIO()
    bundle = Observability.from_env({}, log_stream=stream)
    PipelineHandler(bundle.log).handle(logging.makeLogRecord({"msg": "çay ☕", "levelno": 20, "levelname": "INFO"}))
    bundle.log.sink.flush()
    assert "çay ☕".encode() in stream.getvalue()
    assert orjson.loads(stream.getvalue())["msg"] == "çay ☕"
