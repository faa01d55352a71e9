"""
Tracing: context propagation, server spans, spans of client libraries and of the application, and the export.

These modules can be imported without the extra `tracing`: `export.circuit_breaker`, `export.urls`,
`propagation.traceparent`, `propagation.tracestate`, `spans.decorator`, `spans.global_spans`, `spans.internal` and
`spans.tail_sampling`. The others require opentelemetry-sdk.
"""
