"""Any async function, as a probe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from divan_obs_asgi.around import is_async
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.probes.base import READY, Group

Function: TypeAlias = Callable[[], Awaitable[Mapping[str, object] | None]]


class FunctionProbe:
    """
    A probe that asks an async function: it passes where the function returns.

    Args:
        function: returns details to publish, or None; raises `ProbeFailed` with a reason.
        interval, fail_after, recover_after: None for those of the registry.
    """

    def __init__(
        self,
        function: Function,
        name: str,
        *,
        timeout: float = 1.0,
        critical: bool = True,
        group: Group = READY,
        interval: float | None = None,
        fail_after: int | None = None,
        recover_after: int | None = None,
    ) -> None:
        if not is_async(function):
            raise ImproperlyConfigured(f"Probe {name!r} is {function!r}; expected an async function.")
        self.name = name
        self.timeout = timeout
        self.critical = critical
        self.group = group
        self.interval = interval
        self.fail_after = fail_after
        self.recover_after = recover_after
        self._function = function

    async def check(self) -> Mapping[str, object]:
        details = await self._function()
        return {} if details is None else details


__all__ = ["Function", "FunctionProbe"]
