"""Which lines are limited, by whose code has logged them and whose has failed."""

from __future__ import annotations

import json
import logging
import socket

import pytest
import uvicorn

from divan_obs_asgi.logs.minute_limit import PER_MINUTE, MinuteLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(path: str, level: int = logging.WARNING, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("uvicorn.error", level, path, 7, "what a client has sent", (), exc_info)


def raised(call: object, *args: object) -> BaseException:
    try:
        call(*args)  # type: ignore[operator]
    except Exception as error:
        # As a library sees it: without the frame of this test.
        return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)
    raise AssertionError


def test_a_place_has_so_many_lines_a_minute_and_then_a_count() -> None:
    """And as many again in the next minute."""
    clock = Clock()
    limit = MinuteLimit(clock)
    for _ in range(2):
        assert [limit.allows(record(uvicorn.__file__)) for _ in range(PER_MINUTE + 5)].count(True) == PER_MINUTE
        assert not limit.is_over
        clock.now += 60
        assert limit.is_over
        (redacted,) = limit.take()
        assert redacted.getMessage() == "5 more lines like this in the last minute (__init__.py:7)"
        assert not limit.is_over
    assert limit.take() == []


@pytest.mark.parametrize(
    ("path", "level", "error", "limited"),
    [
        (uvicorn.__file__, logging.WARNING, None, True),
        (uvicorn.__file__, logging.INFO, None, False),
        # "ASGI callable returned without completing response": the application's fault.
        (uvicorn.__file__, logging.ERROR, None, False),
        (uvicorn.__file__, logging.ERROR, raised(json.loads, "{"), True),
        # An application's own line by a server's logger.
        (__file__, logging.WARNING, None, False),
        (socket.__file__, logging.ERROR, None, False),
    ],
)
def test_only_what_clients_cause_is_limited(path: str, level: int, error: BaseException | None, limited: bool) -> None:
    """By the file that logs, for anybody may use a server's logger."""
    limit = MinuteLimit(Clock())
    allowed = [limit.allows(record(path, level, error)) for _ in range(50)].count(True)
    assert allowed == (PER_MINUTE if limited else 50)


def test_an_exception_that_went_through_the_application_is_never_limited() -> None:
    """Under any logger."""

    def handler() -> None:
        json.loads("{")

    limit = MinuteLimit(Clock())
    error = raised(handler)
    assert all(limit.allows(record(uvicorn.__file__, logging.ERROR, error)) for _ in range(50))


def test_memory_is_bounded() -> None:
    """However many places there are."""
    limit = MinuteLimit(Clock())
    for number in range(1000):
        one = record(uvicorn.__file__)
        one.lineno = number
        limit.allows(one)
    (redacted,) = limit.take()
    assert redacted.getMessage() == "790 more lines like this in the last minute (other places)"
