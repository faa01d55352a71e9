"""Trace context in headers, in context variables and in messages between processes."""
