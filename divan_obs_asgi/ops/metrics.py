"""GET /metrics: what Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.metrics import Format, Pages, accepted_format, accepts_gzip
from divan_obs_asgi.ops.answers import NOT_STORED
from divan_obs_asgi.ops.endpoint import Content, Endpoint, Operation
from divan_obs_asgi.ops.guard import Guard

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class MetricsPage:
    """Answers with the page, in the format and encoding that the scraper prefers."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._pages = Pages(lambda form: obs.metrics.render(form, lambda error: obs.faults.report("metrics", error)))

    def endpoints(self) -> Iterator[Endpoint]:
        page = Content("The metrics of this process.", media_type=Format.TEXT.value.partition(";")[0])
        summary = "The metrics, as Prometheus reads them: text, or OpenMetrics by Accept."
        yield Endpoint("/metrics", (Operation("GET", summary, self.page, {200: page}),))

    async def page(self, request: Request) -> Response:
        form = accepted_format(_joined(request, "accept"))
        compressed = accepts_gzip(_joined(request, "accept-encoding"))
        headers = {**NOT_STORED, "vary": "accept, accept-encoding"}
        if compressed:
            headers["content-encoding"] = "gzip"
        body = await self._pages.page(form, compressed=compressed)
        return Response(body, headers=headers, media_type=form.value)


def _joined(request: Request, name: str) -> str:
    # RFC 9110, section 5.3: several of one name are one list.
    return ", ".join(request.headers.getlist(name))


__all__ = ["MetricsPage"]
