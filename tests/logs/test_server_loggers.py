"""What servers log comes as JSON, once."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import uvicorn.config

from divan_obs_asgi import build_stack
from divan_obs_asgi.testing import converse
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.stacks import Observed


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield


class Elsewhere(logging.Handler):
    """A handler that sends errors to a service."""

    def emit(self, record: logging.LogRecord) -> None: ...


def lines(observed: Observed) -> list[tuple[str, str]]:
    return [(line["logger"], line["msg"]) for line in observed.lines()]


def start_uvicorn() -> None:
    """Set up logging as the `uvicorn` command does, before it imports the application."""
    logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)


def log_as_uvicorn() -> None:
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted\x1b[0m"})
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", "/?token=s3cret", "1.1", 200)


def test_uvicorn_writes_one_format(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own handlers are taken off, and its access line is switched off."""
    start_uvicorn()
    observed = Observed()
    observed.obs.log.install()
    log_as_uvicorn()
    assert lines(observed) == [("uvicorn.error", "Started")]
    assert "color_message" not in observed.lines()[0]
    assert capsys.readouterr() == ("", "")


def test_uvicorns_access_line_stays_if_ours_is_off(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, and redacted."""
    start_uvicorn()
    observed = Observed()
    observed.obs.log.install(own_access_line=False)
    log_as_uvicorn()
    (_, access) = observed.lines()
    assert (access["logger"], access["level"]) == ("uvicorn.access", "INFO")
    assert "s3cret" not in access["msg"]
    assert capsys.readouterr() == ("", "")


def test_a_server_that_is_set_up_later_is_adopted_when_the_application_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`uvicorn.run(obs.wrap(app))` configures logging after `wrap`."""
    observed = Observed()
    observed.obs.log.install()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    start_uvicorn()
    messages: list[Any] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    anyio.run(converse, build_stack(app, observed.obs), {"type": "lifespan", "state": {}}, messages)
    log_as_uvicorn()
    assert lines(observed) == [("uvicorn.error", "Started")]
    assert capsys.readouterr() == ("", "")


def test_a_handler_that_sends_elsewhere_stays() -> None:
    """Only what writes to a stream or a file would be a second copy."""
    handler = Elsewhere()
    logging.getLogger("uvicorn.error").addHandler(handler)
    Observed().obs.log.install()
    assert handler in logging.getLogger("uvicorn.error").handlers


def test_without_a_pipeline_servers_keep_their_own() -> None:
    """An application that only builds a stack has taken over nothing."""
    start_uvicorn()
    before = list(logging.getLogger("uvicorn").handlers)
    observed = Observed()
    observed.obs.log.adopt_server_loggers()
    assert before
    assert logging.getLogger("uvicorn").handlers == before
