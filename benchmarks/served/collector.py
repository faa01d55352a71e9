"""An OTLP receiver that costs little while it is measured."""

from __future__ import annotations

from concurrent import futures
from typing import Any, Self

import grpc


class Collector:
    """A gRPC server that decodes what it got only when it is asked for the number of spans."""

    def __init__(self) -> None:
        self._requests: list[bytes] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        method: Any = grpc.unary_unary_rpc_method_handler(self._export)
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        handlers: Any = grpc
        self._server.add_generic_rpc_handlers((handlers.method_handlers_generic_handler(service, {"Export": method}),))
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0)

    def _export(self, request: bytes, context: object) -> bytes:
        self._requests.append(request)
        return b""

    def forget(self) -> None:
        """Drop what has come."""
        self._requests.clear()

    def spans(self) -> int:
        """Return how many spans have come since the last call."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        requests, self._requests = self._requests, []
        decoded = map(ExportTraceServiceRequest.FromString, requests)
        return sum(
            len(scope.spans) for one in decoded for resource in one.resource_spans for scope in resource.scope_spans
        )


__all__ = ["Collector"]
