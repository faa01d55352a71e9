"""Distinguishes the raises of one exception object: some objects are raised again and again."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from itertools import islice
from types import FrameType, TracebackType

# Maximum entries of a traceback to note, the outermost first, and maximum entries to read later.
_MAX_NOTED = 50
_MAX_LOOKED_AT = 2000
_RAISE = dis.opmap["RAISE_VARARGS"]
# These packages call the outermost function of a task or a thread. Such a caller does not show who gets the exception.
_LOOPS = frozenset({"anyio", "asyncio", "concurrent", "threading", "trio", "twisted", "uvloop"})
# These packages raise an exception of a task or a thread again: Starlette's middlewares, asgiref's threads.
_RERAISING = _LOOPS | {"asgiref", "divan_obs_asgi", "fastapi", "starlette"}

# Entries of a traceback, each with the code that called the entry's function (0: unknown). All are numbers, so an
# exception with them can still be pickled, and they keep no object alive.
Raise = tuple[tuple[tuple[int, int, int], int], ...]


def raise_of(error: BaseException) -> Raise:
    """Return an identification of the current raise of `error`, for `is_of_raise`."""
    return tuple((_key(step), _caller(step.tb_frame)) for step in islice(_steps(error), _MAX_NOTED))


def is_of_raise(error: BaseException, noted: Raise) -> bool:
    """
    Return whether `error` is still being propagated from the noted raise, and was not raised anew.

    A propagating exception gets new entries on top of its traceback, and the entries below stay. A new raise of the
    same object adds entries on top too, but then one of these did not call the function of the entry below it.
    """
    known = dict(noted)
    places = [key for key, _ in noted]
    above: list[TracebackType] = []
    for step in islice(_steps(error), _MAX_LOOKED_AT):
        if (caller := known.get(_key(step))) is None:
            above.append(step)
            continue
        if above and not caller and _key(step) != noted[0][0]:
            # It was noted in the outermost function of a task, and later awaited by another task: a cached task.
            return False
        rest = places[places.index(_key(step)) :]
        if [_key(below) for below in islice(_from(step), len(rest))] != rest:
            # Another traceback, at the memory address of the noted one.
            return False
        return _leads_to(above, step, caller)
    return not noted and error.__traceback__ is None


def _leads_to(above: list[TracebackType], step: TracebackType, caller: int) -> bool:
    """Return whether an exception propagated from the noted entry through all entries above; the nearest is last."""
    for upper in reversed(above):
        # `raise error` in the block that caught it adds a second entry of the same frame.
        if upper.tb_frame is not step.tb_frame:
            if id(upper.tb_frame.f_code) != caller if caller else _raises(upper):
                return False
            caller = _caller(upper.tb_frame)
        step = upper
    return True


def _steps(error: BaseException) -> Iterator[TracebackType]:
    return _from(error.__traceback__)


def _from(step: TracebackType | None) -> Iterator[TracebackType]:
    while step is not None:
        yield step
        step = step.tb_next


def _key(step: TracebackType) -> tuple[int, int, int]:
    return id(step), id(step.tb_frame.f_code), step.tb_lasti


def _caller(frame: FrameType) -> int:
    caller = frame.f_back
    return 0 if caller is None or _package(caller) in _LOOPS else id(caller.f_code)


def _raises(step: TracebackType) -> bool:
    """Return whether the entry is a `raise` statement, other than one by which a library raises an exception again."""
    if _package(step.tb_frame) in _RERAISING:
        return False
    return step.tb_frame.f_code.co_code[step.tb_lasti] == _RAISE


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


__all__ = ["Raise", "is_of_raise", "raise_of"]
