"""Tell one raise of an exception object from the next: some objects are raised again and again."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from itertools import islice
from types import FrameType, TracebackType

# Entries of a traceback that are noted, the outermost first; and those that may have come on top since.
_MAX_NOTED = 50
_MAX_LOOKED_AT = 2000
_RAISE = dis.opmap["RAISE_VARARGS"]
# What calls the outermost function of a task or a thread: it says nothing about who gets the exception.
_LOOPS = frozenset({"anyio", "asyncio", "concurrent", "threading", "trio", "twisted", "uvloop"})
# What raises again what a task or a thread of its own has raised: Starlette's middlewares, asgiref's threads.
_HANDING_ON = _LOOPS | {"asgiref", "divan_obs_asgi", "fastapi", "starlette"}

# Entries of a traceback, each with the code that had called the entry's function (0: unknown). All are numbers: an
# exception that holds them can be pickled, and they keep nothing alive.
Raise = tuple[tuple[tuple[int, int, int], int], ...]


def raise_of(error: BaseException) -> Raise:
    """Return what `is_of_raise` recognizes the present raise of `error` by."""
    return tuple((_key(step), _caller(step.tb_frame)) for step in islice(_steps(error), _MAX_NOTED))


def is_of_raise(error: BaseException, noted: Raise) -> bool:
    """
    Return whether `error` is still on its way from where it was noted, and was not raised anew since.

    On its way out an exception gets entries on top of its traceback, and what stands below stays. So it is where the
    same object is raised again, but then one of those on top did not call what stands below it.
    """
    known = dict(noted)
    places = [key for key, _ in noted]
    above: list[TracebackType] = []
    for step in islice(_steps(error), _MAX_LOOKED_AT):
        if (caller := known.get(_key(step))) is None:
            above.append(step)
            continue
        if above and not caller and _key(step) != noted[0][0]:
            # The outermost function of a task, for which another has waited when it was noted: a cached task.
            return False
        rest = places[places.index(_key(step)) :]
        if [_key(below) for below in islice(_from(step), len(rest))] != rest:
            # Another traceback, which has got the place in memory of the noted one.
            return False
        return _leads_to(above, step, caller)
    return not noted and error.__traceback__ is None


def _leads_to(above: list[TracebackType], step: TracebackType, caller: int) -> bool:
    """Return whether an exception has got from the noted entry through all of those above, the nearest one last."""
    for upper in reversed(above):
        # `raise error` in the block that has caught it makes a second entry of the same frame.
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
    """Return whether the entry is a `raise` statement, and not one by which a library hands on an exception."""
    if _package(step.tb_frame) in _HANDING_ON:
        return False
    return step.tb_frame.f_code.co_code[step.tb_lasti] == _RAISE


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


__all__ = ["Raise", "is_of_raise", "raise_of"]
