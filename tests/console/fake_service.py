"""A service that serves the page of the console with scripted states, under the policy of the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.console import states

TOKEN = "a-token-of-the-console"
STATIC = files("divan_obs_asgi.console") / "static"
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
MAX_FAILURES = 10
Scene = Callable[["FakeService"], states.State | Response]


def _later(service: FakeService) -> states.State:
    """Only what is new since the first state: one request, and more of an error."""
    new = states.request(6, "/late", worker=4712)
    error = {**states.ERROR, "count": 4}
    return states.state(cursor="k1-2", full=False, requests=[new], errors=[error], changes=[])


def _restarted(service: FakeService) -> states.State:
    whole = states.state(cursor="k2-1", restarted=service.asked_since != "k2-1", requests=[states.request(9, "/fresh")])
    return {**whole, "service": {**whole["service"], "started": states.NOW}}


def _one_of_many(service: FakeService) -> states.State:
    return states.state(workers={"known": False, "answering": 4711, "list": [], "skipped_files": 0})


def _killed(service: FakeService) -> states.State:
    workers = states.state()["workers"]
    workers["list"][1]["alive"] = False
    return states.state(workers=workers, forgotten={"requests": 12, "errors": 0, "changes": 0, "bytes": 90_000})


def _draining(service: FakeService) -> states.State:
    whole = states.state()
    return {**whole, "service": {**whole["service"], "ready": False, "draining": True}}


def _unavailable(service: FakeService) -> Response:
    return JSONResponse({"detail": "Too busy."}, 503, {**HEADERS, "retry-after": "1"})


def _damaged(service: FakeService) -> states.State:
    """A state of which a part could not be made, and another one has an unexpected shape."""
    whole = states.state(errors=[{"id": "odd"}], routes=[{"id": "odd"}])
    del whole["numbers"], whole["sockets"]
    return whole


SCENES: dict[str, Scene] = {
    "normal": lambda service: states.state(),
    "later": _later,
    "restarted": _restarted,
    "one of many": _one_of_many,
    "killed": _killed,
    "draining": _draining,
    "unavailable": _unavailable,
    "damaged": _damaged,
    "hostile": lambda service: states.hostile(),
    "many": lambda service: states.many(),
}


class FakeService:
    """
    What a test scripts: the scene, which `POST /fake?scene=...` changes, and what the page has sent.

    Attributes:
        posted: the path, the body and the idempotency key of each request that changes something.
        public: whether the state needs no token.
    """

    def __init__(self, scene: str = "normal", *, prefix: str = "", public: bool = False) -> None:
        self.scene = scene
        self.public = public
        self.posted: list[tuple[str, Any, str | None]] = []
        self.states = 0
        self.asked_since: str | None = None
        self.credentials: list[str] = []
        self.urls: list[str] = []
        self.prefix = prefix
        self._wrong = 0
        self.app = Starlette(
            routes=[
                Route("/fake", self.set_scene, methods=["POST"]),
                Route(f"{prefix}/ops/console", self.shell),
                Route(f"{prefix}/ops/console/state", self.state),
                Route(f"{prefix}/ops/console/requests/{{id}}", self.request),
                Route(f"{prefix}/ops/console/{{name}}", self.static),
                Route(f"{prefix}/ops/{{path:path}}", self.act, methods=["POST"]),
            ]
        )

    async def set_scene(self, request: Request) -> Response:
        self.scene = request.query_params["scene"]
        return JSONResponse({"states": self.states})

    async def shell(self, request: Request) -> Response:
        return self._file("console.html")

    async def static(self, request: Request) -> Response:
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        if name.rpartition(".")[2] not in TYPES or not (STATIC / name).is_file():
            return Response(status_code=404)
        return Response((STATIC / name).read_bytes(), headers=HEADERS, media_type=TYPES[name.rpartition(".")[2]])

    async def state(self, request: Request) -> Response:
        self.asked_since = request.query_params.get("since")
        self.states += 1
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        state = SCENES[self.scene](self)
        return state if isinstance(state, Response) else _json(state)

    async def request(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self.scene == "hostile":
            return _json(_hostile_detail())
        detail = states.details().get(request.path_params["id"])
        return _json({"detail": "There is no such request."}, 404) if detail is None else _json(detail)

    async def act(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        body = await request.body()
        path = request.url.path.removeprefix(self.prefix)
        self.posted.append((path, json.loads(body) if body else None, request.headers.get("idempotency-key")))
        if path == "/ops/drain":
            self.scene = "draining"
        if path == "/ops/console/debug-header":
            return _json({"header": "X-Divan-Debug", "value": "v1.signed", "expires": states.NOW + 900})
        return _json({"pid": 4711})

    def _refusal(self, request: Request) -> Response | None:
        self.urls.append(str(request.url))
        given = request.headers.get("authorization")
        self.credentials.append(given or "")
        if given == f"Bearer {TOKEN}" or (self.public and request.method == "GET"):
            return None
        if given is None:
            return _json({"detail": "The admin token is missing."}, 401)
        self._wrong += 1
        if self._wrong > MAX_FAILURES:
            return JSONResponse({"detail": "Too many wrong tokens."}, 429, {**HEADERS, "retry-after": "37"})
        return _json({"detail": "The admin token is wrong."}, 401)


def _hostile_detail() -> states.State:
    text = "\n".join(states.HOSTILE)
    lines = [states.line(one, one) for one in states.HOSTILE]
    return {
        "request": {
            **states.request(0, text, trace_id="ab"),
            "first_byte_ms": None,
            "fields": {text: text},
            "waited": {},
        },
        "calls": [states.call(0, one, one, one + "!", 1.0) for one in states.HOSTILE],
        "lines": lines,
        "error": {**states.ERROR, "message": text},
        "curl": text,
        "dropped": {"calls": 0, "lines": 0},
    }


def _json(content: object, status: int = 200) -> Response:
    # With escapes, as a lone surrogate can only be sent.
    return Response(json.dumps(content), status, {**HEADERS, "cache-control": "no-store"}, "application/json")
