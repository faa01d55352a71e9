"""The pipeline: which lines are written, and what happens when one cannot be."""

from __future__ import annotations

import io
import logging
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi import Observability, build_stack
from divan_obs_asgi.logs import PipelineHandler
from divan_obs_asgi.logs.sink import QUEUE_SIZE
from divan_obs_asgi.middlewares import AccessLogMiddleware
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.patience import PATIENCE_S
from tests.stacks import Observed

# Everything above one line a second is load, and none of it is kept.
UNDER_LOAD = {"LOG_SAMPLING_BUDGET": "1", "LOG_SAMPLING_RATE_INFO": "0"}


def logger_of(observed: Observed) -> logging.Logger:
    logger = logging.Logger("shop")
    logger.addHandler(PipelineHandler(observed.obs.log))
    return logger


def answering(status: int) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    return app


async def ask(app: ASGIApp, times: int) -> None:
    for _ in range(times):
        await converse(app, http_scope())


@pytest.mark.slow
@given(st.lists(st.sampled_from([200, 404, 500, 503]), min_size=10, max_size=40))
def test_an_error_is_never_sampled(statuses: list[int]) -> None:
    """Whatever the load, every failed request has its line, which stands for itself alone."""
    observed = Observed(UNDER_LOAD)
    apps = {status: build_stack(answering(status), observed.obs, [AccessLogMiddleware]) for status in set(statuses)}

    async def ask_all() -> None:
        for status in statuses:
            await converse(apps[status], http_scope())

    anyio.run(ask_all)
    errors = [line for line in observed.lines() if line["level"] == "ERROR"]
    assert [line["status"] for line in errors] == [status for status in statuses if status >= 500]
    assert {line["sample_rate"] for line in errors} <= {1.0}


def test_under_load_a_share_of_the_access_lines_is_written() -> None:
    """And each says which."""
    observed = Observed({"LOG_SAMPLING_BUDGET": "1", "LOG_SAMPLING_RATE_INFO": "0.5"})
    stack = build_stack(
        answering(200), observed.obs, ["divan_obs_asgi.middlewares.RequestIdMiddleware", AccessLogMiddleware]
    )
    anyio.run(ask, stack, 400)
    rates = [line["sample_rate"] for line in observed.lines()]
    assert set(rates) == {1.0, 0.5}
    # Six standard deviations around one half, and the budget of the second or two that it took.
    assert 140 <= rates.count(0.5) <= 260


def test_under_load_a_requests_lines_are_kept_or_dropped_together() -> None:
    """All lines of a request are kept, or none of them."""
    observed = Observed({"LOG_SAMPLING_BUDGET": "2", "LOG_SAMPLING_RATE_INFO": "0.5", "LOG_RECORDER_LINES": "0"})
    logger = logger_of(observed)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logger.info("one")
        logger.debug("two")
        await answering(200)(scope, receive, send)

    stack = build_stack(app, observed.obs, ["divan_obs_asgi.middlewares.RequestIdMiddleware", AccessLogMiddleware])
    anyio.run(ask, stack, 60)
    lines: dict[str, list[float]] = {}
    for line in observed.lines():
        lines.setdefault(line["request_id"], []).append(line["sample_rate"])
    assert len(lines) > 10
    # Also that request in whose middle the budget of the second was used up.
    assert all(rates in ([1.0] * 3, [0.5] * 3) for rates in lines.values())


def test_warnings_of_the_application_are_never_sampled() -> None:
    """Nor is what is written outside of requests, a job's lines for example."""
    observed = Observed(UNDER_LOAD)
    logger = logger_of(observed)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logger.info("info")
        logger.warning("warning")
        logger.error("error")
        await answering(200)(scope, receive, send)

    anyio.run(ask, build_stack(app, observed.obs, [AccessLogMiddleware]), 10)
    messages = [line["msg"] for line in observed.lines()]
    assert (messages.count("warning"), messages.count("error")) == (10, 10)
    # One for each second that it took.
    assert messages.count("info") + messages.count("GET __unmatched__") < 10
    before = len(messages)
    for _ in range(10):
        logger.info("a job")
    assert len(observed.lines()) == before + 10


def test_installed_on_the_root_logger_every_loggers_lines_are_taken() -> None:
    """Those of libraries, and of loggers that were made before."""
    before = logging.getLogger("tests.made_before")
    observed = Observed()
    observed.obs.log.install()
    before.info("one")
    observed.obs.logger("tests.made_afterwards").info("two")
    before.debug("not this")
    assert [(line["logger"], line["msg"]) for line in observed.lines()] == [
        ("tests.made_before", "one"),
        ("tests.made_afterwards", "two"),
    ]


def test_a_filter_on_the_handler_is_asked() -> None:
    """As on any handler of the standard library: it may refuse a record, or give another."""
    observed = Observed()
    logger, handler = logging.Logger("shop"), PipelineHandler(observed.obs.log)
    handler.addFilter(lambda record: "secret" not in record.msg)
    logger.addHandler(handler)
    logger.info("a secret")
    logger.info("hello")
    assert [line["msg"] for line in observed.lines()] == ["hello"]


def test_a_line_that_cannot_be_made_is_counted_and_the_caller_goes_on() -> None:
    """A log call never raises; the line shows that there was a record, without its content."""
    observed = Observed()
    handler = PipelineHandler(observed.obs.log)
    handler.handle(logging.makeLogRecord({"msg": "hello", "levelno": "not a number"}))
    (line,) = observed.lines()
    assert (line["msg"], line["logger"]) == ("[redacted:unreadable]", "NoneType")
    assert observed.value("divan_obs_errors_total", component="logs") == 1


@pytest.mark.parametrize("created", ["yesterday", float("nan"), float("inf"), -1, None, 1e300])
def test_a_record_of_no_time_is_of_now(created: object) -> None:
    """A record that another library made may carry anything."""
    observed = Observed()
    PipelineHandler(observed.obs.log).handle(logging.makeLogRecord({"msg": "hello", "levelno": 20, "created": created}))
    (line,) = observed.lines()
    assert (line["msg"], line["ts"][:2]) == ("hello", "20")


def test_a_filter_that_fails_lets_nothing_out() -> None:
    """It may have been there to hold something back (P37): the caller goes on, and the line is a marker."""
    observed = Observed()
    logger, handler = logging.Logger("shop"), PipelineHandler(observed.obs.log)
    handler.addFilter(lambda record: record.missing)  # type: ignore[attr-defined]
    logger.addHandler(handler)
    logger.info("a secret")
    assert [line["msg"] for line in observed.lines()] == ["[redacted:unreadable]"]


def test_a_stream_that_fails_is_counted_and_the_request_is_served() -> None:
    """A full disk does not make requests fail."""

    class Full(io.BytesIO):
        is_full = True

        def write(self, data: Any, /) -> int:
            if self.is_full:
                raise OSError("no space left on device")
            return super().write(data)

    observed, stream = Observed(), Full()
    bundle = Observability.from_env({}, log_stream=stream)
    done = anyio.run(converse, build_stack(answering(200), bundle, [AccessLogMiddleware]), http_scope())
    bundle.log.sink.flush()
    assert (done.status, done.error) == (200, None)
    errors = bundle.metrics.registry.get_sample_value("divan_obs_errors_total", {"component": "sink"})
    assert errors is not None
    assert errors >= 1
    assert observed.lines() == []
    # It is tried again, and would be reported again, in the middle of another test.
    stream.is_full = False
    assert bundle.log.sink.flush(PATIENCE_S)
    assert b"outcome" in stream.getvalue()


def test_dropped_lines_are_counted_by_level() -> None:
    """`divan_log_records_dropped_total{level}` counts the lost lines."""

    class Stuck(io.BytesIO):
        """Logs from inside its first write: nothing is taken out of the queue meanwhile."""

        def write(self, data: object, /) -> int:
            if self.tell():
                return 0
            super().write(b"x")
            for _ in range(QUEUE_SIZE):
                bundle.log.sink.put(b"{}", logging.INFO)
            logger.info("one too many")
            logger.debug("two too many")
            return 0

    bundle = Observability.from_env({}, log_stream=Stuck())
    logger = logging.Logger("shop")
    logger.addHandler(PipelineHandler(bundle.log))
    logger.info("hello")
    bundle.log.sink.flush()
    values = {
        level: bundle.metrics.registry.get_sample_value("divan_log_records_dropped_total", {"level": level})
        for level in ("INFO", "DEBUG")
    }
    assert values == {"INFO": 1.0, "DEBUG": 1.0}
