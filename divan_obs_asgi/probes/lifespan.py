"""Probe: the application has started."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import Group


class LifespanProbe:
    """Fails if the application could not start, or if its lifespan ended early. It is registered only in that case."""

    timeout = 1.0
    critical = True
    interval = 0.0
    fail_after = 1

    def __init__(self, name: str, group: Group) -> None:
        self.name = name
        self.group = group
        self.failed = False

    async def check(self) -> Mapping[str, object]:
        if self.failed:
            raise ProbeFailed("error")
        return {}


__all__ = ["LifespanProbe"]
