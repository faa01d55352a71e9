"""The way of an ended span to the collector: redaction, queue, encoding, circuit breaker."""
