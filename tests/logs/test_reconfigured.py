"""Logging that the application configures after `init`: lines stay JSON, redacted, and come once."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import logging.handlers
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.logs import PipelineHandler
from divan_obs_asgi.logs.console_handlers import writes_to_console
from divan_obs_asgi.logs.reconfigured import NextRecordsWatcher
from divan_obs_asgi.probes.canary import SECRETS
from divan_obs_asgi.testing import converse, http_scope
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S
from tests.stacks import Observed

SHOP = logging.getLogger("shop")
LOST = "Logging was reconfigured, which removed the redacting handler from the root logger; "
BACK = LOST + "it was put back."
TAKEN_OFF = "Removed console handlers, so that each line is written once. Loggers: ['root']."
GONE = LOST + "lines are not redacted (OBS_LOGGING_RESTORE is false)."
ROOT = {"handlers": {"c": {"class": "logging.StreamHandler"}}, "root": {"handlers": ["c"], "level": "INFO"}}
INI = """
[loggers]
keys=root
[handlers]
keys=c
[formatters]
keys=
[logger_root]
level=INFO
handlers=c
[handler_c]
class=StreamHandler
args=()
"""


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield
    SHOP.handlers.clear()
    SHOP.propagate = True
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.disabled = False


def with_dict() -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, **ROOT})


def with_file() -> None:
    logging.config.fileConfig(io.StringIO(INI), disable_existing_loggers=False)


def with_force() -> None:
    logging.basicConfig(force=True, level="INFO")


def installed(**flags: str) -> Observed:
    observed = Observed(flags)
    observed.obs.log.install()
    return observed


def messages(observed: Observed) -> list[str]:
    return [line["msg"] for line in observed.lines()]


def startup(observed: Observed) -> dict[str, Any]:
    async def nothing(*_: object) -> None:
        raise AssertionError("the application was called")

    answer = anyio.run(converse, obs.build_stack(nothing, observed.obs), http_scope("/health/startup"))
    check: dict[str, Any] = json.loads(answer.body)["checks"]["redaction"]
    return {"status": answer.status, **check}


@pytest.mark.parametrize("configure", [with_dict, with_file, with_force])
def test_the_next_line_is_redacted_already(configure: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Of the same function, before any task has had its turn; the loss is a WARNING, and counted."""
    observed = installed()
    configure()
    SHOP.warning("to %s", "ada@example.org")
    assert messages(observed) == [BACK, TAKEN_OFF, "to [redacted:email]"]
    assert observed.value("divan_log_handler_removed_total") == 1
    assert capsys.readouterr() == ("", "")


def test_without_a_line_the_startup_check_puts_it_back() -> None:
    """The handler was not closed, so no record is watched; in a service a task checks once a second."""
    observed = installed()
    logging.root.handlers.clear()
    assert startup(observed)["status"] == 200
    assert messages(observed) == [BACK]


def test_by_flag_it_is_only_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, by the application's own handlers, in the counter and by the startup check."""
    observed = installed(OBS_LOGGING_RESTORE="false")
    assert startup(observed)["status"] == 200
    with_dict()
    SHOP.warning("to ada@example.org")
    SHOP.warning("again")
    assert capsys.readouterr().err.splitlines() == [GONE, "to ada@example.org", "again"]
    assert observed.value("divan_log_handler_removed_total") == 1
    check = startup(observed)
    assert (check["status"], check["ok"], check["sinks"]) == (503, False, ["log"])
    logging.root.addHandler(PipelineHandler(observed.obs.log))
    logging.root.removeHandler(logging.root.handlers[0])
    assert startup(observed)["status"] == 200
    written = capsys.readouterr()
    assert not any(secret in written.out + written.err for secret in SECRETS)


def test_the_canary_is_seen_beside_the_pipeline_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A second handler for the console leaks; the canary itself is written by neither, nor by any other handler."""
    observed = installed(OBS_LOGGING_RESTORE="false")
    elsewhere = io.StringIO()
    logging.root.addHandler(logging.StreamHandler(elsewhere))
    assert startup(observed)["status"] == 200
    logging.root.addHandler(logging.StreamHandler())
    assert startup(observed)["sinks"] == ["log"]
    written = capsys.readouterr()
    assert not any(secret in elsewhere.getvalue() + written.out + written.err for secret in SECRETS)
    assert "said" not in str(observed.lines())


def test_the_librarys_own_loggers_are_enabled_again() -> None:
    """`disable_existing_loggers` is on by default; the application's loggers stay as configured."""
    observed = installed()
    logging.config.dictConfig({"version": 1, **ROOT})
    assert SHOP.disabled
    logging.getLogger("late").warning("hello")
    assert messages(observed) == [BACK, TAKEN_OFF, "hello"]
    assert not logging.getLogger("divan_obs_asgi.drain").disabled


def test_a_loggers_own_handler_for_the_console_is_taken_off(capsys: pytest.CaptureFixture[str]) -> None:
    """As Django's and Granian's configurations have them, which leave the root logger alone."""
    observed = installed()
    shop = {"shop": {"handlers": ["c"], "propagate": False}}
    logging.config.dictConfig(
        {"version": 1, "disable_existing_loggers": False, "handlers": ROOT["handlers"], "loggers": shop}
    )
    logging.getLogger("shop.orders").warning("to ada@example.org")
    assert messages(observed) == ["to [redacted:email]"]
    assert observed.value("divan_log_handler_removed_total") == 0
    assert capsys.readouterr() == ("", "")


def test_one_that_is_added_later_is_taken_off_at_the_next_look(capsys: pytest.CaptureFixture[str]) -> None:
    """A line says of which loggers."""
    observed = installed()
    SHOP.addHandler(logging.StreamHandler(sys.stdout))
    observed.obs.log.check_handler()
    SHOP.warning("hello")
    assert messages(observed) == [TAKEN_OFF.replace("root", "shop"), "hello"]
    assert capsys.readouterr() == ("", "")


def test_a_queue_before_the_console_is_taken_off(capsys: pytest.CaptureFixture[str]) -> None:
    """What else is behind the queue stays, as does a queue that has no console behind it."""
    elsewhere = logging.StreamHandler(io.StringIO())
    kept, mixed, only = (logging.handlers.QueueHandler(queue.Queue()) for _ in range(3))
    for handler, targets in (
        (kept, (elsewhere,)),
        (mixed, (elsewhere, logging.StreamHandler())),
        (only, (logging.StreamHandler(),)),
    ):
        vars(handler)["listener"] = SimpleNamespace(handlers=targets)
        SHOP.addHandler(handler)
    buffer = logging.handlers.MemoryHandler(1, target=logging.StreamHandler())
    SHOP.addHandler(buffer)
    installed()
    assert SHOP.handlers == [kept, mixed]
    assert vars(mixed)["listener"].handlers == (elsewhere,)
    buffer.close()


def test_handlers_for_the_console_before_init_are_taken_off(capsys: pytest.CaptureFixture[str]) -> None:
    """As daphne's `basicConfig` sets one before it imports the application."""
    with_force()
    observed = installed()
    SHOP.warning("to ada@example.org")
    assert messages(observed) == ["to [redacted:email]"]
    assert capsys.readouterr() == ("", "")


def test_a_console_handler_is_recognised_by_its_stream(tmp_path: Path) -> None:
    """Handlers of any class; a file of the application is not a console."""
    rich = logging.NullHandler()
    vars(rich)["console"] = SimpleNamespace(file=sys.stderr)
    same = logging.FileHandler("/dev/stdout")
    file = logging.FileHandler(tmp_path / "shop.log")
    try:
        assert [writes_to_console(one) for one in (logging.StreamHandler(), rich, same)] == [True, True, True]
        assert [writes_to_console(one) for one in (logging.NullHandler(), file)] == [False, False]
        assert not writes_to_console(logging.StreamHandler(io.StringIO()))
    finally:
        same.close()
        file.close()


def test_an_earlier_pipeline_does_not_come_back() -> None:
    """The newest is put back, once."""
    first, second = installed(), installed()
    logging.root.handlers.clear()
    first.obs.log.check_handler()
    second.obs.log.check_handler()
    (handler,) = [one for one in logging.root.handlers if isinstance(one, PipelineHandler)]
    assert handler.logs is second.obs.log
    assert first.lines() == []


def test_the_line_after_the_handlers_were_removed_is_redacted_already(capsys: pytest.CaptureFixture[str]) -> None:
    """Python would write a WARNING that no handler gets to standard error, and nothing of an INFO."""
    observed = installed()
    logging.root.handlers = []
    SHOP.info("from %s", "ada@example.org")
    logging.root.handlers.clear()
    SHOP.warning("to %s", "ada@example.org")
    assert messages(observed) == [BACK, "from [redacted:email]", BACK, "to [redacted:email]"]
    assert capsys.readouterr() == ("", "")


def test_a_logger_without_any_handler_is_redacted_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Of what it logs, what Python would write, and no more."""
    observed = installed()
    SHOP.propagate = False
    SHOP.info("from ada@example.org")
    SHOP.warning("to ada@example.org")
    assert messages(observed) == ["to [redacted:email]"]
    assert capsys.readouterr() == ("", "")


def test_python_writes_it_where_nothing_is_put_back_or_the_pipeline_has_gone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it does without this library."""
    installed(OBS_LOGGING_RESTORE="false")
    logging.root.handlers.clear()
    SHOP.warning("one")
    observed = installed()
    observed.obs.log.replaced()
    logging.root.handlers.clear()
    SHOP.info("nothing")
    SHOP.warning("another")
    assert capsys.readouterr() == ("", "one\nanother\n")


def test_threads_that_log_at_once_put_it_back_once() -> None:
    """Two handlers would write each line twice from then on."""
    threads, rounds = 4, 25
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(rounds):
            observed, together = installed(), threading.Barrier(threads)
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "root": {"handlers": []}})

            def log(together: threading.Barrier = together) -> None:
                together.wait(PATIENCE_S)
                SHOP.warning("hello")

            own = [threading.Thread(target=log) for _ in range(threads)]
            for one in own:
                one.start()
            for one in own:
                one.join(PATIENCE_S)
            assert messages(observed).count("hello") == threads
            assert observed.value("divan_log_handler_removed_total") == 1
            assert len([one for one in logging.root.handlers if isinstance(one, PipelineHandler)]) == 1
    finally:
        sys.setswitchinterval(interval)


class _NotOpenYet(logging.NullHandler):
    @property
    def stream(self) -> object:
        raise RuntimeError("not open yet")


class _NothingLikeIt:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def fileno(self) -> int:
        raise LookupError("no file")


def test_a_handler_of_somebodys_own_never_fails_a_log_call_nor_init() -> None:
    """Whatever its attributes raise when they are looked at."""
    compared, queued = logging.NullHandler(), logging.NullHandler()
    vars(compared)["stream"] = _NothingLikeIt()
    vars(queued)["listener"] = _NotOpenYet()
    own = [_NotOpenYet(), compared, queued]
    SHOP.handlers[:] = own
    observed = installed()
    with_dict()
    SHOP.handlers[:] = own
    SHOP.warning("one")
    SHOP.warning("another")
    assert messages(observed) == [BACK, TAKEN_OFF, "one", "another"]
    assert SHOP.handlers == own
    assert observed.value("divan_obs_errors_total", component="logs") == 0


def test_records_are_looked_at_for_five_seconds_only() -> None:
    """Then the factory of records is what it was, unless somebody stands before it by then."""

    class Looking:
        def __init__(self) -> None:
            self.names: list[str] = []

        def look(self, name: str) -> None:
            self.names.append(name)

    now, looking, before = [0.0], Looking(), logging.getLogRecordFactory()
    NextRecordsWatcher(looking.look, lambda: now[0])
    NextRecordsWatcher(looking.look, lambda: now[0])
    SHOP.warning("one")
    now[0] = 5.0
    SHOP.warning("another")
    assert looking.names == ["shop"]
    assert logging.getLogRecordFactory() is before
