"""Which line of a server or of asyncio is about a failure that was logged already."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from divan_obs_asgi.logs.errors import describe_error
from divan_obs_asgi.logs.raises import is_of_raise, raise_of
from divan_obs_asgi.logs.repeats import is_repeated, note_reported, with_granian_exception
from divan_obs_asgi.redaction import RedactionPolicy

POLICY = RedactionPolicy()
# As a module has it, or a cache returns it.
SHARED = LookupError("raised again and again")


class FromAPickle(LookupError): ...


@pytest.fixture(autouse=True)
def _nothing_is_noted() -> None:
    vars(SHARED).clear()
    SHARED.__traceback__ = None


def raises() -> None:
    raise SHARED


def reports(call: Callable[[], object] = raises) -> None:
    """Call as the application does: a line is written about what it raises, and it goes on."""
    try:
        call()
    except Exception as error:
        note_reported(error)
        raise


def is_dropped(
    call: Callable[[], object], logger: str = "uvicorn.error", msg: str = "Exception in ASGI application\n"
) -> bool:
    """Call as a server does; return whether its line is dropped."""
    try:
        call()
    except BaseException as error:
        return is_dropped_of(error, logger, msg)
    raise AssertionError("nothing was raised")


def is_dropped_of(
    error: BaseException, logger: str = "asyncio", msg: str = "Task exception was never retrieved"
) -> bool:
    path = str(uvicorn.__file__) if logger != "asyncio" else asyncio.__file__
    exc_info: Any = (type(error), error, error.__traceback__)
    return is_repeated(logging.LogRecord(logger, logging.ERROR, path, 1, msg, (), exc_info), error)


def test_a_servers_line_about_the_same_call_is_dropped() -> None:
    """However many functions it has passed on its way."""

    def middleware() -> None:
        reports()

    assert is_dropped(middleware)


def test_an_unreported_exception_is_written() -> None:
    """It is the only line."""
    assert not is_dropped(raises)


def test_an_object_that_is_raised_anew_is_another_failure() -> None:
    """A module's exception was reported in a request; a task outside of any raises it, too."""

    def job() -> None:
        raise SHARED

    assert is_dropped(reports)
    assert not is_dropped(job)
    assert not is_dropped(raises)
    assert is_dropped(reports)


def test_an_exception_raised_again_where_it_was_reported_is_another_failure() -> None:
    """Also from the same line of the code, called in another way."""

    def elsewhere() -> None:
        raises()

    assert is_dropped(reports)
    assert not is_dropped(elsewhere, "asyncio")


@pytest.mark.parametrize("traceback", [None, "kept"])
def test_an_exception_whose_traceback_is_reset_is_another_failure(traceback: str | None) -> None:
    """So are cached ones raised that do not want theirs to grow."""

    def job() -> None:
        raise SHARED.with_traceback(SHARED.__traceback__ if traceback else None)

    assert is_dropped(reports)
    assert not is_dropped(job)


def test_raise_error_in_the_block_that_caught_it_is_the_same_failure() -> None:
    """So does Starlette's error middleware raise again: the traceback gets a second entry of one function."""

    def again() -> None:
        try:
            raises()
        except LookupError as error:
            note_reported(error)
            raise error

    def middleware() -> None:
        again()

    assert is_dropped(middleware)


def test_a_context_manager_that_reports_is_not_a_new_failure() -> None:
    """contextlib puts the traceback back as it was before."""

    @contextmanager
    def reported() -> Iterator[None]:
        try:
            yield
        except LookupError as error:
            note_reported(error)
            raise

    def handler() -> None:
        with reported():
            raises()

    def middleware() -> None:
        handler()

    assert is_dropped(middleware)


def test_an_exception_of_a_task_is_reported_once_for_its_first_awaiter() -> None:
    """A cached task raises one exception for each who awaits it; each of these is a failure of its own."""

    async def both() -> list[bool]:
        async def fail() -> None:
            raises()

        task = asyncio.ensure_future(fail())

        async def first() -> None:
            try:
                await task
            except LookupError as error:
                note_reported(error)
                raise

        async def middleware() -> None:
            await first()

        async def second() -> None:
            await task

        return [is_dropped_of(await failure(one())) for one in (middleware, second)]

    async def failure(call: Any) -> BaseException:
        found: Any = await asyncio.gather(call, return_exceptions=True)
        return found[0]  # type: ignore[no-any-return]

    assert asyncio.run(both()) == [True, False]


def test_an_exception_reported_by_a_child_task_is_the_same_failure_in_its_parent() -> None:
    """Its traceback ends with the task, and goes on in who awaits it."""

    async def served() -> bool:
        async def child() -> None:
            try:
                raises()
            except LookupError as error:
                note_reported(error)
                raise

        try:
            await asyncio.ensure_future(child())
        except LookupError as error:
            return is_dropped_of(error, "uvicorn.error")
        return False

    assert asyncio.run(served())


def test_a_group_of_reported_exceptions_is_not_a_new_failure() -> None:
    """A task group hands on what was logged one by one; a member that was not is another failure."""
    errors: list[Exception] = []
    for kind in (LookupError, KeyError, ValueError):
        try:
            raise kind("member")
        except Exception as member:
            errors.append(member)
    for error in errors[:2]:
        note_reported(error)
    assert is_dropped_of(ExceptionGroup("several", errors[:2]))
    assert not is_dropped_of(ExceptionGroup("several", errors))


def test_a_future_that_was_never_awaited_was_not_reported() -> None:
    """Somebody has set an exception that was raised, and reported, before."""
    assert is_dropped(reports)
    assert not is_dropped_of(SHARED, msg="Future exception was never retrieved")


@pytest.mark.parametrize(
    ("logger", "msg", "kind"),
    [
        ("_granian.utils", "Application callable raised an exception\nTraceback ...", LookupError),
        ("_granian.utils", "Cannot bind", None),
        ("shop", "Application callable raised an exception\nTraceback ...", None),
    ],
)
def test_granians_line_gets_the_exception(logger: str, msg: str, kind: type[Exception] | None) -> None:
    """It has the traceback as text, and is logged while the exception is handled."""
    record = logging.LogRecord(logger, logging.ERROR, "src/utils.rs", 1, msg, (), None)
    try:
        raises()
    except LookupError:
        found = with_granian_exception(record)
    assert (found.exc_info[0] if isinstance(found.exc_info, tuple) else None) is kind
    assert record.exc_info is None


def test_an_applications_line_is_never_dropped() -> None:
    """It says something else: only servers, asyncio and Socket.IO repeat."""
    record = logging.LogRecord("shop", logging.ERROR, __file__, 1, "it failed", (), None)
    with pytest.raises(LookupError) as caught:
        reports()
    assert not is_repeated(record, caught.value)


def test_a_reported_exception_can_be_pickled() -> None:
    """A pool of processes hands it on."""
    try:
        raise FromAPickle("of another process")
    except FromAPickle as error:
        note_reported(error)
        describe_error(error, POLICY)
        again = pickle.loads(pickle.dumps(error))
    assert again.args == ("of another process",)
    assert not is_dropped_of(again)


def test_all_lines_about_one_failure_have_one_fingerprint() -> None:
    """The application logs at the place where it catches, and sees less of the way than the access line."""
    seen = []

    def service() -> None:
        raise LookupError

    def handler() -> None:
        try:
            service()
        except LookupError as error:
            seen.append(describe_error(error, POLICY)["fingerprint"])
            raise

    def request() -> None:
        try:
            handler()
        except LookupError as error:
            seen.append(describe_error(error, POLICY)["fingerprint"])

    request()
    request()
    assert len(set(seen)) == 1
    assert len(seen) == 4


def test_an_object_that_is_raised_elsewhere_has_another_fingerprint() -> None:
    """One exception object of a module, raised by two functions, is two failures."""

    def one() -> None:
        raise SHARED

    def other() -> None:
        raise SHARED.with_traceback(None)

    found = []
    for call in (one, other):
        try:
            call()
        except LookupError as error:
            found.append(describe_error(error, POLICY)["fingerprint"])
    assert found[0] != found[1]


def test_a_traceback_at_the_place_of_another_is_another() -> None:
    """Memory is used again: only a traceback that is the same below, too, is that of the noted raise."""

    def one() -> None:
        raise SHARED

    def other() -> None:
        raise SHARED.with_traceback(None)

    known, found = [], []
    for call in (one, other):
        try:
            call()
        except LookupError as error:
            known.append(raise_of(error))
            (_, caller), *inner = known[0]
            # As if the entry of this function stood where it did before.
            found.append(is_of_raise(error, ((known[-1][0][0], caller), *inner)))
    assert found == [True, False]
