"""POST /ops/trace/test: does a span get from this process to the collector?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# What an operator, and an HTTP client with its default timeout, wait for.
PATIENCE_S = 4.0

_NOT_STORED = {"cache-control": "no-store"}
# So that `curl --fail` fails: RFC 9110, sections 15.6.3 and 15.6.5.
_STATUS = {"exported": 200, "refused": 502, "timeout": 504}
_PRODUCTION = frozenset({"prod", "production"})


class TraceTest:
    """
    Emits a span, waits for its export, and answers with its trace id and the outcome.

    Args:
        authorized: whether a request carries the admin token.
        refusal: the answer to one that does not.
    """

    def __init__(
        self, obs: Observability, authorized: Callable[[Request], bool], refusal: Callable[[], Response]
    ) -> None:
        self._obs = obs
        self._authorized = authorized
        self._refusal = refusal

    def routes(self) -> list[Route]:
        return [Route("/ops/trace/test", self.test, methods=["POST"])]

    async def test(self, request: Request) -> Response:
        if not self._authorized(request):
            return self._refused()
        spans = self._obs.spans
        if spans is None:
            return _detail(409, "OBS_TRACING_ENABLED is false.")
        if not spans.exports:
            return _detail(409, "OTEL_EXPORTER_OTLP_ENDPOINT is not set: spans are not exported.")
        # The thread ends by itself; a client that leaves does not wait for it.
        trace_id, outcome = await anyio.to_thread.run_sync(
            partial(spans.send_test_span, PATIENCE_S), abandon_on_cancel=True
        )
        return _json(_STATUS[outcome], {"trace_id": trace_id, "outcome": outcome})

    def _refused(self) -> Response:
        settings = self._obs.settings
        if settings.admin_token is None:
            return _detail(403, "OBS_ADMIN_TOKEN is not set: set it, and send it as 'Authorization: Bearer'.")
        if settings.env.lower() in _PRODUCTION:
            return _detail(403, "Only the holder of the admin token may send test spans in production.")
        return self._refusal()


def _detail(status: int, detail: str) -> Response:
    return _json(status, {"detail": detail})


def _json(status: int, content: object) -> Response:
    return Response(orjson.dumps(content), status, _NOT_STORED, "application/json")


__all__ = ["PATIENCE_S", "TraceTest"]
