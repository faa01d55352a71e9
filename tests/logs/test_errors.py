"""What a line says of an exception: its type, where it came from, and no more than the policy allows."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import traceback
from collections.abc import Callable

import pytest

from divan_obs_asgi.logs import PipelineHandler
from divan_obs_asgi.logs.errors import describe_error, describe_stack
from divan_obs_asgi.redaction import RedactionPolicy
from tests.stacks import Observed

POLICY = RedactionPolicy()
TOKEN = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"


def raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("Nothing was raised.")


def raising(error: BaseException, path: str = "/srv/app.py") -> BaseException:
    """Return `error` as code of that file raises it."""
    namespace = {"error": error}
    exec(compile("def f():\n    raise error", path, "exec"), namespace)
    return raised(namespace["f"])  # type: ignore[arg-type]


def frames(traceback: str) -> list[str]:
    return re.findall(r"line \d+, in (\w+)", traceback)


def test_the_innermost_frames_are_shown() -> None:
    """Six of them: the rest is the framework's."""

    def first() -> None:
        second()

    def second() -> None:
        third()

    def third() -> None:
        fourth()

    def fourth() -> None:
        fifth()

    def fifth() -> None:
        sixth()

    def sixth() -> None:
        raise LookupError

    result = describe_error(raised(lambda: first()), POLICY)["traceback"]
    assert frames(result) == ["first", "second", "third", "fourth", "fifth", "sixth"]


@pytest.mark.parametrize(
    ("length", "notes", "shown"), [(10, 0, True), (1500, 0, True), (90_000, 0, True), (900, 2, False)]
)
def test_earlier_exceptions_are_shown_if_there_is_room(length: int, notes: int, shown: bool) -> None:
    """The exception itself is what the line is about."""
    error = raising(LookupError("the last one"))
    error.__cause__ = raising(KeyError("x" * length))
    for _ in range(notes):
        error.__cause__.add_note("y" * length)
    result = describe_error(error, POLICY)["traceback"]
    assert ("KeyError" in result) is shown
    assert result.endswith("LookupError: the last one\n")


def test_the_name_of_a_type_is_searched_too() -> None:
    """A class can be made of anything."""
    result = describe_error(type(TOKEN, (Exception,), {})(), POLICY)
    assert result["type"] == "[redacted:github_token]"
    assert TOKEN not in str(result)


def test_a_stack_is_searched_and_cut_to_its_end() -> None:
    """Its last lines are where the log was called."""
    stack = "\n".join(f"line {number}" for number in range(30)) + f"\ntoken={TOKEN}"
    result = describe_stack(stack, POLICY).splitlines()
    assert result == [*(f"line {number}" for number in range(19, 30)), "token=[redacted:credential]"]


def test_an_unreadable_exception_is_named_by_its_type() -> None:
    """An exception that cannot be formatted; nothing of it is logged by chance."""

    class Broken(SyntaxError):
        @property
        def lineno(self) -> int:  # type: ignore[override]
            raise ValueError("planted")

    result = describe_error(raising(Broken("planted")), POLICY)
    assert result["type"].endswith("Broken")
    assert result["traceback"] == "[redacted:unreadable]"


def fingerprint(error: BaseException, path: str = "/srv/app.py") -> str:
    return describe_error(raising(error, path), POLICY)["fingerprint"]


def test_equal_failures_have_one_fingerprint() -> None:
    """Whatever they say, and wherever the code is installed; another type, or another file, is another failure."""
    known = fingerprint(LookupError("a"))
    assert known == fingerprint(LookupError("b")) == fingerprint(LookupError(), "/opt/app.py")
    assert len({known, fingerprint(KeyError("a")), fingerprint(LookupError(), "/srv/other.py")}) == 3


def test_a_path_with_invalid_utf_8_has_a_fingerprint() -> None:
    """File systems allow it."""
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint(LookupError(), "/srv/\udcff.py"))


STORED = "meet me at the harbour"


def database_error() -> BaseException:
    return raised(lambda: sqlite3.connect(":memory:").execute(f'SELECT "{STORED}" FROM "{STORED}"'))


MESSAGES: dict[str, Callable[[BaseException], str]] = {
    "an f-string": lambda error: f"could not store it: {error}",
    "its repr": lambda error: f"<Task finished coro=<store()> exception={error!r}>",
    "an argument": lambda error: f"could not store {error.args[0]}",
    "a traceback": lambda error: "in the worker:\n" + "".join(traceback.format_exception(error)),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
@pytest.mark.parametrize("is_cause", [False, True])
def test_a_message_does_not_repeat_what_its_exception_may_not_say(
    message: Callable[[BaseException], str], is_cause: bool
) -> None:
    """As asyncio logs a task that was never awaited, and `logger.exception(f"...: {error}")` in an application."""
    result = database_error()
    error = raising(RuntimeError("failed"))
    error.__cause__ = result
    observed = Observed({})
    logger = logging.Logger("shop")
    logger.addHandler(PipelineHandler(observed.obs.log))
    logger.error(message(result).replace("%", "%%"), exc_info=error if is_cause else result)
    assert STORED not in json.dumps(observed.lines())
    assert "[redacted:database]" in observed.lines()[0]["msg"]


def test_a_databases_traceback_in_a_message_has_places_only() -> None:
    """`logger.error(traceback.format_exc())` says no more than `logger.exception`; other tracebacks are as before."""
    observed = Observed({})
    logger = logging.Logger("shop")
    logger.addHandler(PipelineHandler(observed.obs.log))
    logger.error("".join(traceback.format_exception(database_error())))
    logger.error("".join(traceback.format_exception(raising(ValueError("expected 3")))))
    first, second = (line["msg"] for line in observed.lines())
    assert STORED not in first
    assert "test_errors.py" in first
    assert second.endswith("ValueError: expected 3\n")
