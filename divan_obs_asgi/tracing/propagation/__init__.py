"""Trace context in headers, context variables and Pub/Sub messages."""
