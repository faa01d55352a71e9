"""The tests' OTLP receiver."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.servers.otlp import OtlpReceiver, attributes


def test_a_span_arrives_as_it_was_sent(otlp_receiver: OtlpReceiver) -> None:
    """Name, ids, attributes and resource of a span come through a real exporter and a real gRPC server."""
    provider = TracerProvider(resource=Resource({"service.name": "divan"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=otlp_receiver.endpoint, insecure=True)))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("GET /", attributes={"http.route": "/", "sizes": [1, 2], "ok": True}) as sent:
        pass

    (span,) = otlp_receiver.wait_for(1)
    provider.shutdown()

    assert span.name == "GET /"
    assert span.trace_id == sent.get_span_context().trace_id.to_bytes(16, "big")
    assert attributes(span) == {"http.route": "/", "sizes": [1, 2], "ok": True}
    (resource,) = otlp_receiver.resource_spans()
    assert [pair.key for pair in resource.resource.attributes] == ["service.name"]


def test_a_wait_for_spans_that_do_not_come_ends(otlp_receiver: OtlpReceiver) -> None:
    """The error has the number of spans that have arrived."""
    with pytest.raises(TimeoutError, match=r"0 of 2 spans arrived in 0\.02 s: \[\]"):
        otlp_receiver.wait_for(2, timeout=0.02)
