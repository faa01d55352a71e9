"""Calls of httpx and requests, which are only timed here: their spans come from OpenTelemetry's instrumentations."""

from __future__ import annotations

from divan_obs_asgi.clients.calls import Method, wrap_async, wrap_sync

HTTPX = (
    # `send` includes redirects, authentication and the body.
    Method("httpx.Client", "send", wrap_sync, "http"),
    Method("httpx.AsyncClient", "send", wrap_async, "http"),
    Method("httpcore._sync.connection_pool.PoolRequest", "wait_for_connection", wrap_sync, "pool"),
    Method("httpcore._async.connection_pool.AsyncPoolRequest", "wait_for_connection", wrap_async, "pool"),
)
REQUESTS = (Method("requests.sessions.Session", "request", wrap_sync, "http"),)

__all__ = ["HTTPX", "REQUESTS"]
