"""Export by OTLP: what traces, logs and metrics share. Queue, retries, disk and the connection to the collector."""
