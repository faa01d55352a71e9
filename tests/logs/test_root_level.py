"""The root logger's level, as the application and its own handlers see it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from divan_obs_asgi.logs.root_level import WrittenOnly
from tests.logs.root_logger import root_logger_kept
from tests.stacks import Observed


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield


class Kept(logging.Handler):
    """A handler of the application."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def written(observed: Observed) -> list[str]:
    return [line["msg"] for line in observed.lines()]


@pytest.fixture
def own() -> Iterator[Kept]:
    """A handler on the root logger that was there before."""
    handler = Kept()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_a_handler_of_the_application_gets_what_it_got_before(own: Kept) -> None:
    """The recorder's DEBUG lines are nothing for it."""
    below = Kept()
    logger = logging.getLogger("tests.root_level.with_handler")
    logger.addHandler(below)
    observed = Observed()
    observed.obs.log.install()
    logger.debug("debug")
    logger.info("info")
    assert own.messages == below.messages == written(observed) == ["info"]


def test_a_logger_with_a_level_of_its_own_keeps_it(own: Kept) -> None:
    """Both a more talkative one and a quieter one, and those below them."""
    talkative, quiet = logging.getLogger("tests.talkative"), logging.getLogger("tests.quiet")
    talkative.setLevel(logging.DEBUG)
    quiet.setLevel(logging.ERROR)
    observed = Observed()
    observed.obs.log.install()
    logging.getLogger("tests.talkative.child").debug("debug")
    logging.getLogger("tests.quiet.child").warning("warning")
    assert written(observed) == own.messages == ["debug"]


def test_a_level_that_the_application_sets_later_counts(own: Kept) -> None:
    """pytest's `caplog.at_level` does it, and a debugging session."""
    observed = Observed()
    observed.obs.log.install()
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("tests.later").debug("debug")
    assert written(observed) == own.messages == ["debug"]
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("tests.later").warning("warning")
    assert written(observed) == ["debug"]


def test_a_second_pipeline_takes_the_place_of_the_first(own: Kept) -> None:
    """Nothing of the first stays on the application's handlers."""
    for level in ("INFO", "WARNING"):
        observed = Observed({"LOG_LEVEL": level})
        observed.obs.log.install()
    logging.getLogger("tests.second").info("info")
    assert own.messages == []
    assert len([one for one in own.filters if isinstance(one, WrittenOnly)]) == 1


def test_outside_of_a_request_nothing_is_recorded() -> None:
    """Without a request there is no outcome."""
    observed = Observed()
    observed.obs.log.install()
    logging.getLogger("tests.job").debug("debug")
    logging.getLogger().debug("debug of the root logger itself")
    assert written(observed) == []
