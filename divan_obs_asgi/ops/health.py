"""/health/live, /health/ready and /health/startup: what an orchestrator asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.ops.answers import json_answer
from divan_obs_asgi.ops.endpoint import Answer, Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.guard import Guard

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability
    from divan_obs_asgi.probes import Group

_STATUS: Schema = {"enum": ["ok", "fail"]}
_LIVE: Schema = {
    "type": "object",
    "properties": {"status": _STATUS},
    "required": ["status"],
    "additionalProperties": False,
}
_REPORT: Schema = {
    "type": "object",
    "properties": {
        "status": _STATUS,
        "checks": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"ok": {"type": "boolean"}, "latency_ms": {"type": "integer", "minimum": 0}},
                "required": ["ok"],
            },
        },
    },
    "required": ["status", "checks"],
    "additionalProperties": False,
}


class Health:
    """Answers everybody: a kubelet has no token."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        yield _endpoint("/health/live", "Whether the process answers and its event loop turns.", self.live, _LIVE)
        yield _endpoint("/health/ready", "Whether the service can do its work.", self.ready, _REPORT)
        yield _endpoint("/health/startup", "Whether the configuration can work.", self.startup, _REPORT)

    async def live(self, request: Request) -> Response:
        """SPEC section 1: always this body, as long as the process answers and its loop turns."""
        report = await self._obs.probes.ask("live")
        return json_answer({"status": "ok" if report.ok else "fail"}, 200 if report.ok else 503)

    async def ready(self, request: Request) -> Response:
        """As SPEC section 5 wants it; while the service drains, one check more, which fails."""
        drain = self._obs.drain
        drain.asked()
        content = (await self._obs.probes.ask("ready")).as_json()
        if drain.active:
            checks = {**content["checks"], "drain": {"ok": False, "reason": "draining"}}
            content = {"status": "fail", "checks": checks}
        return json_answer(content, 200 if content["status"] == "ok" else 503)

    async def startup(self, request: Request) -> Response:
        return await self._report("startup")

    async def _report(self, group: Group) -> Response:
        report = await self._obs.probes.ask(group)
        return json_answer(report.as_json(), 200 if report.ok else 503)


def _endpoint(path: str, summary: str, answer: Answer, schema: Schema) -> Endpoint:
    answers = {200: Content("All checks pass.", schema), 503: Content("At least one does not.", schema)}
    return Endpoint(path, (Operation("GET", summary, answer, answers),), guarded=False)


__all__ = ["Health"]
