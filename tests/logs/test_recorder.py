"""The flight recorder: a failed request shows every line, including suppressed ones."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.channel import Channel
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.logs import FlightRecorder, PipelineHandler
from divan_obs_asgi.logs.recorder import Ring
from divan_obs_asgi.middlewares import AccessLogMiddleware, MetricsMiddleware, RequestIdMiddleware
from divan_obs_asgi.testing import SCENARIOS, Scenario, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.stacks import Observed

# Everything above one line a second is load, and none of it is kept.
UNDER_LOAD = {"LOG_SAMPLING_BUDGET": "1", "LOG_SAMPLING_RATE_INFO": "0"}
# On a busy machine any request may take more than a second.
NEVER_SLOW = {"LOG_SLOW_MS": "0"}
STACK = [RequestIdMiddleware, AccessLogMiddleware]


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield


def story(logger: logging.Logger, status: int = 200, error: Exception | None = None) -> ASGIApp:
    """Return an application that logs at three levels."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logger.debug("one")
        await anyio.to_thread.run_sync(logger.info, "two")
        logger.warning("three")
        if error is not None:
            raise error
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    return app


def written_messages(observed: Observed) -> list[tuple[str, bool]]:
    """Return the messages that were written, each with whether it was recorded."""
    return [(line["msg"], line.get("recorded", False)) for line in observed.lines()]


def loaded(**environ: str) -> Observed:
    """Return an installed pipeline under load."""
    observed = Observed({**UNDER_LOAD, **NEVER_SLOW, **environ})
    observed.obs.log.install()
    logging.getLogger("warm_up").info("this uses up nothing: it belongs to no request")
    return observed


async def ask(app: ASGIApp, times: int = 1) -> None:
    for _ in range(times):
        await converse(app, http_scope())


@pytest.mark.parametrize(
    ("status", "error"), [(500, None), (503, None), (200, ValueError("on purpose"))], ids=["500", "503", "raises"]
)
def test_a_failed_request_shows_all_its_lines(status: int, error: Exception | None) -> None:
    """Also those below LOG_LEVEL, and from the framework's worker threads; in order, the access line last."""
    observed = loaded()
    app = story(logging.getLogger("tests.recorder"), status, error)
    anyio.run(ask, build_stack(app, observed.obs, STACK))
    *_, one, two, three, access = sorted(observed.lines(), key=lambda line: line["ts"])
    assert [(line["msg"], line.get("recorded")) for line in (one, two, three)] == [
        ("one", True),
        # The first line of its second is within the budget.
        ("two", two.get("recorded")),
        ("three", None),
    ]
    assert (one["level"], access["level"]) == ("DEBUG", "ERROR")
    assert len({line["request_id"] for line in (one, two, three, access)}) == 1


def test_under_one_in_ten_every_failed_request_is_complete() -> None:
    """At 1:10 a tenth of the successful requests is logged, and all DEBUG lines of each failed one."""
    observed = Observed({"LOG_SAMPLING_BUDGET": "1", "LOG_SAMPLING_RATE_INFO": "0.1", **NEVER_SLOW})
    observed.obs.log.install()
    logger = logging.getLogger("tests.recorder")
    good, bad = (build_stack(story(logger, status), observed.obs, STACK) for status in (200, 500))

    async def ask_both() -> None:
        for number in range(200):
            await converse(bad if number % 10 == 0 else good, http_scope())

    anyio.run(ask_both)
    lines: dict[str, list[str]] = {}
    for line in observed.lines():
        lines.setdefault(line["request_id"], []).append(line["msg"])
    failed = [messages for messages in lines.values() if "one" in messages]
    assert len(failed) == 20
    assert all(sorted(messages) == ["GET __unmatched__", "one", "three", "two"] for messages in failed)


def test_a_request_that_went_well_leaves_nothing() -> None:
    """Its lines go with its record."""
    observed = loaded()
    stack = build_stack(story(logging.getLogger("tests.recorder")), observed.obs, STACK)
    anyio.run(ask, stack, 3)
    assert not any(recorded for _, recorded in written_messages(observed))
    assert "one" not in [message for message, _ in written_messages(observed)]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_outcome_except_ok_emits_the_buffered_lines(scenario: Scenario) -> None:
    """Whatever the outcome was called."""
    observed = Observed(NEVER_SLOW)
    observed.obs.log.install()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logging.getLogger("tests.recorder").debug("detail")
        await scenario.app(scope, receive, send)

    async def connect() -> None:
        stack = build_stack(app, observed.obs, STACK)
        await converse(stack, scenario.scope(), scenario.incoming, hangs_up_after=scenario.hangs_up_after)

    anyio.run(connect)
    ended_well = scenario.outcome == "ok" and scenario.status < 500
    assert (("detail", True) in written_messages(observed)) is not ended_well


def test_it_needs_no_access_line() -> None:
    """Any middleware that opens a record is enough."""
    observed = loaded()
    anyio.run(ask, build_stack(story(logging.getLogger("tests.recorder"), 500), observed.obs, [MetricsMiddleware]))
    assert ("one", True) in written_messages(observed)


def test_a_line_after_a_failed_request_is_written_at_once() -> None:
    """That of a background task, for example."""
    observed = loaded()
    logger = logging.getLogger("tests.recorder")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await story(logger, 500)(scope, receive, send)
        logger.debug("afterwards")

    anyio.run(ask, build_stack(app, observed.obs, STACK))
    assert ("afterwards", True) in written_messages(observed)


def test_a_task_that_outlives_its_request_does_not_log_everything_forever() -> None:
    """A consumer that a failed or slow request has started is soon as quiet as LOG_LEVEL says."""
    observed = Observed({"LOG_RECORDER_LINES": "3"})
    observed.obs.log.install()
    logger = logging.getLogger("tests.recorder")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logger.debug("before")
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body"})
        for number in range(10):
            logger.debug("detail %d", number)
            logger.info("news %d", number)

    anyio.run(ask, build_stack(app, observed.obs, STACK))
    details = [message for message, recorded in written_messages(observed) if recorded]
    assert details == ["before", "detail 0", "detail 1", "detail 2"]
    assert ("news 9", False) in written_messages(observed)


def test_a_task_that_outlives_its_request_is_sampled_by_the_current_load() -> None:
    """And not by what there was when the request began, hours ago."""
    observed = loaded()
    logger = logging.getLogger("tests.recorder")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logger.info("uses up the budget")
        logger.info("under load")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        observed.obs.log._sampler._second = -1  # Another one begins.
        logger.info("long afterwards")

    anyio.run(ask, build_stack(app, observed.obs, STACK), 2)
    assert written_messages(observed).count(("long afterwards", False)) == 2


@pytest.mark.parametrize("status", [200, 500])
def test_a_secret_is_redacted_when_it_is_written(status: int) -> None:
    """And what the line was made of is gone with the request, whether it is written or not."""
    observed = loaded()
    logger = logging.getLogger("tests.recorder")
    kept: list[weakref.ref[Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logger.debug("token=%s", "hunter2")
        kept.append(weakref.ref(scope["divan_obs_asgi.record"].kept_lines))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    anyio.run(ask, build_stack(app, observed.obs, STACK))
    assert kept[0]() is None
    assert [message for message, recorded in written_messages(observed) if recorded] == (
        ["token=[redacted:credential]"] if status == 500 else []
    )


def test_zero_lines_disable_the_recorder() -> None:
    """And then the root logger has the level that LOG_LEVEL says."""
    observed = loaded(LOG_RECORDER_LINES="0")
    assert logging.getLogger().level == logging.INFO
    anyio.run(ask, build_stack(story(logging.getLogger("tests.recorder"), 500), observed.obs, STACK))
    assert ("one", True) not in written_messages(observed)


def test_the_level_of_the_recorder_is_a_flag() -> None:
    """With INFO, DEBUG lines cost what they cost without a recorder."""
    observed = loaded(LOG_RECORDER_LEVEL="INFO", LOG_LEVEL="WARNING")
    logger = logging.getLogger("tests.recorder")
    assert (logger.isEnabledFor(logging.DEBUG), logger.isEnabledFor(logging.INFO)) == (False, True)
    anyio.run(ask, build_stack(story(logger, 500), observed.obs, STACK))
    assert [message for message, recorded in written_messages(observed) if recorded] == ["two"]


def test_an_access_line_below_the_level_is_written_with_the_others() -> None:
    """LOG_LEVEL=CRITICAL does not hide a failed request."""
    observed = loaded(LOG_LEVEL="CRITICAL")
    anyio.run(ask, build_stack(story(logging.getLogger("tests.recorder"), 500), observed.obs, STACK))
    assert written_messages(observed) == [("one", True), ("two", True), ("three", True), ("GET __unmatched__", True)]


# The judgement of a finished record.


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def _receive() -> Message:
    raise AssertionError("not asked")


async def _send(message: Message) -> None: ...


def finished_after(seconds: float, scope: Scope) -> RequestRecord:
    clock = Clock()
    faults = InternalErrors(count=lambda component: None)
    record = RequestRecord(scope, RouteTemplates(None), faults, clock)
    channel = Channel(record, _receive, _send)
    clock.now = seconds

    async def answer() -> None:
        if scope["type"] == "websocket":
            await channel.send({"type": "websocket.accept"})
            await channel.send({"type": "websocket.close"})
        else:
            await channel.send({"type": "http.response.start", "status": 200})
            await channel.send({"type": "http.response.body", "body": b"done"})

    anyio.run(answer)
    return record


@pytest.mark.parametrize(
    ("slow_s", "took_s", "scope", "emits"),
    [
        (1.0, 1.5, http_scope(), True),
        (1.0, 0.9, http_scope(), False),
        (0.0, 900.0, http_scope(), False),
        (1.0, 900.0, websocket_scope(), False),
    ],
    ids=["slow", "fast", "no limit", "a WebSocket"],
)
def test_a_slow_request_emits_its_buffered_lines(slow_s: float, took_s: float, scope: Scope, emits: bool) -> None:
    """LOG_SLOW_MS is for requests; a WebSocket lives for minutes, and what waits for news does so on purpose."""
    recorder = FlightRecorder(10, 1000, slow_s, lambda line, level: None)
    record = finished_after(took_s, scope)
    assert recorder.emits_for(record) is emits
    record.waits = True
    assert not recorder.emits_for(record)


# The ring.


@given(st.lists(st.binary(max_size=40)), st.integers(1, 10), st.integers(1, 100))
def test_a_ring_keeps_the_newest_that_fit(lines: list[bytes], max_lines: int, max_bytes: int) -> None:
    """Never more lines, never more bytes, and none that is older than one that was let go."""
    ring = Ring(max_lines, max_bytes)
    for line in lines:
        ring.append(line, logging.INFO)
    kept: list[Any] = [line for line, _ in ring.lines]
    assert len(kept) <= max_lines
    assert sum(map(len, kept)) <= max_bytes
    assert kept == lines[len(lines) - len(kept) :]
    # One more would be too many.
    if len(kept) < len(lines) and len(kept) < max_lines:
        assert sum(map(len, lines[len(lines) - len(kept) - 1 :])) > max_bytes


def test_a_handler_of_no_installed_pipeline_writes_what_it_gets() -> None:
    """A logger of one's own decides alone."""
    observed = Observed()
    logger = logging.Logger("own")
    logger.addHandler(PipelineHandler(observed.obs.log))
    logger.debug("hello")
    assert written_messages(observed) == [("hello", False)]
