"""POST /ops/trace/test: does a span get from this process to the collector?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.ops.endpoint import REFUSAL, Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import Refused, json_answer

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# What an operator, and an HTTP client with its default timeout, wait for.
PATIENCE_S = 4.0

# So that `curl --fail` fails: RFC 9110, sections 15.6.3 and 15.6.5.
_STATUS = {"exported": 200, "refused": 502, "timeout": 504}
_OUTCOME: Schema = {
    "type": "object",
    "properties": {"trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "outcome": {"enum": list(_STATUS)}},
    "required": ["trace_id", "outcome"],
}


class TraceTest:
    """Emits a span, waits for its export, and answers with its trace id and the outcome."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        answers = {
            200: Content("The collector took the span.", _OUTCOME),
            409: Content("There is nothing to test.", REFUSAL),
            502: Content("The collector did not take it.", _OUTCOME),
            504: Content("The collector did not answer in time.", _OUTCOME),
        }
        test = Operation("POST", "Send a test span: does the collector take it?", self.test, answers)
        yield Endpoint("/ops/trace/test", (test,))

    async def test(self, request: Request) -> Response:
        spans = self._obs.spans
        if spans is None:
            raise Refused(409, "OBS_TRACING_ENABLED is false.")
        if not spans.exports:
            raise Refused(409, "OTEL_EXPORTER_OTLP_ENDPOINT is not set: spans are not exported.")
        # The thread ends by itself; a client that leaves does not wait for it. All others of the application may hang.
        trace_id, outcome = await anyio.to_thread.run_sync(
            partial(spans.send_test_span, PATIENCE_S), abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
        )
        return json_answer({"trace_id": trace_id, "outcome": outcome}, _STATUS[outcome])


__all__ = ["PATIENCE_S", "TraceTest"]
