"""Flags of requests: context variables, ids, wait times, quiet paths, cancellation."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean, exact_paths, one_of, request_id_headers, response_header, routes

ID_FORMATS = ("uuid4", "uuid7")


@dataclass(frozen=True, kw_only=True)
class RequestSettings:
    """How each request is identified and isolated, and which requests are not observed."""

    context_enabled: bool = flag(
        "OBS_CONTEXT_ENABLED", boolean, True, "Isolate the context variables of the requests of one connection."
    )
    id_enabled: bool = flag("OBS_REQUEST_ID_ENABLED", boolean, True, "Give every request an id (`X-Request-Id`).")
    id_headers: tuple[str, ...] = flag(
        "OBS_REQUEST_ID_HEADERS",
        request_id_headers,
        ("X-Request-Id",),
        "Request headers to take the id from; the first valid one wins: X-Request-Id,X-Correlation-ID,traceparent.",
    )
    id_response_header: str = flag(
        "OBS_REQUEST_ID_RESPONSE_HEADER",
        response_header,
        "X-Request-Id",
        "Header that carries the id in responses, and in calls of traced HTTP clients.",
    )
    id_format: str = flag(
        "OBS_REQUEST_ID_FORMAT",
        one_of(*ID_FORMATS),
        "uuid4",
        "Format of new ids: uuid4 (random) or uuid7 (sorted by time, RFC 9562).",
    )
    wait_times_enabled: bool = flag(
        "OBS_WAIT_TIMES_ENABLED",
        boolean,
        True,
        "Measure what each request waits for, and log it for slow and failed ones (`waited`).",
    )
    quiet_paths: tuple[str, ...] = flag(
        "OBS_QUIET_PATHS",
        exact_paths,
        (),
        "Exact paths whose successful requests are not logged, counted or traced: /ping.",
    )
    cancel_on_disconnect: tuple[str, ...] = flag(
        "OBS_CANCEL_ON_DISCONNECT",
        routes,
        (),
        "Routes to cancel when the client disconnects: `/generate,/chat/{id}`, or `true` for all.",
    )


__all__ = ["ID_FORMATS", "RequestSettings"]
