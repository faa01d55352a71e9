"""All parts of the ops endpoints, and the application that they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from divan_obs_asgi.ops.application import OpsApplication
from divan_obs_asgi.ops.endpoint import Endpoint
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.health import Health
from divan_obs_asgi.ops.loggers import Loggers
from divan_obs_asgi.ops.metrics import MetricsPage
from divan_obs_asgi.ops.trace_test import TraceTest

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class Part(Protocol):
    """A group of endpoints, made once for a bundle."""

    def __init__(self, obs: Observability) -> None: ...

    def endpoints(self) -> Iterable[Endpoint]: ...


# One file for each; a new one is declared here and nowhere else.
PARTS: tuple[type[Part], ...] = (Health, MetricsPage, Loggers, TraceTest)


def endpoints(obs: Observability) -> Iterator[Endpoint]:
    """Yield what is declared, in the order in which it is told."""
    for part in PARTS:
        yield from part(obs).endpoints()


def build_ops_app(obs: Observability) -> OpsApplication:
    """Return the application that answers the ops endpoints of `obs`."""
    return OpsApplication(endpoints(obs), Guard(obs.settings, obs.faults, obs.authorize))


__all__ = ["PARTS", "Part", "build_ops_app", "endpoints"]
