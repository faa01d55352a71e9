"""Wraps each call of a function in a context manager, for plain and async functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


def wrap_calls(function: Any, context: Callable[[], AbstractContextManager[object]], by: str) -> Any:
    """
    Return `function` wrapped so that each call runs inside a new `context()`.

    Args:
        by: the name of the decorator, for the error message.

    Raises:
        TypeError: for a generator function, because its body does not run during the call.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{by} got the generator function {name_of(function)}; use span inside it.")
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
    """Return whether a call returns an awaitable."""
    while isinstance(function, functools.partial):
        function = function.func
    # An instance with an async `__call__` counts too.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def name_of(function: Any) -> str:
    """Return the name of a callable in the source code."""
    while isinstance(function, functools.partial):
        function = function.func
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    # The part up to `<locals>` is not informative.
    return name.rpartition("<locals>.")[2]


__all__ = ["is_async", "name_of", "wrap_calls"]
