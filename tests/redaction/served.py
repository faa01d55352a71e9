"""A service that sends its input to every sink: `python -m tests.redaction.served FD`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

import uvicorn
from opentelemetry import trace
from opentelemetry.trace import Link, Status, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi
from divan_obs_asgi import Observability
from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import Group

logger = logging.getLogger("served")


class Chatty:
    """A probe that reports its last input, and why it fails."""

    name = "chatty"
    timeout = 1.0
    critical = False
    group: Group = "ready"

    def __init__(self) -> None:
        self.seen: dict[str, object] = {}

    async def check(self) -> Mapping[str, object]:
        return self.seen


class Failing(Chatty):
    name = "failing"

    async def check(self) -> Mapping[str, object]:
        raise ProbeFailed("error", **self.seen)


class Broken(Chatty):
    name = "broken"
    group: Group = "startup"

    async def check(self) -> Mapping[str, object]:
        raise RuntimeError(str(self.seen))


def build() -> Starlette:
    obs = Observability.from_env()
    probes = [Chatty(), Failing(), Broken()]
    for probe in probes:
        obs.probes.register(probe)
    calls = obs.metrics.counter("calls_total", "Calls.", ["caller"])
    tracer = trace.get_tracer("served")

    async def send_everywhere(request: Request) -> Response:
        """Send everything of the request to every sink."""
        redacted: dict[str, object] = {
            "path": request.url.path,
            "query": request.url.query,
            "headers": dict(request.headers),
            "payload": await request.json(),
            "raw": (await request.body()).decode(),
        }
        for probe in probes:
            probe.seen = redacted
        calls.labels(str(redacted["payload"])).inc()
        obs.log.bind(user=redacted, note=str(redacted))
        logger.info(f"redacted {redacted}")
        logger.warning("args %s %r", redacted["path"], redacted)
        logger.warning("extra", extra={"seen": redacted, "email": redacted["path"], "password": redacted["raw"]})
        logger.warning("stack %s", redacted["query"], stack_info=True)
        try:
            raise LookupError(f"inner {redacted}") from KeyError(redacted["raw"])
        except LookupError:
            logger.exception("caught %s", redacted["raw"])
        span = trace.get_current_span()
        span.set_attribute("url.full", str(request.url))
        span.set_attribute("http.request.header.cookie", request.headers["cookie"])
        span.set_attribute("said", [str(redacted["raw"]), request.url.path])
        span.add_event(f"event {redacted['raw']}", {"at": str(redacted["query"])})
        link = Link(span.get_span_context(), {"why": str(redacted["raw"])})
        with tracer.start_as_current_span(f"child {request.url.path}", links=[link]) as child:
            child.record_exception(ValueError(str(redacted)))
            child.set_status(Status(StatusCode.ERROR, str(redacted["raw"])))
        if request.query_params["then"] == "raise":
            raise RuntimeError(f"outer {redacted}")
        if request.query_params["then"] == "json":
            return JSONResponse({"detail": str(redacted), "redacted": redacted}, 500)
        return PlainTextResponse(str(redacted), 500)

    app = Starlette(routes=[Route("/send/{what:path}", send_everywhere, methods=["POST"])])
    divan_obs_asgi.init(app, obs)
    return app


if __name__ == "__main__":
    uvicorn.run(build(), fd=int(sys.argv[1]), log_config=None)
