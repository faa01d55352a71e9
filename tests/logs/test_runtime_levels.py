"""Levels that are changed for a while, and go back."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from divan_obs_asgi.logs import RootLevel
from divan_obs_asgi.logs.runtime_levels import MAX_CHANGES, RuntimeLevels, TooManyChanges

NAME = "tests.runtime_levels"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger(NAME)
    yield found
    found.setLevel(logging.NOTSET)


def test_a_level_goes_back_when_its_time_is_over(logger: logging.Logger) -> None:
    """Not before, and to what it was."""
    clock = Clock()
    levels = RuntimeLevels(RootLevel(logging.INFO), clock)
    logger.setLevel(logging.WARNING)
    assert levels.set(NAME, logging.DEBUG, 10) == logging.WARNING
    clock.now += 9.9
    levels.expire()
    assert logger.level == logging.DEBUG
    clock.now += 0.1
    levels.expire()
    assert (logger.level, levels.changes) == (logging.WARNING, {})


def test_a_second_change_goes_back_to_what_was_before_the_first(logger: logging.Logger) -> None:
    """And has a time of its own."""
    clock = Clock()
    levels = RuntimeLevels(RootLevel(logging.INFO), clock)
    levels.set(NAME, logging.DEBUG, 10)
    clock.now += 5
    assert levels.set(NAME, logging.ERROR, 10) == logging.DEBUG
    clock.now += 9
    levels.expire()
    assert logger.level == logging.ERROR
    clock.now += 1
    levels.expire()
    assert logger.level == logging.NOTSET


def test_a_level_can_go_back_early(logger: logging.Logger) -> None:
    """One that was not changed stays."""
    levels = RuntimeLevels(RootLevel(logging.INFO), Clock())
    levels.set(NAME, logging.DEBUG, 10)
    for _ in range(2):
        levels.reset(NAME)
        assert logger.level == logging.NOTSET


def test_the_root_loggers_level_is_the_one_that_is_written() -> None:
    """Not the one that lets lines through to the flight recorder."""
    clock, root = Clock(), RootLevel(logging.INFO, logging.DEBUG)
    levels = RuntimeLevels(root, clock)
    levels.set("root", logging.ERROR, 10)
    assert root.level == logging.ERROR
    assert levels.describe()["root"] == {"level": "ERROR", "effective": "ERROR", "reverts_in_s": 10}
    clock.now += 10
    assert levels.describe()["root"] == {"level": "INFO", "effective": "INFO", "reverts_in_s": None}


def test_a_logger_shows_its_effective_level(logger: logging.Logger) -> None:
    """Its own, or that of one above it."""
    levels = RuntimeLevels(RootLevel(logging.INFO), Clock())
    logging.getLogger(NAME + ".child")
    levels.set(NAME, logging.ERROR, 10)
    described = levels.describe()
    assert list(described)[:2] == ["root", NAME]
    assert described[NAME] == {"level": "ERROR", "effective": "ERROR", "reverts_in_s": 10}
    assert described[NAME + ".child"] == {"level": None, "effective": "ERROR", "reverts_in_s": None}


def test_there_is_an_end_to_changes() -> None:
    """A script that changes everything is refused; one that goes back makes room."""
    clock = Clock()
    levels = RuntimeLevels(RootLevel(logging.INFO), clock)
    for number in range(MAX_CHANGES):
        levels.set(f"{NAME}.many.{number}", logging.DEBUG, 10)
    with pytest.raises(TooManyChanges):
        levels.set(f"{NAME}.one_too_many", logging.DEBUG, 10)
    levels.set(f"{NAME}.many.0", logging.ERROR, 10)
    clock.now += 10
    levels.set(f"{NAME}.one_too_many", logging.DEBUG, 10)
    levels.reset(f"{NAME}.one_too_many")
    assert levels.changes == {}
