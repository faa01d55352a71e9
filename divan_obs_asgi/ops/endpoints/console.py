"""GET /ops/console: the ops console, its page and its data; OBS_CONSOLE_ENABLED."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from divan_obs_asgi.observability.ops_endpoints import Endpoint
from divan_obs_asgi.ops.guard import Guard

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class ConsoleEndpoints:
    """The page, its files, and what it shows. With the flag off there are none, and nothing of it is imported."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        return
        yield


__all__ = ["ConsoleEndpoints"]
