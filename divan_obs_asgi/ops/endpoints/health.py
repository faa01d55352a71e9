"""/health/live, /health/ready and /health/startup: the endpoints for orchestrators and balancers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.headers import joined
from divan_obs_asgi.metrics import OPENMETRICS, Format, Pages, accepted_media_type
from divan_obs_asgi.observability.ops_endpoints import ERROR_SCHEMA, Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.endpoints.health_checks import DETAILED, PLAIN, detailed, plain
from divan_obs_asgi.ops.endpoints.health_html import PAGE_HEADERS, page
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.own_port import OWN_PORT_KEY
from divan_obs_asgi.ops.responses import NOT_STORED, RequestRefused, json_response

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability
    from divan_obs_asgi.probes import Group, Report

JSON, HTML = "application/json", "text/html"
_SUMMARIES = {
    "live": "Whether the process responds and its event loop runs.",
    "ready": "Whether the service is ready for requests.",
    "startup": "Whether the service has started with a valid configuration.",
}
_STATUS: Schema = {"enum": ["ok", "fail"]}
_VERBOSE: Schema = {
    "type": "string",
    "description": "Add reasons, ages and recent checks, if the request has the admin token.",
}


class HealthEndpoints:
    """
    Answer everybody, because a kubelet has no token, with the status and the checks only.

    The reasons of a failure need the admin token: `?verbose`, or the endpoint of one probe. Without a valid token
    `?verbose` is ignored and not refused: a rotated token must not take an instance out of rotation.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs
        self._guard = guard
        self._prefix = obs.settings.ops.prefix
        self._has_own_port = obs.settings.ops.port is not None
        self._gauges = Pages(self._slices)

    def _slices(self, form: Format) -> Iterator[bytes]:
        metrics = self._obs.metrics
        families = {
            metrics.health_ready,
            metrics.probe_up,
            metrics.redis_up,
            metrics.redis_latency,
            metrics.postgres_up,
            metrics.postgres_latency,
            metrics.draining,
        }
        return metrics.slices(form, lambda error: self._obs.faults.report("metrics", error), families)

    def endpoints(self) -> Iterator[Endpoint]:
        for group, summary in _SUMMARIES.items():
            schema = _report(required=group != "live")
            responses = {
                200: ResponseDescription("All checks pass.", schema, also=(HTML, OPENMETRICS)),
                503: ResponseDescription("At least one critical check fails.", schema, also=(HTML,)),
            }
            handler = partial(self.group, group)
            read = Operation("GET", summary, handler, responses, query={"verbose": _VERBOSE})
            yield Endpoint(f"/health/{group}", (read,), guarded=False)
        for group in _SUMMARIES:
            responses = {
                200: ResponseDescription("The probe passes.", DETAILED),
                404: ResponseDescription("There is no such probe in this group.", ERROR_SCHEMA),
                503: ResponseDescription("The probe fails.", DETAILED),
            }
            summary = f"One {group} probe, with its recent checks."
            read = Operation("GET", summary, partial(self.one, group), responses)
            yield Endpoint(f"/health/{group}/{{name}}", (read,))

    async def group(self, group: Group, request: Request) -> Response:
        """Return the report of a group, in the media type that the client prefers."""
        if group == "ready":
            self._obs.drain.note_poll()
        report = await self._obs.probes.ask(group)
        media_type = accepted_media_type(joined(request.scope["headers"], b"accept"), (JSON, HTML, OPENMETRICS))
        if media_type == OPENMETRICS:
            # Always 200: Prometheus ignores the body of any other status.
            body = await self._gauges.page(Format.OPENMETRICS, compressed=False)
            return Response(body, 200, {**NOT_STORED, "vary": "accept"}, Format.OPENMETRICS.value)
        content = self._content(group, report, verbose=await self._is_verbose(group, request))
        status = 200 if content["status"] == "ok" else 503
        if media_type == HTML:
            return Response(page(f"{self._prefix}/health/{group}", content), status, PAGE_HEADERS, HTML)
        return json_response(content, status, {"vary": "accept"})

    async def one(self, group: Group, request: Request) -> Response:
        """Return the result of one probe."""
        name = request.path_params["name"]
        if name not in self._obs.probes.names(group):
            raise RequestRefused(404, "There is no such probe in this group.")
        result = (await self._obs.probes.ask(group)).results[name]
        return json_response(detailed(result), 200 if result.ok else 503)

    def _content(self, group: Group, report: Report, *, verbose: bool) -> dict[str, Any]:
        describe = detailed if verbose else plain
        checks = {name: describe(result) for name, result in report.results.items()}
        ok = report.ok
        if group == "ready" and self._obs.drain.active:
            ok = False
            # The shape of every check.
            checks["drain"] = {"ok": False, "latency_ms": 0}
            if verbose:
                checks["drain"].update(critical=True, reason="draining", cause=self._obs.drain.cause)
        status = {"status": "ok" if ok else "fail"}
        return status if group == "live" and not verbose else {**status, "checks": checks}

    async def _is_verbose(self, group: Group, request: Request) -> bool:
        if "verbose" not in request.query_params or (self._has_own_port and OWN_PORT_KEY not in request.scope):
            return False
        try:
            await self._guard.admit(request.scope, f"{self._prefix}/health/{group}", changes=False)
        except RequestRefused:
            return False
        return True


def _report(*, required: bool) -> Schema:
    return {
        "type": "object",
        "properties": {"status": _STATUS, "checks": {"type": "object", "additionalProperties": PLAIN}},
        "required": ["status", "checks"] if required else ["status"],
        "additionalProperties": False,
    }


__all__ = ["HealthEndpoints"]
