"""The list of the ops endpoints, and the application that serves them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from divan_obs_asgi.observability.ops_endpoints import Endpoint
from divan_obs_asgi.ops.application import OpsApplication
from divan_obs_asgi.ops.endpoints.cardinality import CardinalityEndpoint
from divan_obs_asgi.ops.endpoints.config import ConfigEndpoint
from divan_obs_asgi.ops.endpoints.console import ConsoleEndpoints
from divan_obs_asgi.ops.endpoints.debug_header import DebugHeaderEndpoint
from divan_obs_asgi.ops.endpoints.drain import DrainEndpoint
from divan_obs_asgi.ops.endpoints.health import HealthEndpoints
from divan_obs_asgi.ops.endpoints.index import IndexEndpoints
from divan_obs_asgi.ops.endpoints.ingest import IngestEndpoint
from divan_obs_asgi.ops.endpoints.loggers import LoggersEndpoint
from divan_obs_asgi.ops.endpoints.metrics import MetricsEndpoint
from divan_obs_asgi.ops.endpoints.middleware import MiddlewareEndpoint
from divan_obs_asgi.ops.endpoints.rollover import RolloverEndpoint
from divan_obs_asgi.ops.endpoints.tasks import TasksEndpoint
from divan_obs_asgi.ops.endpoints.trace_test import TraceTestEndpoint
from divan_obs_asgi.ops.guard import Guard

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class EndpointGroup(Protocol):
    """A group of endpoints, created once for a bundle; the guard is for those that show operators more details."""

    def __init__(self, obs: Observability, guard: Guard) -> None: ...

    def endpoints(self) -> Iterable[Endpoint]: ...


# One file each; a new one is listed here and nowhere else.
ENDPOINT_GROUPS: tuple[type[EndpointGroup], ...] = (
    HealthEndpoints,
    MetricsEndpoint,
    RolloverEndpoint,
    TraceTestEndpoint,
    LoggersEndpoint,
    ConfigEndpoint,
    MiddlewareEndpoint,
    TasksEndpoint,
    CardinalityEndpoint,
    DrainEndpoint,
    IngestEndpoint,
    ConsoleEndpoints,
    DebugHeaderEndpoint,
)


def endpoints(obs: Observability, guard: Guard) -> list[Endpoint]:
    """Return the endpoints of the library, in the order of the index."""
    prefix = obs.settings.ops.prefix
    declared: list[Endpoint] = []
    groups: list[EndpointGroup] = [group(obs, guard) for group in ENDPOINT_GROUPS]
    for group in (*groups, IndexEndpoints(obs, declared)):
        declared.extend(replace(endpoint, path=prefix + endpoint.path) for endpoint in group.endpoints())
    return declared


def build_ops_app(obs: Observability) -> OpsApplication:
    """Return the application that answers the ops endpoints of `obs`."""
    guard = Guard(obs.settings, obs.faults, obs.authorize)
    obs.background.add("audit", guard.audit.run, later=True)
    application = OpsApplication(endpoints(obs, guard), guard, obs.settings.ops.prefix)
    obs.endpoints.listen(application.serve)
    return application


__all__ = ["ENDPOINT_GROUPS", "EndpointGroup", "build_ops_app", "endpoints"]
