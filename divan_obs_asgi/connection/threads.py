"""Carries context variables into the application's own threads, so that their lines and spans belong to the request."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """
    Return `function` with the context variables of this moment: request id, trace, flight recorder and your own.

        loop.run_in_executor(None, obs.carry(render), page)
        threading.Thread(target=obs.carry(send_mail), args=(order,)).start()

    Its result or exception is passed on. It may be called any number of times, also in several threads at once: each
    call has its own copy of the variables.

    Raises:
        TypeError: for what runs only after the call has returned: coroutine functions and generators.
    """
    if not callable(function):
        raise TypeError(f"carry got {type(function).__name__}; expected a callable.")
    if _runs_later(function):
        raise TypeError(
            "carry got a coroutine function or a generator function, whose body runs after the call has returned. "
            "A task has the context variables of the code that creates it; carry is for threads."
        )
    return _Carried(function, copy_context())


class CarryingExecutor(ThreadPoolExecutor):
    """
    A `ThreadPoolExecutor` whose threads have the context variables of the code that submits to them.

    `loop.set_default_executor(obs.CarryingExecutor())` does it for every `loop.run_in_executor(None, ...)`.
    """

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """As a `ThreadPoolExecutor` does; `map` goes through it."""
        return super().submit(_Carried(fn, copy_context()), *args, **kwargs)


class _Carried(Generic[P, R]):
    """A callable, and the context that each call of it copies: a context can be entered once at a time."""

    def __init__(self, function: Callable[P, R], context: Context) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._context = context

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._context.copy().run(self._function, *args, **kwargs)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A carried callable is for threads: context variables cannot be sent to another process.")


def _runs_later(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    call = getattr(type(function), "__call__", None)  # noqa: B004
    return any(kind(function) or kind(call) for kind in kinds)


__all__ = ["CarryingExecutor", "carry"]
