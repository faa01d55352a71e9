"""The ops endpoints, as a Starlette application."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio.to_thread
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from divan_obs_asgi.headers import values
from divan_obs_asgi.metrics import CONTENT_TYPE
from divan_obs_asgi.ops.loggers import LoggersEndpoint
from divan_obs_asgi.ops.trace_test import TraceTest

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability
    from divan_obs_asgi.probes import Group

_NOT_STORED = {"cache-control": "no-store"}


class Endpoints:
    """Answers /health/* to everyone, /metrics and /ops/* to the holder of the admin token."""

    def __init__(self, obs: Observability) -> None:
        self._obs = obs
        token = obs.settings.admin_token
        self._expected = token.encode("utf-8", "surrogateescape") if token is not None else None

    def routes(self) -> list[Route]:
        """Return the routes; GET implies HEAD."""
        return [
            Route("/health/live", self.live),
            Route("/health/ready", self.ready),
            Route("/health/startup", self.startup),
            Route("/metrics", self.metrics),
            Route("/ops/loggers", self._guarded(LoggersEndpoint(self._obs).answer), methods=["GET", "POST"]),
        ]

    async def live(self, request: Request) -> Response:
        """SPEC section 1: always this body, as long as the process answers and its loop turns."""
        report = await self._obs.probes.ask("live")
        return _json({"status": "ok" if report.ok else "fail"}, report.ok)

    async def ready(self, request: Request) -> Response:
        return await self._report("ready")

    async def startup(self, request: Request) -> Response:
        return await self._report("startup")

    async def metrics(self, request: Request) -> Response:
        if not self._obs.settings.metrics_public and not self.authorized(request):
            return self.refusal()
        # Rendering takes milliseconds: not on the event loop.
        body = await anyio.to_thread.run_sync(self._obs.metrics.render)
        return Response(body, headers=_NOT_STORED, media_type=CONTENT_TYPE)

    async def _report(self, group: Group) -> Response:
        report = await self._obs.probes.ask(group)
        return _json(report.as_json(), report.ok)

    def _guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that answers the holder of the admin token, whatever is public otherwise."""

        async def answer_if_authorized(request: Request) -> Response:
            return await answer(request) if self.authorized(request) else self.refusal()

        return answer_if_authorized

    def authorized(self, request: Request) -> bool:
        """Tell whether a request carries the admin token."""
        if self._expected is None:
            return False
        # The bytes as they came: text would have to be decoded, and stripped of what is a space in some language.
        credentials = values(request.scope["headers"], b"authorization")
        if len(credentials) != 1:
            return False  # Of two, a proxy may have checked the other one.
        scheme, _, given = credentials[0].partition(b" ")
        return hmac.compare_digest(given.strip(b" "), self._expected) and scheme.lower() == b"bearer"

    def refusal(self) -> Response:
        """Return the answer to a request that does not carry the admin token."""
        if self._expected is None:
            detail = "OBS_ADMIN_TOKEN is not set: set it, and send it as 'Authorization: Bearer'."
        else:
            detail = "Send the admin token as 'Authorization: Bearer'."
        # RFC 9110, section 11.6.1: a 401 says which scheme it wants.
        headers = {**_NOT_STORED, "www-authenticate": 'Bearer realm="ops"'}
        return Response(orjson.dumps({"detail": detail}), 401, headers, "application/json")


def build_ops_app(obs: Observability) -> Starlette:
    """Return the application that answers the ops endpoints of `obs`."""
    endpoints = Endpoints(obs)
    trace_test = TraceTest(obs, endpoints.authorized, endpoints.refusal)
    return Starlette(routes=[*endpoints.routes(), *trace_test.routes()])


def _json(content: object, ok: bool) -> Response:
    return Response(orjson.dumps(content), 200 if ok else 503, _NOT_STORED, "application/json")


__all__ = ["Endpoints", "build_ops_app"]
