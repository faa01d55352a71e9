"""A strict OTLP receiver over HTTP whose answers are scripted."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.patience import PATIENCE_S
from tests.servers.certificates import Certificates

PROTOBUF = "application/x-protobuf"
_REQUESTS: dict[str, type[Message]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}


@dataclass(frozen=True)
class Answer:
    """
    One answer.

    Attributes:
        keeps: whether the receiver keeps the spans.
        resets: close the connection without an answer.
        hangs: answer only when the receiver stops.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    keeps: bool = False
    resets: bool = False
    hangs: bool = False


ACCEPTS = Answer(headers={"Content-Type": PROTOBUF}, keeps=True)


def partial(rejected: int, message: str) -> Answer:
    """Return a success that rejects some spans; the receiver keeps the others."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return Answer(body=response.SerializeToString(), headers={"Content-Type": PROTOBUF}, keeps=True)


class OtlpHttpReceiver:
    """Serves /v1/traces, /v1/logs and /v1/metrics on a free port of 127.0.0.1; what OTLP forbids gets a 400."""

    def __init__(self, port: int = 0, tls: Certificates | None = None) -> None:
        #: The next answers; then every request is accepted.
        self.script: deque[Answer] = deque()
        self.spans: list[Span] = []
        self.logs: list[ExportLogsServiceRequest] = []
        self.metrics: list[ResourceMetrics] = []
        #: Path, headers and size of each request.
        self.requests: list[tuple[str, dict[str, str], int]] = []
        self.connections = 0
        self._arrived = threading.Condition()
        self._stopped = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver.connections += 1

            def do_POST(self) -> None:
                receiver._respond(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Write nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Write nothing: some tests break the connection."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.server, tls.server_key)
            context.load_verify_locations(tls.ca)
            context.verify_mode = ssl.CERT_REQUIRED
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int) -> list[str]:
        """Wait for `count` spans, and return the names of all of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.spans) >= count, PATIENCE_S), len(self.spans)
            return [span.name for span in self.spans]

    def wait_for_lines(self, count: int) -> list[LogRecord]:
        """Wait for `count` log records, and return all of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.log_records()) >= count, PATIENCE_S), self.log_records()
            return self.log_records()

    def wait_for_metrics(self, count: int) -> list[ResourceMetrics]:
        """Wait for `count` exports of metrics, and return all of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.metrics) >= count, PATIENCE_S), len(self.metrics)
            return list(self.metrics)

    def log_records(self) -> list[LogRecord]:
        parts = [part for request in self.logs for part in request.resource_logs]
        return [record for part in parts for scope in part.scope_logs for record in scope.log_records]

    def _keep(self, request: Any) -> None:
        if isinstance(request, ExportLogsServiceRequest):
            self.logs.append(request)
        elif isinstance(request, ExportMetricsServiceRequest):
            self.metrics += request.resource_metrics
        else:
            parts = [scope for part in request.resource_spans for scope in part.scope_spans]
            self.spans += [span for scope in parts for span in scope.spans]

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        content = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.requests.append((handler.path, {k.lower(): v for k, v in handler.headers.items()}, len(content)))
        with self._arrived:
            answer = self.script.popleft() if self.script else ACCEPTS
        if answer.hangs:
            self._stopped.wait(PATIENCE_S)
        if answer.resets or answer.hangs:
            handler.close_connection = True
            return
        try:
            kind = _REQUESTS[handler.path]
            assert handler.headers["Content-Type"] == PROTOBUF
            if handler.headers["Content-Encoding"] == "gzip":
                content = gzip.decompress(content)
            request: Message = kind.FromString(content)
        except Exception:
            answer = Answer(400)
            request = ExportTraceServiceRequest()
        if answer.keeps:
            with self._arrived:
                self._keep(request)
                self._arrived.notify_all()
        handler.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer.body)


__all__ = ["ACCEPTS", "Answer", "OtlpHttpReceiver", "partial"]
