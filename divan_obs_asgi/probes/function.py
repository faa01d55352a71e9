"""Probe: an async function of the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, Unpack

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.tracing.spans.decorator import is_async

Function: TypeAlias = Callable[[], Awaitable[Mapping[str, object] | None]]


class FunctionProbe(NamedProbe):
    """
    Calls an async function. The check passes if the function returns.

    Args:
        function: returns details to publish, or None; raises `ProbeFailed` with a reason.

    Raises:
        ImproperlyConfigured: if `function` is not async.
    """

    def __init__(self, function: Function, name: str, **options: Unpack[Options]) -> None:
        if not is_async(function):
            raise ImproperlyConfigured(f"Probe {name!r} is {function!r}; expected an async function.")
        super().__init__(name, **options)
        self._function = function

    async def check(self) -> Mapping[str, object]:
        details = await self._function()
        return {} if details is None else details


__all__ = ["Function", "FunctionProbe"]
