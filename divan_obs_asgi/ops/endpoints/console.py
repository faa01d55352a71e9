"""GET /ops/console: the ops console, its page and its data; OBS_CONSOLE_ENABLED."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.headers import joined
from divan_obs_asgi.observability.ops_endpoints import (
    ERROR_SCHEMA,
    Endpoint,
    Operation,
    ResponseDescription,
    Schema,
)
from divan_obs_asgi.ops.endpoints.debug_header import DEBUG_HEADER, NO_KEY
from divan_obs_asgi.ops.endpoints.tasks import waiting_places
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import NOT_STORED, RequestRefused, json_response

if TYPE_CHECKING:
    from divan_obs_asgi.console.files import File
    from divan_obs_asgi.console.shapes import Action, TaskPlace
    from divan_obs_asgi.observability import Observability

_MAX_TASKS, _MAX_PLACES = 200, 20
_LONGEST_CURSOR = 64
_FORGOTTEN = RequestRefused(404, "This request is forgotten.")
_NO_FILE = RequestRefused(404, "There is no such endpoint.")
_NUMBER: Schema = {"type": ["number", "null"]}
_TEXT: Schema = {"type": "string"}
_ROWS: Schema = {
    "type": "array",
    "items": {"type": "object", "properties": {"id": _TEXT}, "required": ["id"]},
}
_COUNTS: Schema = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
_STATE: Schema = {
    "type": "object",
    "description": "Times are Unix seconds, durations are milliseconds; every text is redacted.",
    "properties": {
        "cursor": {"type": "string", "description": "Send it back as `since`."},
        "full": {
            "type": "boolean",
            "description": "Whether the lists are complete; else they have new and changed entries, by `id`.",
        },
        "restarted": {"type": "boolean", "description": "Whether `since` is the cursor of an earlier start."},
        "now": {"type": "number"},
        "service": {"type": "object"},
        "workers": {"type": "object"},
        "numbers": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"now": _NUMBER, "line": {"type": "array", "items": _NUMBER, "maxItems": 61}},
                "required": ["now", "line"],
            },
        },
        "requests": _ROWS,
        "errors": _ROWS,
        "routes": _ROWS,
        "probes": _ROWS,
        "loop": {"type": "object"},
        "sockets": {"type": "object"},
        "monitoring": _ROWS,
        "about": {"type": "object"},
        "changes": _ROWS,
        "actions": _ROWS,
        "forgotten": _COUNTS,
        "left_out": {**_COUNTS, "description": "New entries that did not fit into an answer with a cursor."},
    },
    "required": [
        *("cursor", "full", "restarted", "now", "service", "workers", "numbers", "requests", "errors", "routes"),
        *("probes", "loop", "sockets", "monitoring", "about", "changes", "actions", "forgotten", "left_out"),
    ],
    "additionalProperties": False,
}
_OPENED: Schema = {
    "type": "object",
    "properties": {
        "request": {"type": "object", "properties": {"id": _TEXT}, "required": ["id"]},
        "calls": {"type": "array", "items": {"type": "object"}},
        "lines": {"type": "array", "items": {"type": "object"}},
        "error": {"type": ["object", "null"]},
        "curl": _TEXT,
        "dropped": {"type": "object"},
    },
    "required": ["request", "calls", "lines", "error", "curl", "dropped"],
    "additionalProperties": False,
}


class ConsoleEndpoints:
    """The page, its files, and what it shows. With the flag off there are none, and nothing of it is imported."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs
        self._guard = guard
        self._console: Any = None
        if not obs.settings.console.enabled:
            return
        from divan_obs_asgi.console import files
        from divan_obs_asgi.console.install import installed
        from divan_obs_asgi.console.state import StateBuilder

        self._files = files.console_files()
        self._shell = self._files[files.SHELL]
        self._headers = files.HEADERS
        self._console = installed(obs)
        self._state = StateBuilder(self._console)

    def endpoints(self) -> Iterator[Endpoint]:
        if self._console is None:
            return
        unchanged = {304: ResponseDescription("The client has it already.", media_type=None)}
        page = {200: ResponseDescription("The page, without any data.", media_type="text/html"), **unchanged}
        code = {
            200: ResponseDescription("A file of the page.", media_type="text/javascript", also=("text/css",)),
            404: ResponseDescription("There is no such file.", ERROR_SCHEMA),
            **unchanged,
        }
        state = {200: ResponseDescription("The state, or what has changed since the cursor.", _STATE)}
        opened = {
            200: ResponseDescription("The request, its calls and its log lines.", _OPENED),
            404: ResponseDescription("The request is forgotten.", ERROR_SCHEMA),
        }
        headers = {"If-None-Match": _TEXT}
        yield Endpoint(
            "/ops/console/state",
            (Operation("GET", "What the ops console shows.", self.state, state, query={"since": _TEXT}),),
            polled=True,
        )
        yield Endpoint(
            "/ops/console/requests/{id}",
            (Operation("GET", "One request of the ops console.", self.request, opened),),
        )
        # Neither has a secret, and a browser cannot send the token for them.
        yield Endpoint(
            "/ops/console",
            (Operation("GET", "The ops console, a page for people.", self.shell, page, headers=headers),),
            guarded=False,
            internal=True,
            polled=True,
        )
        yield Endpoint(
            "/ops/console/{file}",
            (Operation("GET", "A file of the ops console.", self.file, code, headers=headers),),
            guarded=False,
            internal=True,
            polled=True,
        )

    async def shell(self, request: Request) -> Response:
        return self._sent(request, self._shell)

    async def file(self, request: Request) -> Response:
        found = self._files.get(request.path_params["file"])
        if found is None or found is self._shell:
            raise _NO_FILE
        return self._sent(request, found)

    async def state(self, request: Request) -> Response:
        """Make the answer in a thread; only what belongs to the event loop is read here."""
        since = request.query_params.get("since", "")[:_LONGEST_CURSOR]
        console, builder = self._console, self._state
        moment = builder.kept(since)
        collected, collected_at, tasks = None, 0.0, []
        if moment is None:
            collected, collected_at, tasks = console.collect(), console.now(), self._tasks()
        make = partial(builder.answer, moment, collected, collected_at, since, tasks, self._actions(request))
        # With a limiter of its own: plain functions of the application may occupy all threads of the shared one.
        body = await anyio.to_thread.run_sync(make, limiter=anyio.CapacityLimiter(1))
        return Response(body, 200, {**self._headers, **NOT_STORED}, "application/json")

    async def request(self, request: Request) -> Response:
        request_id = request.path_params["id"]
        console = self._console
        found = console.details(request_id)
        if found is None:
            found = await anyio.to_thread.run_sync(console.peers.details, request_id, limiter=anyio.CapacityLimiter(1))
        if found is None:
            raise _FORGOTTEN
        return json_response(found, headers=self._headers)

    def _sent(self, request: Request, file: File) -> Response:
        headers = {**self._headers, "etag": file.etag, "cache-control": "no-cache"}
        known = joined(request.scope["headers"], b"if-none-match")
        # A proxy that compresses makes the tag a weak one (RFC 9110, section 13.1.2: the comparison is weak).
        if any(tag.strip().removeprefix("W/") in (file.etag, "*") for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(file.body, 200, headers, file.media_type)

    def _tasks(self) -> list[TaskPlace]:
        try:
            return [{"place": place, "count": count} for place, count in waiting_places(_MAX_TASKS)[:_MAX_PLACES]]
        except Exception as error:
            self._obs.faults.report("console", error)
            return []

    def _actions(self, request: Request) -> list[Action]:
        obs = self._obs
        prefix = obs.settings.ops.prefix
        refusal = self._guard.why_no_change(request.scope)
        spans = obs.spans
        no_span = "OBS_TRACING_ENABLED is false." if spans is None else ""
        if spans is not None and not spans.exports:
            no_span = "OTEL_EXPORTER_OTLP_ENDPOINT is not set."
        listed = (
            ("level", "/ops/loggers", "Set a log level", ""),
            ("drain", "/ops/drain", "Drain", "It drains already." if obs.drain.active else ""),
            ("job", "/ops/rollover", "Start a job", "" if obs.jobs.names() else "No job is declared."),
            ("trace_test", "/ops/trace/test", "Export a test span", no_span),
            ("debug_header", DEBUG_HEADER, "Debug one request", "" if obs.settings.console.debug_key else NO_KEY),
        )
        return [
            {
                "id": name,
                "method": "POST",
                "path": prefix + path,
                "allowed": not (refusal or why_not),
                "why_not": refusal or why_not,
                "title": title,
            }
            for name, path, title, why_not in listed
        ]


__all__ = ["ConsoleEndpoints"]
