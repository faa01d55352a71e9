"""The export of ended spans to the collector: queue, redaction, encoding and circuit breaker."""
