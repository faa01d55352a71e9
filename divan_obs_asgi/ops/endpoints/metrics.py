"""GET /metrics: the page that Prometheus scrapes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.headers import joined
from divan_obs_asgi.metrics import OPENMETRICS, Pages, accepted_format, accepts_gzip
from divan_obs_asgi.observability.ops_endpoints import Endpoint, Operation, ResponseDescription
from divan_obs_asgi.ops.audit import client_address
from divan_obs_asgi.ops.guard import Guard, client_key
from divan_obs_asgi.ops.responses import NOT_STORED

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class MetricsEndpoint:
    """Returns the page in the format and encoding that the scraper prefers."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._scrapes = obs.metrics.scrapes
        self._pages = Pages(lambda form: obs.metrics.slices(form, lambda error: obs.faults.report("metrics", error)))

    def endpoints(self) -> Iterator[Endpoint]:
        page = ResponseDescription("The metrics of this process.", media_type="text/plain", also=(OPENMETRICS,))
        summary = "The metrics for Prometheus: text, or OpenMetrics by Accept."
        yield Endpoint("/metrics", (Operation("GET", summary, self.page, {200: page}),))

    async def page(self, request: Request) -> Response:
        headers = request.scope["headers"]
        form = accepted_format(joined(headers, b"accept"))
        compressed = accepts_gzip(joined(headers, b"accept-encoding"))
        response_headers = {**NOT_STORED, "vary": "accept, accept-encoding"}
        if compressed:
            response_headers["content-encoding"] = "gzip"
        began = time.perf_counter()
        body = await self._pages.page(form, compressed=compressed)
        self._scrapes.note(client_key(client_address(request.scope)), time.perf_counter() - began, len(body))
        return Response(body, headers=response_headers, media_type=form.value)


__all__ = ["MetricsEndpoint"]
