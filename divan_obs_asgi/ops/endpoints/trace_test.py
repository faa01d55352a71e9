"""POST /ops/trace/test: export a test span from this process to the collector."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.observability.ops_endpoints import ERROR_SCHEMA, Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import RequestRefused, json_response

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# How long an operator waits, and an HTTP client with its default timeout.
PATIENCE_S = 4.0

# `curl --fail` fails for the last two: RFC 9110, sections 15.6.3 and 15.6.5.
_STATUS = {"exported": 200, "refused": 502, "timeout": 504}
_OUTCOME: Schema = {
    "type": "object",
    "properties": {"trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "outcome": {"enum": list(_STATUS)}},
    "required": ["trace_id", "outcome"],
}


class TraceTestEndpoint:
    """Creates a span, waits for its export, and returns its trace id and the outcome."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        responses = {
            200: ResponseDescription("The collector has accepted the span.", _OUTCOME),
            409: ResponseDescription("Tracing or the export is off.", ERROR_SCHEMA),
            502: ResponseDescription("The collector has not accepted the span.", _OUTCOME),
            504: ResponseDescription("The collector has not responded in time.", _OUTCOME),
        }
        test = Operation("POST", "Export a test span, and return the outcome.", self.test, responses)
        yield Endpoint("/ops/trace/test", (test,))

    async def test(self, request: Request) -> Response:
        spans = self._obs.spans
        if spans is None:
            raise RequestRefused(409, "OBS_TRACING_ENABLED is false.")
        if not spans.exports:
            raise RequestRefused(409, "OTEL_EXPORTER_OTLP_ENDPOINT is not set: spans are not exported.")
        # A limiter of its own: plain functions of the application may block all shared threads. A client that leaves
        # does not wait for the thread, which ends by itself.
        trace_id, outcome = await anyio.to_thread.run_sync(
            partial(spans.send_test_span, PATIENCE_S), abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
        )
        return json_response({"trace_id": trace_id, "outcome": outcome}, _STATUS[outcome])


__all__ = ["PATIENCE_S", "TraceTestEndpoint"]
