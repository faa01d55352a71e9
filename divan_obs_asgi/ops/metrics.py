"""GET /metrics: what Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.metrics import CONTENT_TYPE
from divan_obs_asgi.ops.answers import NOT_STORED
from divan_obs_asgi.ops.endpoint import Content, Endpoint, Operation
from divan_obs_asgi.ops.guard import Guard

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class MetricsPage:
    """Renders the registry."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        page = Content("The metrics of this process.", media_type=CONTENT_TYPE.partition(";")[0])
        yield Endpoint(
            "/metrics", (Operation("GET", "The metrics, as Prometheus reads them.", self.page, {200: page}),)
        )

    async def page(self, request: Request) -> Response:
        # Rendering takes milliseconds: not on the event loop.
        body = await anyio.to_thread.run_sync(self._obs.metrics.render)
        return Response(body, headers=NOT_STORED, media_type=CONTENT_TYPE)


__all__ = ["MetricsPage"]
