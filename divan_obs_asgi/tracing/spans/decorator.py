"""A function with something wrap_calls each of its calls, plain or async as it was."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


def wrap_calls(function: Any, context: Callable[[], AbstractContextManager[object]], by: str) -> Any:
    """
    Return `function` so that each call is made inside of a new `context()`.

    Args:
        by: the decorator that does it, for the error's text.

    Raises:
        TypeError: for a generator function, whose work is done elsewhere than in the call.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{by} got the generator function {name_of(function)}; use span inside of it.")
    if is_async(function):

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with context():
                return await function(*args, **kwargs)

        return call

    @functools.wraps(function)
    def call_now(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)

    return call_now


def is_async(function: Any) -> bool:
    """Tell whether what a call returns is to be awaited."""
    while isinstance(function, functools.partial):
        function = function.func
    # An instance may be called too.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def name_of(function: Any) -> str:
    """Return the name by which its author knows a callable."""
    while isinstance(function, functools.partial):
        function = function.func
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    # `<locals>` says nothing.
    return name.rpartition("<locals>.")[2]


__all__ = ["is_async", "name_of", "wrap_calls"]
