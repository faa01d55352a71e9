"""Upstream's own server span, for teams that want its exact behaviour. Needs the extra `tracing-clients`."""

from __future__ import annotations

from functools import partial
from types import NoneType
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import Span

from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.middlewares.base import RecordMiddleware, Undo
from divan_obs_asgi.tracing.propagation.context import is_http_suppressed
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class _Suppressible(OpenTelemetryMiddleware):
    """Makes no span where instrumentation is suppressed. Upstream does not check this before 0.62b0."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_http_suppressed(otel_context.get_current()):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class ContribTracingMiddleware(RecordMiddleware):
    """
    opentelemetry-instrumentation-asgi in the place of `TracingMiddleware`; the record takes the ids of its span.

    Without spans for single messages. Names, attributes and metrics are upstream's, raw paths among them; OBS_TRACING_*
    and OTEL_SEMCONV_STABILITY_OPT_IN mean what upstream makes of them.
    """

    component = "tracing"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if obs.spans is None:
            raise MiddlewareNotUsed("OBS_TRACING_ENABLED is false")
        self._spans = obs.spans
        contrib = _Suppressible(
            _with_plain_headers(app),
            tracer_provider=obs.spans.provider,
            server_request_hook=self._adopt,
            exclude_spans=["receive", "send"],
        )
        super().__init__(contrib, obs)

    def observe(self, scope: Scope, record: RequestRecord) -> Undo | None:
        for address in ("client", "server"):
            # Upstream reads them by index; ASGI asks for no more than an iterable.
            if not isinstance(scope.get(address), (tuple, list, NoneType)):
                scope[address] = tuple(scope[address])
        before = otel_context.get_current()
        if is_http_suppressed(before):
            return None  # Upstream makes no span.
        if record.span is None:
            # Upstream takes whatever span is current for its parent, and the caller's headers are lost.
            otel_context.attach(self._spans.framework_context(scope, record, before))
        return partial(otel_context.attach, before)

    def _adopt(self, span: Span, scope: Scope) -> None:
        record = scope.get(RECORD_KEY)
        if record is not None and record.span is None:
            self._spans.adopt(record, span)


def _with_plain_headers(app: ASGIApp) -> ASGIApp:
    """Have response headers be pairs of bytes: upstream reads them, an iterator to its end, and decodes them."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_plain_headers(message: Message) -> None:
            if "headers" in message:
                pairs = [(bytes(name), bytes(value)) for name, value in message["headers"]]
                message = {**message, "headers": pairs}
            await send(message)

        await app(scope, receive, send_with_plain_headers)

    return answer


__all__ = ["ContribTracingMiddleware"]
