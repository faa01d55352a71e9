"""All parts of the ops endpoints, and the application that they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from divan_obs_asgi.ops.application import OpsApplication
from divan_obs_asgi.ops.endpoint import Endpoint
from divan_obs_asgi.ops.endpoints.cardinality import CardinalityPage
from divan_obs_asgi.ops.endpoints.config import Config
from divan_obs_asgi.ops.endpoints.drain import Draining
from divan_obs_asgi.ops.endpoints.health import Health
from divan_obs_asgi.ops.endpoints.index import Directory
from divan_obs_asgi.ops.endpoints.ingest import Ingest
from divan_obs_asgi.ops.endpoints.loggers import Loggers
from divan_obs_asgi.ops.endpoints.metrics import MetricsPage
from divan_obs_asgi.ops.endpoints.middleware import Middleware
from divan_obs_asgi.ops.endpoints.rollover import Rollover
from divan_obs_asgi.ops.endpoints.tasks import Tasks
from divan_obs_asgi.ops.endpoints.trace_test import TraceTest
from divan_obs_asgi.ops.guard import Guard

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class Part(Protocol):
    """A group of endpoints, made once for a bundle; the guard is for those that tell operators more than others."""

    def __init__(self, obs: Observability, guard: Guard) -> None: ...

    def endpoints(self) -> Iterable[Endpoint]: ...


# One file for each; a new one is declared here and nowhere else.
PARTS: tuple[type[Part], ...] = (
    Health,
    MetricsPage,
    Rollover,
    TraceTest,
    Loggers,
    Config,
    Middleware,
    Tasks,
    CardinalityPage,
    Draining,
    Ingest,
)


def endpoints(obs: Observability, guard: Guard) -> list[Endpoint]:
    """Return what is declared, in the order in which it is told."""
    prefix = obs.settings.ops.prefix
    declared: list[Endpoint] = []
    parts: list[Part] = [part(obs, guard) for part in PARTS]
    for part in (*parts, Directory(obs, declared)):
        declared.extend(replace(endpoint, path=prefix + endpoint.path) for endpoint in part.endpoints())
    return declared


def build_ops_app(obs: Observability) -> OpsApplication:
    """Return the application that answers the ops endpoints of `obs`."""
    guard = Guard(obs.settings, obs.faults, obs.authorize)
    obs.background.add("audit", guard.audit.keep_telling, later=True)
    return OpsApplication(endpoints(obs, guard), guard, obs.settings.ops.prefix)


__all__ = ["PARTS", "Part", "build_ops_app", "endpoints"]
