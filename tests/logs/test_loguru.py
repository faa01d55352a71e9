"""loguru's records in the same lines."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from loguru import logger

import divan_obs_asgi as obs
from divan_obs_asgi.logs.loguru_bridge import warn_of_loguru
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S
from tests.stacks import Observed

# Collected in every process of the tests, where its own handler would be warned of.
logger.remove()


class InterceptHandler(logging.Handler):
    """As loguru's documentation has it: the standard library's records go to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(depth=6, exception=record.exc_info).log(record.levelname, record.getMessage())


@pytest.fixture
def observed() -> Iterator[Observed]:
    """A pipeline on the root logger, and loguru set up as docs/logs.md shows it."""
    with root_logger_kept():
        observed = Observed({"LOG_LEVEL": "DEBUG"})
        observed.obs.log.install()
        logger.configure(handlers=[obs.loguru_handler()])  # type: ignore[list-item]
        yield observed
        logger.remove()


def test_a_record_is_a_line(observed: Observed) -> None:
    """With its message formatted; what is bound are its fields, flat and redacted."""
    logger.bind(order=7, password="hunter2").warning("sold {cups} cups, 100 %", cups=3)
    (line,) = observed.lines()
    assert (line["msg"], line["level"], line["logger"]) == ("sold 3 cups, 100 %", "WARNING", __name__)
    assert (line["order"], line["cups"], line["password"]) == (7, 3, "[redacted:credential]")
    assert "extra" not in line


def test_any_name_may_be_bound(observed: Observed) -> None:
    """None replaces a field of the line's own."""
    logger.bind(name="tea", message="m", msg="x", args=(1,), level="FORGED", ts="now").info("hello")
    (line,) = observed.lines()
    assert (line["msg"], line["level"], line["name"], line["args"]) == ("hello", "INFO", "tea", [1])
    assert line["ts"] != "now"


def test_a_traceback_comes_once(observed: Observed) -> None:
    """In the field `error`, redacted, and without the values that loguru can show."""
    secret = "hunter2"
    try:
        raise LookupError("no tea for ada@example.org")
    except LookupError:
        logger.exception("not sold")
    (line,) = observed.lines()
    assert (line["msg"], line["level"], line["error"]["type"]) == ("not sold", "ERROR", "LookupError")
    assert line["error"]["traceback"].count("Traceback") == 1
    assert "ada@" not in str(line)
    assert secret not in str(line)


def test_an_exception_that_is_not_there(observed: Observed) -> None:
    """`logger.exception` outside of an `except`."""
    logger.exception("hello")
    assert "error" not in observed.lines()[0]


def test_levels_are_those_of_the_standard_library(observed: Observed) -> None:
    """Readers of the lines know no others; loguru's name is a field."""
    logging.getLogger(__name__).setLevel(1)
    logger.level("AUDIT", no=35)
    for level in ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "AUDIT", "ERROR", "CRITICAL"):
        logger.log(level, level)
    logger.log(3, "3")
    logging.getLogger(__name__).setLevel(0)
    # The threads of other tests may log meanwhile.
    lines = [line for line in observed.lines() if line["logger"] == __name__]
    assert [(line["msg"], line["level"], line.get("loguru_level")) for line in lines] == [
        ("TRACE", "DEBUG", "TRACE"),
        ("DEBUG", "DEBUG", None),
        ("INFO", "INFO", None),
        ("SUCCESS", "INFO", "SUCCESS"),
        ("WARNING", "WARNING", None),
        ("AUDIT", "WARNING", "AUDIT"),
        ("ERROR", "ERROR", None),
        ("CRITICAL", "CRITICAL", None),
        ("3", "DEBUG", "Level 3"),
    ]


def test_a_record_of_a_failed_request_is_recorded() -> None:
    """With the request's ids, also below the level."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logger.debug("looking for {}", "tea")
        raise LookupError

    with root_logger_kept():
        observed = Observed()
        observed.obs.log.install()
        logger.configure(handlers=[obs.loguru_handler()])  # type: ignore[list-item]
        anyio.run(converse, obs.build_stack(app, observed.obs), http_scope())
        logger.remove()
    detail, access = observed.lines()
    assert (detail["msg"], detail["recorded"]) == ("looking for tea", True)
    assert detail["request_id"] == access["request_id"] != ""


class Nested:
    def __str__(self) -> str:
        logger.info("from within")
        return "nested"


def within(seconds: float, function: Any) -> None:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"


def test_a_log_call_from_within_a_log_call(observed: Observed) -> None:
    """loguru holds a lock while it writes, and refuses, or hangs, where somebody logs meanwhile."""
    within(PATIENCE_S, lambda: logger.bind(what=Nested()).info("{}", Nested()))
    assert sorted({line["msg"] for line in observed.lines()}) == ["from within", "nested"]


def test_a_handler_that_logs_by_loguru(observed: Observed) -> None:
    """A handler of the application, called for a line of the standard library."""

    class LoguruHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logger.info("seen {}", record.name)

    handler = LoguruHandler()
    logging.getLogger().addHandler(handler)
    within(PATIENCE_S, lambda: logging.getLogger("shop").warning("hello"))
    within(PATIENCE_S, lambda: logger.warning("by loguru"))
    assert [line["msg"] for line in observed.lines()] == ["hello", "seen shop", "by loguru"]


def test_beside_an_intercept_handler_a_line_comes_once(observed: Observed) -> None:
    """At the root logger, or at one that does not propagate; nothing goes in a circle."""
    logging.getLogger().addHandler(InterceptHandler())
    apart = logging.getLogger("apart")
    apart.addHandler(InterceptHandler())
    apart.propagate = False
    logging.getLogger("shop").warning("of the %s", "root")
    apart.warning("of another", extra={"cups": 3})
    logger.warning("of loguru")
    apart.handlers.clear()
    apart.propagate = True
    lines = observed.lines()
    assert [(line["msg"], line["logger"]) for line in lines] == [
        ("of the root", "shop"),
        ("of another", "apart"),
        ("of loguru", __name__),
    ]
    assert lines[1]["cups"] == 3


def test_a_record_that_cannot_be_read_leaks_nothing(observed: Observed, capfd: pytest.CaptureFixture[str]) -> None:
    """loguru would write it to standard error, with all that is bound."""

    class Broken(dict[str, object]):
        def __iter__(self) -> Any:
            raise ValueError("hunter2")

        keys = __iter__

    def spoil(record: Any) -> None:
        record["extra"] = Broken(password="hunter2")

    logger.patch(spoil).error("hello")
    assert "hunter2" not in str(observed.lines())
    assert capfd.readouterr() == ("", "")


def test_without_a_pipeline_the_standard_library_has_it(capfd: pytest.CaptureFixture[str]) -> None:
    """As before `init`, or with OBS_LOGGING_ENABLED=false."""
    program = (
        "import logging, divan_obs_asgi as obs\nfrom loguru import logger\n"
        "logging.basicConfig(format='%(name)s %(levelname)s %(message)s')\n"
        "logger.configure(handlers=[obs.loguru_handler()])\nlogger.warning('hello')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "__main__ WARNING hello\n"


def test_it_is_found_at_start_up(observed: Observed) -> None:
    """One line says what to write, where loguru writes past the pipeline; none where it does not."""
    logger.configure(handlers=[])
    logger.add(sys.stderr)
    anyio.run(start, observed.obs)
    (line,) = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.loguru"]
    assert line["level"] == "WARNING"
    assert "logger.configure(handlers=[obs.loguru_handler()])" in line["msg"]


async def start(bundle: obs.Observability) -> None:
    bundle.background.mark_started()


def test_a_second_handler_is_found(observed: Observed) -> None:
    """loguru's own one stays where ours is added and does not replace it."""
    # The process's own: pytest's has another name.
    assert sys.__stderr__ is not None
    logger.add(sys.__stderr__)
    warn_of_loguru()
    (line,) = observed.lines()
    assert "also writes to a stream" in line["msg"]


def test_a_configured_loguru_causes_no_warning(observed: Observed) -> None:
    """A file of the application's own is its own matter."""
    logger.add(lambda message: None)
    warn_of_loguru()
    assert observed.lines() == []
