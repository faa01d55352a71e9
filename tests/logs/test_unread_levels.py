"""A library's lines that nothing reads cost no record."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import anyio
import pytest

from tests.logs.root_logger import root_logger_kept
from tests.stacks import Observed

# Named after an installed package.
LIBRARY = f"{anyio.__name__}.tests_of_unread_levels"


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield
    logging.getLogger(LIBRARY).setLevel(logging.NOTSET)


@pytest.fixture
def made() -> Iterator[list[str]]:
    """The messages of all records that are made."""
    factory, messages = logging.getLogRecordFactory(), []

    def remember(*args: object, **kwargs: object) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        messages.append(record.getMessage())
        return record

    logging.setLogRecordFactory(remember)
    yield messages
    logging.setLogRecordFactory(factory)


def installed() -> Observed:
    observed = Observed()
    observed.obs.log.install()
    return observed


def written(observed: Observed) -> list[str]:
    return [line["msg"] for line in observed.lines()]


def test_a_library_makes_no_second_record_that_is_dropped(made: list[str]) -> None:
    """Its DEBUG lines are neither written nor kept by the flight recorder; its INFO lines are written as before."""
    observed, logger = installed(), logging.getLogger(LIBRARY)
    for number in range(3):
        logger.debug("debug %d", number)
        logger.info("info %d", number)
    assert made == ["debug 0", "info 0", "info 1", "info 2"]
    assert written(observed) == ["info 0", "info 1", "info 2"]
    assert logger.level == logging.NOTSET


def test_a_changed_level_counts_at_once() -> None:
    """That of the logger, of one above it, or the written level of the process."""
    observed, logger = installed(), logging.getLogger(LIBRARY)
    logger.debug("dropped")
    logger.setLevel(logging.DEBUG)
    logger.debug("its own level")
    logger.setLevel(logging.NOTSET)
    logger.debug("dropped again")
    observed.obs.log.levels.set("root", logging.DEBUG, 60)
    logger.debug("the level of the process")
    observed.obs.log.levels.reset("root")
    logger.debug("dropped at last")
    assert written(observed) == ["its own level", "the level of the process"]


def test_an_application_still_has_its_lines_kept(made: list[str]) -> None:
    """A logger of the application may have its lines written at the end of the request, so it makes every record."""
    installed()
    logger = logging.getLogger(f"{__name__}.own")
    logger.debug("one")
    logger.debug("two")
    assert made == ["one", "two"]


def test_a_logger_that_a_library_shares_with_the_application_stays_enabled(made: list[str]) -> None:
    """Where only the file of the call says whose line it is, the next line may be another one's."""
    installed()
    code = compile("logger.debug('of the library')", anyio.__file__, "exec")
    logger = logging.getLogger("shared_by_everybody")
    exec(code, {"logger": logger})
    logger.debug("of the application")
    assert made == ["of the library", "of the application"]
