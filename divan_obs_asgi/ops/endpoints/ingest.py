"""POST /ops/ingest: receive web vitals that browsers measure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.headers import values
from divan_obs_asgi.observability.ops_endpoints import ERROR_SCHEMA, Endpoint, Operation, ResponseDescription
from divan_obs_asgi.ops.audit import client_address
from divan_obs_asgi.ops.bodies import read_json
from divan_obs_asgi.ops.endpoints.vitals import VITALS, InvalidVitals, read_vitals
from divan_obs_asgi.ops.guard import Guard, client_key
from divan_obs_asgi.ops.responses import NOT_STORED, RequestRefused
from divan_obs_asgi.ops.token_buckets import TokenBuckets
from divan_obs_asgi.types import Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

MAX_BODY = 16 * 1024
# Pages send text/plain: for application/json to another origin the Fetch Standard requires an OPTIONS request first,
# and a page that is being closed has no time for it.
TYPES = (b"text/plain", b"application/json")
# The reason under which a body that cannot be read is counted.
_REASONS = {400: "body", 413: "size", 415: "type"}
_PREFLIGHT = {
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": "content-type",
    "access-control-max-age": "7200",
}


class IngestEndpoint:
    """
    Counts web vitals of pages from the origins in OBS_VITALS_ORIGINS.

    A browser has no secret, and other clients can send any Origin. So a value from a client becomes a label only if it
    is in a list of ours, and there are limits for one client and for all of them together.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        settings = obs.settings
        self._metrics = obs.metrics
        self._is_on = settings.vitals.enabled
        self._origins = {origin.encode(): origin for origin in settings.vitals.origins}
        self._routes = frozenset(settings.vitals.routes)
        self._address_limit = TokenBuckets(settings.vitals.address_limit)
        self._total_limit = TokenBuckets(settings.vitals.total_limit)

    def endpoints(self) -> Iterator[Endpoint]:
        if not self._is_on:
            return
        nothing = {204: ResponseDescription("Counted.", media_type=None)}
        refusals = {
            403: ResponseDescription("The origin is not in OBS_VITALS_ORIGINS.", ERROR_SCHEMA),
            429: ResponseDescription("Too many requests from this address, or from all.", ERROR_SCHEMA),
        }
        origin = {"Origin": {"enum": sorted(self._origins.values())}}
        summary = "Receive web vitals from a browser."
        post = Operation("POST", summary, self.take, {**nothing, **refusals}, VITALS, origin, audited=False)
        allowed = {204: ResponseDescription("The origin may send web vitals.", media_type=None), 403: refusals[403]}
        options = Operation(
            "OPTIONS", "Whether an origin may send web vitals.", self.preflight, allowed, headers=origin
        )
        yield Endpoint("/ops/ingest", (post, options), guarded=False)

    async def take(self, request: Request) -> Response:
        origin = self._origin(request.scope)
        allowed = {"access-control-allow-origin": origin, "vary": "origin"}
        try:
            self._limit(request.scope)
            vitals = read_vitals(await self._content(request), self._routes)
        except InvalidVitals as invalid:
            self._reject(invalid.reason)
            raise RequestRefused(422, invalid.detail, allowed) from None
        except RequestRefused as refused:
            refused.headers = {**(refused.headers or {}), **allowed}
            raise
        for vital in vitals:
            vital.count(self._metrics)
        return _no_content(allowed)

    async def preflight(self, request: Request) -> Response:
        origin = self._origin(request.scope)
        return _no_content({"access-control-allow-origin": origin, "vary": "origin", **_PREFLIGHT})

    def _origin(self, scope: Scope) -> str:
        """Return the origin of a request (RFC 6454, section 7.3); browsers send it with every POST."""
        given = values(scope["headers"], b"origin")
        known = self._origins.get(given[0]) if len(given) == 1 else None
        if known is None:
            self._reject("origin")
            raise RequestRefused(403, "The origin is not in OBS_VITALS_ORIGINS.", {"vary": "origin"})
        return known

    def _limit(self, scope: Scope) -> None:
        wait_s = self._address_limit.take(client_key(client_address(scope))) or self._total_limit.take("")
        if wait_s > 0:
            self._reject("rate")
            raise RequestRefused(429, "Too many requests; wait.", {"retry-after": str(math.ceil(wait_s))})

    async def _content(self, request: Request) -> object:
        try:
            return await read_json(request, MAX_BODY, TYPES)
        except RequestRefused as refused:
            self._reject(_REASONS[refused.status])
            raise

    def _reject(self, reason: str) -> None:
        self._metrics.web_vitals_rejected.labels(reason).inc()


def _no_content(headers: Mapping[str, str]) -> Response:
    return Response(status_code=204, headers={**NOT_STORED, **headers})


__all__ = ["MAX_BODY", "IngestEndpoint"]
