"""/health/live, /health/ready and /health/startup: what an orchestrator asks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.headers import joined
from divan_obs_asgi.metrics import OPENMETRICS, Format, Pages, accepted_media_type
from divan_obs_asgi.ops.endpoint import REFUSAL, Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.endpoints.health_checks import DETAILED, PLAIN, detailed, plain
from divan_obs_asgi.ops.endpoints.health_html import PAGE_HEADERS, page
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.own_port import OWN_PORT_KEY
from divan_obs_asgi.ops.responses import NOT_STORED, Refused, json_answer

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability
    from divan_obs_asgi.probes import Group, Report

JSON, HTML = "application/json", "text/html"
_SUMMARIES = {
    "live": "Whether the process answers and its event loop turns.",
    "ready": "Whether the service can do its work.",
    "startup": "Whether the configuration can work.",
}
_STATUS: Schema = {"enum": ["ok", "fail"]}
_VERBOSE: Schema = {"type": "string", "description": "Tell the token's holder more: reasons, ages, past checks."}


class Health:
    """
    Answers everybody, for a kubelet has no token, and says not a word more than status and checks.

    Why something is not ok is for the token's holder: by `?verbose`, and of one probe below its group. To a stranger
    `?verbose` changes nothing, so that no token that has changed takes an instance out of rotation.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs
        self._guard = guard
        self._prefix = obs.settings.ops.prefix
        self._has_own_port = obs.settings.ops.port is not None
        self._gauges = Pages(self._slices)

    def _slices(self, form: Format) -> Iterator[bytes]:
        metrics = self._obs.metrics
        told = {
            metrics.health_ready,
            metrics.probe_up,
            metrics.redis_up,
            metrics.redis_latency,
            metrics.postgres_up,
            metrics.postgres_latency,
            metrics.draining,
        }
        return metrics.slices(form, lambda error: self._obs.faults.report("metrics", error), told)

    def endpoints(self) -> Iterator[Endpoint]:
        for group, summary in _SUMMARIES.items():
            schema = _report(required=group != "live")
            answers = {
                200: Content("All checks pass.", schema, also=(HTML, OPENMETRICS)),
                503: Content("At least one does not.", schema, also=(HTML,)),
            }
            answer = partial(self.group, group)
            ask = Operation("GET", summary, answer, answers, query={"verbose": _VERBOSE})
            yield Endpoint(f"/health/{group}", (ask,), guarded=False)
        for group in _SUMMARIES:
            answers = {
                200: Content("It passes.", DETAILED),
                404: Content("There is no such probe in this group.", REFUSAL),
                503: Content("It does not.", DETAILED),
            }
            told = Operation("GET", f"One probe of {group}, with its past checks.", partial(self.one, group), answers)
            yield Endpoint(f"/health/{group}/{{name}}", (told,))

    async def group(self, group: Group, request: Request) -> Response:
        """Answer in the media type that the client prefers."""
        if group == "ready":
            self._obs.drain.note_poll()
        report = await self._obs.probes.ask(group)
        media_type = accepted_media_type(joined(request.scope["headers"], b"accept"), (JSON, HTML, OPENMETRICS))
        if media_type == OPENMETRICS:
            # 200 whatever they say: Prometheus reads no page that comes with another status.
            body = await self._gauges.page(Format.OPENMETRICS, compressed=False)
            return Response(body, 200, {**NOT_STORED, "vary": "accept"}, Format.OPENMETRICS.value)
        content = self._content(group, report, verbose=await self._is_told_more(group, request))
        status = 200 if content["status"] == "ok" else 503
        if media_type == HTML:
            return Response(page(f"{self._prefix}/health/{group}", content), status, PAGE_HEADERS, HTML)
        return json_answer(content, status, {"vary": "accept"})

    async def one(self, group: Group, request: Request) -> Response:
        """Answer of one probe."""
        name = request.path_params["name"]
        if name not in self._obs.probes.names(group):
            raise Refused(404, "There is no such probe in this group.")
        result = (await self._obs.probes.ask(group)).results[name]
        return json_answer(detailed(result), 200 if result.ok else 503)

    def _content(self, group: Group, report: Report, *, verbose: bool) -> dict[str, Any]:
        tell = detailed if verbose else plain
        checks = {name: tell(result) for name, result in report.results.items()}
        ok = report.ok
        if group == "ready" and self._obs.drain.active:
            ok = False
            # As every check.
            checks["drain"] = {"ok": False, "latency_ms": 0}
            if verbose:
                checks["drain"].update(critical=True, reason="draining", cause=self._obs.drain.cause)
        status = {"status": "ok" if ok else "fail"}
        return status if group == "live" and not verbose else {**status, "checks": checks}

    async def _is_told_more(self, group: Group, request: Request) -> bool:
        if "verbose" not in request.query_params or (self._has_own_port and OWN_PORT_KEY not in request.scope):
            return False
        try:
            await self._guard.admit(request.scope, f"{self._prefix}/health/{group}", changes=False)
        except Refused:
            return False
        return True


def _report(*, required: bool) -> Schema:
    return {
        "type": "object",
        "properties": {"status": _STATUS, "checks": {"type": "object", "additionalProperties": PLAIN}},
        "required": ["status", "checks"] if required else ["status"],
        "additionalProperties": False,
    }


__all__ = ["Health"]
