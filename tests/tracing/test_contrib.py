"""Upstream's middleware instead of ours has the same contract and the same record."""

from __future__ import annotations

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares.contrib_tracing import ContribTracingMiddleware
from divan_obs_asgi.settings import DEFAULT_MIDDLEWARE
from divan_obs_asgi.testing import CONTRACT, Check, converse, http_scope
from tests.stack.test_contract import wrapped
from tests.stacks import BACKENDS, CORE, Observed, run_on
from tests.tracing.exported import Exported
from tests.tracing.test_contract import TRACED

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LIST = ",".join(DEFAULT_MIDDLEWARE).replace(".TracingMiddleware", ".ContribTracingMiddleware")


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_keeps_the_contract(check: Check, backend: str) -> None:
    """Alone and among the others."""
    exported = Exported()
    observed = Observed(TRACED, span_exporter=exported)
    run_on(backend, check, lambda app: wrapped(app, observed.obs, (ContribTracingMiddleware,)))
    run_on(backend, check, lambda app: wrapped(app, observed.obs, (ContribTracingMiddleware, *CORE)))


async def greet(request: Request) -> Response:
    return PlainTextResponse("hello")


@pytest.mark.parametrize("sampled", [True, False])
def test_line_span_and_response_are_of_one_trace(sampled: bool) -> None:
    """It is selected by its name in OBS_MIDDLEWARE; the span is the one of upstream's middleware."""
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_MIDDLEWARE": LIST}, span_exporter=exported)
    stack = obs.build_stack(Starlette(routes=[Route("/hello/{name}", greet)]), observed.obs)
    caller = f"00-{TRACE}-{SPAN}-0{int(sampled)}".encode()
    answer = anyio.run(lambda: converse(stack, http_scope("/hello/ada", headers=[(b"traceparent", caller)])))
    observed.obs.flush()
    (line,) = observed.lines()
    assert line["trace_id"] == TRACE
    assert line["route"] == "/hello/{name}"
    assert answer.header(b"traceparent") == [f"00-{TRACE}-{line['span_id']}-0{int(sampled)}".encode()]
    assert [span.name for span in exported.spans] == (["GET /hello/ada"] if sampled else [])
    if sampled:
        assert exported.spans[0].context is not None
        assert f"{exported.spans[0].context.span_id:016x}" == line["span_id"]


def test_without_tracing_it_is_not_used() -> None:
    """The reason is the same as for our middleware."""
    observed = Observed({"OBS_MIDDLEWARE": "divan_obs_asgi.middlewares.ContribTracingMiddleware"})
    stack = obs.build_stack(Starlette(), observed.obs)
    assert isinstance(stack, Starlette)
