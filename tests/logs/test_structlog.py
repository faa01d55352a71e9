"""structlog's events in the same lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, cast

import anyio
import pytest
import structlog

from divan_obs_asgi import build_stack
from divan_obs_asgi.logs import structlog_processor
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.stacks import Observed


@pytest.fixture
def observed() -> Iterator[Observed]:
    """A pipeline on the root logger, and structlog set up as docs/logs.md shows it."""
    with root_logger_kept():
        observed = Observed()
        observed.obs.log.install()
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, cast(Any, structlog_processor)],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        yield observed
        structlog.reset_defaults()


def log() -> Any:
    return structlog.get_logger("shop")


def test_an_event_is_a_line(observed: Observed) -> None:
    """The event is the message, what is bound are its fields, redacted."""
    log().bind(order=7, password="hunter2").warning("sold 100 %", cups=3)
    (line,) = observed.lines()
    assert (line["msg"], line["level"], line["logger"]) == ("sold 100 %", "WARNING", "shop")
    assert (line["order"], line["cups"], line["password"]) == (7, 3, "[redacted:credential]")


def test_any_name_may_be_bound(observed: Observed) -> None:
    """Also those that `extra` refuses; none replaces a field of the line's own."""
    log().info("hello", name="tea", message="m", msg="x", args=(1,), level="FORGED", ts="now", filename="f")
    (line,) = observed.lines()
    assert (line["msg"], line["level"]) == ("hello", "INFO")
    assert (line["name"], line["message"], line["args"], line["filename"]) == ("tea", "m", [1], "f")
    assert line["ts"] != "now"


def test_an_exception_is_in_the_line(observed: Observed) -> None:
    """As with the standard library."""
    try:
        raise LookupError("no tea")
    except LookupError:
        log().exception("not sold")
    (line,) = observed.lines()
    assert (line["level"], line["error"]["type"]) == ("ERROR", "LookupError")


def test_an_event_of_a_failed_request_is_recorded(observed: Observed) -> None:
    """With the request's ids, also below the level."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        log().debug("looking for %s", "tea")
        raise LookupError

    anyio.run(converse, build_stack(app, observed.obs), http_scope())
    detail, access = observed.lines()
    assert (detail["msg"], detail["recorded"]) == ("looking for tea", True)
    assert detail["request_id"] == access["request_id"] != ""


def test_a_logger_from_before_structlog_is_the_applications_too(observed: Observed) -> None:
    """The standard library takes structlog's own file for the place of such a log call."""
    logging.setLoggerClass(logging.Logger)
    logging.getLogger("made_before")
    structlog.stdlib.LoggerFactory()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        structlog.get_logger("made_before").debug("looking for tea")
        raise LookupError

    anyio.run(converse, build_stack(app, observed.obs), http_scope())
    detail, _ = observed.lines()
    assert (detail["msg"], detail["logger"]) == ("looking for tea", "made_before")


def test_it_needs_no_structlog() -> None:
    """It is a function of three arguments."""
    arguments, keywords = structlog_processor(logging.getLogger("shop"), "info", {"event": "hello", "a": 1})
    assert arguments == ("hello",)
    assert keywords == {"extra": {"divan_obs_fields": {"a": 1}}}
