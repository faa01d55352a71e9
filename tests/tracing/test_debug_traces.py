"""The trace of a request with the signed debug header is recorded, whatever the sampler says."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.debug_header import DebugKey
from divan_obs_asgi.middlewares import TracingMiddleware
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed
from tests.tracing.exported import Exported

KEY = "0123456789abcdef"
FLAGS = {"OBS_DEBUG_KEY": KEY, "OBS_TRACING_ENABLED": "true", "OTEL_TRACES_SAMPLER_ARG": "0", "OBS_ENV": "test"}
UNSAMPLED = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")


class Service:
    """An application that makes a span of its own, behind a sampler that drops everything."""

    def __init__(self, provider: str = "own", **flags: str) -> None:
        self.exported = Exported()
        given: Any = {"span_exporter": self.exported}
        if provider == "application":
            theirs = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
            theirs.add_span_processor(SimpleSpanProcessor(self.exported))
            given = {"tracer_provider": theirs}
        self.observed = Observed({**FLAGS, **flags}, **given)
        assert self.observed.obs.spans is not None
        tracer = self.observed.obs.spans.provider.get_tracer("shop")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with tracer.start_as_current_span("work"):
                self.flags = trace.get_current_span().get_span_context().trace_flags
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        self.stack = build_stack(app, self.observed.obs, [TracingMiddleware])

    def ask(self, key: str | None, *headers: tuple[bytes, bytes]) -> list[ReadableSpan]:
        """Return the spans of a request that carries a header which is signed with `key`."""
        self.exported.spans.clear()
        pairs = [*headers, *([(b"x-divan-debug", DebugKey(key).header().encode())] if key else [])]
        conversation = anyio.run(converse, self.stack, http_scope(headers=pairs))
        assert conversation.error is None
        self.observed.obs.flush()
        return self.exported.spans


@pytest.mark.parametrize("provider", ["own", "application"])
@pytest.mark.parametrize("headers", [(), (UNSAMPLED,)], ids=["root", "unsampled parent"])
def test_a_debugged_request_is_traced(provider: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """With its children; the services that it calls are asked to record theirs."""
    service = Service(provider)
    assert service.ask(None, *headers) == []
    assert service.ask("another key of this length", *headers) == []
    child, server = service.ask(KEY, *headers)
    assert (child.name, server.name) == ("work", "GET __unmatched__")
    assert child.parent is not None
    assert server.context is not None
    assert child.parent.span_id == server.context.span_id
    assert service.flags.sampled
    assert service.ask(None, *headers) == []


def test_the_span_represents_only_itself() -> None:
    """It is marked, so that rates computed from spans can leave it out; a sampled one is not."""
    _, server = Service().ask(KEY)
    assert (server.attributes or {})["divan.kept"] == "debug"
    _, server = Service(OTEL_TRACES_SAMPLER_ARG="1").ask(KEY)
    assert "divan.kept" not in (server.attributes or {})


def test_no_span_has_the_header() -> None:
    header = DebugKey(KEY).header()
    service = Service()
    spans = service.ask(None, (b"x-divan-debug", header.encode()))
    assert len(spans) == 2
    assert header not in "".join(span.to_json() for span in spans)
