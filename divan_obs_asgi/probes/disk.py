"""Probe: a file system has free space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Protocol, Unpack

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dns import DedicatedThread


class _Usage(Protocol):
    """The space of a file system, in bytes."""

    @property
    def total(self) -> int: ...

    @property
    def free(self) -> int: ...


class DiskProbe(NamedProbe):
    """
    Readiness: the file system of `path` has enough free space.

    The check runs in a thread, one at most: a network disk that hangs does not start a second one.

    Args:
        min_free_percent: share of the file system that must be free.
        min_free_bytes: space that must be free; if both are given, both must hold.

    Raises:
        ImproperlyConfigured: if neither is given, or if a value can never or always be met.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        min_free_percent: float | None = None,
        min_free_bytes: int | None = None,
        name: str = "disk",
        **options: Unpack[Options],
    ) -> None:
        if min_free_percent is None and min_free_bytes is None:
            raise ImproperlyConfigured(f"Probe {name!r} has no limit; set min_free_percent or min_free_bytes.")
        if min_free_percent is not None and not 0 < min_free_percent < 100:
            raise ImproperlyConfigured(f"Probe {name!r} has min_free_percent {min_free_percent!r}; expected 0 to 100.")
        if min_free_bytes is not None and min_free_bytes <= 0:
            raise ImproperlyConfigured(f"Probe {name!r} has min_free_bytes {min_free_bytes!r}; expected more than 0.")
        super().__init__(name, **options)
        self._path = path
        self._min_percent = min_free_percent or 0.0
        self._min_bytes = min_free_bytes or 0
        self._thread = DedicatedThread()

    async def check(self) -> Mapping[str, object]:
        try:
            usage: _Usage = await self._thread.call(lambda: shutil.disk_usage(self._path))
        except OSError:
            raise ProbeFailed("error") from None  # The path does not exist, or is not readable.
        percent = 100 * usage.free / usage.total if usage.total else 0.0
        if percent < self._min_percent or usage.free < self._min_bytes:
            raise ProbeFailed("full", free_percent=round(percent, 1))
        return {"free_percent": round(percent, 1)}


__all__ = ["DiskProbe"]
