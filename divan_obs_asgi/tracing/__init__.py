"""
Tracing: W3C Trace Context, the SDK's provider, the server span, the way to the collector, clients and the work between.

`baggage`, `breaker`, `keep`, `sql`, `traceparent`, `tracestate`, `untraced`, `urls` and `work` can be imported without
the extra `tracing`; the other modules need opentelemetry-sdk.
"""
