"""
Tracing: W3C Trace Context, the SDK's provider, and the server span.

Only `traceparent` can be imported without the extra `tracing`; the other modules need opentelemetry-sdk.
"""
