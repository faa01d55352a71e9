"""A request with the signed header: it writes all of its lines, whatever level and sampling say."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.debug_header import DebugKey
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.middlewares import AccessLogMiddleware, MetricsMiddleware, RequestIdMiddleware
from divan_obs_asgi.ops.audit import AUDIT_LOGGER, MAX_ANONYMOUS
from divan_obs_asgi.stack.build import MiddlewareFactory
from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.stacks import CORE, Observed, loops, run_on

KEY = "0123456789abcdef"
# Nothing is written below WARNING, and no request is slow.
QUIET = {"OBS_DEBUG_KEY": KEY, "LOG_LEVEL": "WARNING", "LOG_SLOW_MS": "0", "OBS_ENV": "test"}
STACK: Sequence[MiddlewareFactory] = (RequestIdMiddleware, AccessLogMiddleware)

logger = logging.getLogger("tests.debugged")


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield


class Shop:
    """An application that logs, and notes the headers that it gets."""

    def __init__(self, lines: int = 1) -> None:
        self.headers: list[list[Any]] = []
        self.lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers.append([pair for pair in scope["headers"] if pair[0] != b"host"])
        for number in range(self.lines):
            logger.debug("step %d", number)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})


class Service:
    def __init__(self, app: ASGIApp | None = None, stack: Sequence[MiddlewareFactory] = STACK, **flags: str) -> None:
        self.observed = Observed({**QUIET, **flags})
        self.observed.obs.log.install()
        self.shop = Shop() if app is None else app
        self.stack = build_stack(self.shop, self.observed.obs, stack)

    def ask(self, *values: str | bytes, backend: str = "asyncio", kind: str = "http") -> list[str]:
        """Request with these values of the header; return the messages of the lines that this has written."""
        before = len(self.observed.lines())
        pairs = [(b"x-divan-debug", one if isinstance(one, bytes) else one.encode()) for one in values]
        scope = http_scope(headers=pairs) if kind == "http" else websocket_scope(headers=pairs)
        scope["client"] = ("192.0.2.7", 80)
        incoming = () if kind == "http" else ({"type": "websocket.connect"},)
        conversation = run_on(backend, converse, self.stack, scope, incoming)
        assert conversation.error is None
        return [line["msg"] for line in self.observed.lines()[before:] if line["logger"] != "asyncio"]


def valid() -> str:
    return DebugKey(KEY).header()


def old() -> str:
    return DebugKey(KEY).header(1_000_000.0)


def forged() -> str:
    return DebugKey(KEY + KEY).header()


USED = "GET __unmatched__: 200, for the holder of OBS_DEBUG_KEY at 192.0.2.7."
IGNORED = "GET __unmatched__: invalid x-divan-debug ignored, for an unauthenticated client at 192.0.2.7."


def test_one_request_writes_its_debug_lines() -> None:
    """The one that carries the header, and no other; its access line is marked."""
    service = Service()
    assert service.ask() == []
    assert service.ask(valid()) == ["step 0", "GET __unmatched__", USED]
    assert service.ask() == []
    access = service.observed.lines()[1]
    assert access["debug"] is True
    assert access["sample_rate"] == 1.0


@pytest.mark.parametrize("value", [forged, old, lambda: "", lambda: "x", lambda: "v" * 10_000, lambda: valid() + "x"])
def test_an_invalid_header_changes_nothing_but_the_audit_log(value: Any) -> None:
    service = Service()
    assert service.ask(value()) == [IGNORED]


def test_the_application_does_not_see_the_header() -> None:
    """Valid or not: nothing that logs or traces headers can leak it."""
    service = Service()
    for value in (valid(), forged(), old()):
        service.ask(value)
    service.ask(valid(), valid())
    assert isinstance(service.shop, Shop)
    assert service.shop.headers == [[], [], [], []]


def test_without_the_key_the_header_is_any_other_header() -> None:
    service = Service(OBS_DEBUG_KEY="")
    assert service.ask(valid()) == []
    assert isinstance(service.shop, Shop)
    assert len(service.shop.headers[0]) == 1


def test_without_the_key_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that is off costs nothing."""
    service = Service(OBS_DEBUG_KEY="")
    assert [type(one) for one in service.observed.obs.observers._attached] == []


def test_several_middlewares_and_stacks_observe_it_once() -> None:
    """Also where a middleware of the application stands between ours, and a stack inside of another."""

    def between(app: ASGIApp, obs: object) -> ASGIApp:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

        return call

    service = Service(stack=(RequestIdMiddleware, between, MetricsMiddleware, between, AccessLogMiddleware))
    assert service.ask(valid()) == ["step 0", "GET __unmatched__", USED]
    service.stack = build_stack(service.stack, service.observed.obs, STACK)
    assert service.ask(valid()) == ["step 0", "GET __unmatched__", USED]


@pytest.mark.parametrize(("stack", "backend"), loops([(one,) for one in CORE[1:5]]))
def test_each_middleware_alone_is_enough(stack: Sequence[MiddlewareFactory], backend: str) -> None:
    service = Service(stack=stack)
    lines = service.ask(valid(), backend=backend)
    assert [one for one in lines if one != "GET __unmatched__"] == ["step 0", USED]


def test_a_websocket_can_be_debugged() -> None:
    service = Service()
    assert service.ask(valid(), kind="websocket") == [
        "step 0",
        "GET __unmatched__",
        "GET __unmatched__: 101, for the holder of OBS_DEBUG_KEY at 192.0.2.7.",
    ]


def test_sampling_drops_none_of_its_lines() -> None:
    service = Service(LOG_LEVEL="DEBUG", LOG_SAMPLING_BUDGET="1", LOG_SAMPLING_RATE_INFO="0")
    for _ in range(3):
        service.ask()
    assert service.ask() == []
    assert service.ask(valid()) == ["step 0", "GET __unmatched__", USED]


@pytest.mark.parametrize("flags", [{"LOG_RECORDER_LINES": "0"}, {"LOG_RECORDER_LEVEL": "ERROR"}])
def test_it_does_not_depend_on_the_flight_recorder(flags: dict[str, str]) -> None:
    """And more lines than the recorder keeps are written."""
    service = Service(Shop(lines=150), STACK, **flags)
    assert service.ask() == []
    assert len(service.ask(valid())) == 152


def test_the_recorder_keeps_its_own_level() -> None:
    """With a key, DEBUG records are made; a failed request still shows only what LOG_RECORDER_LEVEL says."""

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        logger.debug("small")
        logger.info("large")
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body"})

    service = Service(fails, LOG_RECORDER_LEVEL="INFO")
    assert service.ask() == ["large", "GET __unmatched__"]


def test_lines_of_libraries_stay_out() -> None:
    """They may hold data; LOG_RECORDER_LOGGERS names those that are wanted."""

    async def calls(scope: Scope, receive: Receive, send: Send) -> None:
        logging.getLogger("botocore.auth").debug("signing")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    assert "signing" not in Service(calls).ask(valid())
    assert "signing" in Service(calls, LOG_RECORDER_LOGGERS="botocore").ask(valid())


def test_a_task_that_outlives_the_request_does_not_log_for_ever() -> None:
    async def main() -> None:
        done = anyio.Event()

        async def outlives(scope: Scope, receive: Receive, send: Send) -> None:
            record = current_record.get()

            async def work() -> None:
                await done.wait()
                current_record.set(record)
                for _ in range(1000):
                    logger.debug("still here")

            group.start_soon(work)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        service = Service(outlives)
        async with anyio.create_task_group() as group:
            await converse(service.stack, http_scope(headers=[(b"x-divan-debug", valid().encode())]))
            done.set()
        messages = [line["msg"] for line in service.observed.lines()]
        assert messages.count("still here") == 100

    anyio.run(main)


@pytest.mark.parametrize("value", [valid(), forged(), old()], ids=["valid", "forged", "old"])
def test_no_line_shows_the_value(value: str) -> None:
    """Not even where the application got it in another way."""

    async def echoes(scope: Scope, receive: Receive, send: Send) -> None:
        logger.error("%s", value)
        raise ValueError(value)

    service = Service(echoes)
    before = len(service.observed.lines())
    run_on("asyncio", converse, service.stack, http_scope(headers=[(b"x-divan-debug", value.encode())]))
    lines = service.observed.lines()[before:]
    assert len(lines) == 3
    assert not any(part in str(lines) for part in value.split("."))


@given(st.binary(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@example(b'"')
@example(b"e")
def test_a_client_does_not_decide_what_lines_say(value: bytes) -> None:
    """An invalid value is in no way part of the lines."""
    assert Service().ask(value) == [IGNORED]


def test_forged_headers_have_few_lines() -> None:
    """Anybody can send them: the limit of the audit log applies. Every valid one has its line."""
    service = Service()
    ignored = [service.ask(forged()) for _ in range(MAX_ANONYMOUS + 5)]
    assert ignored == [[IGNORED]] * MAX_ANONYMOUS + [[]] * 5
    assert service.ask(valid())[-1] == USED


def test_the_audit_line_has_the_ids_of_the_request() -> None:
    service = Service()
    service.ask(valid())
    debug, access, audit = service.observed.lines()
    assert audit["logger"] == AUDIT_LOGGER
    assert audit["request_id"] == access["request_id"] == debug["request_id"] != ""


def test_an_audit_log_that_fails_changes_no_response(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("divan_obs_asgi.ops.audit.Audit.used", fail)
    assert "step 0" in service.ask(valid())
    assert service.observed.value("divan_obs_errors_total", component="debug_requests") == 1
