"""A real OTLP receiver, in the place of an OpenTelemetry Collector."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent import futures
from contextlib import suppress
from typing import Self

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from tests.patience import PATIENCE_S
from tests.servers.certificates import Certificates

AttributeValue = str | bool | int | float | bytes | None | list["AttributeValue"]


def attribute(value: AnyValue) -> AttributeValue:
    """Return an attribute's value as the Python value that was set."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [attribute(item) for item in value.array_value.values]
    result: AttributeValue = getattr(value, kind) if kind else None
    return result


def attributes(span: Span) -> dict[str, AttributeValue]:
    """Return the attributes of a span as a dict."""
    return {pair.key: attribute(pair.value) for pair in span.attributes}


class _Logs(LogsServiceServicer):
    def __init__(self, requests: list[ExportLogsServiceRequest]) -> None:
        self._requests = requests

    def Export(self, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> ExportLogsServiceResponse:
        self._requests.append(request)
        return ExportLogsServiceResponse()


class _Metrics(MetricsServiceServicer):
    def __init__(self, requests: list[ExportMetricsServiceRequest]) -> None:
        self._requests = requests

    def Export(
        self, request: ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> ExportMetricsServiceResponse:
        self._requests.append(request)
        return ExportMetricsServiceResponse()


class OtlpReceiver(TraceServiceServicer):
    """A gRPC TraceService on a free port of 127.0.0.1 that keeps what it receives."""

    def __init__(self, port: int = 0, tls: Certificates | None = None) -> None:
        self._resource_spans: list[ResourceSpans] = []
        self._arrived = threading.Condition()
        #: The error for all further requests; None for success.
        self.refuses_with: grpc.StatusCode | None = None
        #: Requests wait for this event before they are answered; clear it to make the collector hang.
        self.answers = threading.Event()
        self.answers.set()
        #: Requests so far, including refused ones.
        self.requests = 0
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2, thread_name_prefix="otlp-receiver"))
        add_TraceServiceServicer_to_server(self, self._server)
        #: The requests of the two other signals.
        self.logs: list[ExportLogsServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        add_LogsServiceServicer_to_server(_Logs(self.logs), self._server)
        add_MetricsServiceServicer_to_server(_Metrics(self.metrics), self._server)
        address = f"127.0.0.1:{port}"
        if tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            pair = (tls.server_key.read_bytes(), tls.server.read_bytes())
            credentials = grpc.ssl_server_credentials([pair], tls.ca.read_bytes(), require_client_auth=True)
            self.port = self._server.add_secure_port(address, credentials)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse connections from now on; received spans stay readable."""
        self.answers.set()
        self._server.stop(grace=0).wait()

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        self.requests += 1
        # Limited: the receiver waits for its threads when it ends.
        self.answers.wait(PATIENCE_S)
        if self.refuses_with is not None:
            context.abort(self.refuses_with, "on purpose")
        with self._arrived:
            self._resource_spans.extend(request.resource_spans)
            self._arrived.notify_all()
        return ExportTraceServiceResponse()

    def resource_spans(self) -> list[ResourceSpans]:
        """Return everything that has arrived, with resources and scopes."""
        with self._arrived:
            return list(self._resource_spans)

    def spans(self) -> list[Span]:
        """Return the spans that have arrived."""
        return [span for resource in self.resource_spans() for scope in resource.scope_spans for span in scope.spans]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Span]:
        """
        Wait for `count` spans, and return all of them.

        Raises:
            TimeoutError: if fewer have arrived when `timeout` seconds are over.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.spans()) >= count, timeout):
                names = [span.name for span in self.spans()]
                raise TimeoutError(f"{len(names)} of {count} spans arrived in {timeout} s: {names}")
            return self.spans()


def tree(spans: Iterable[Span]) -> list[str]:
    """Return one line for each span; a child is indented below its parent."""
    of = {span.span_id: span for span in spans}
    children: dict[bytes, list[Span]] = {}
    for span in sorted(of.values(), key=lambda span: span.start_time_unix_nano):
        children.setdefault(span.parent_span_id if span.parent_span_id in of else b"", []).append(span)

    def lines(parent: bytes, depth: int) -> Iterator[str]:
        for span in children.get(parent, ()):
            took_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
            trace = f"  trace {span.trace_id.hex()}" if depth == 0 else ""
            yield f"{'  ' * depth}{span.name}  {took_ms:.1f} ms{trace}"
            yield from lines(span.span_id, depth + 1)

    return list(lines(b"", 0))


def main() -> None:
    """Print received traces until interrupted: python -m tests.servers.otlp 4317."""

    class Printing(OtlpReceiver):
        def Export(
            self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            spans = [span for part in request.resource_spans for scope in part.scope_spans for span in scope.spans]
            sys.stdout.write("".join(f"{line}\n" for line in tree(spans)))
            sys.stdout.flush()
            return ExportTraceServiceResponse()

    with Printing(int(sys.argv[1])), suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    main()
