"""The sinks of one service, each as a function that returns what would leave the process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

import orjson
from prometheus_client.registry import Collector

from divan_obs_asgi.logs import Lines, Logs, PipelineHandler
from divan_obs_asgi.logs.console_handlers import writes_to_console
from divan_obs_asgi.metrics import Format, Metrics
from divan_obs_asgi.probes.canary import CanarySink

if TYPE_CHECKING:
    from divan_obs_asgi.redaction import RedactionPolicy


# Results of this process. Policies do not change, so neither do their results.
_results: WeakKeyDictionary[RedactionPolicy, dict[str, bool]] = WeakKeyDictionary()


def known_results(policy: RedactionPolicy) -> dict[str, bool]:
    """Return whether the sinks with this policy are safe, as far as they were tested. The caller may add results."""
    return _results.setdefault(policy, {})


def log_sink(lines: Lines) -> CanarySink:
    """Return a sink for the line of a log call, with arguments, fields and an exception."""

    def written(text: str, fields: Mapping[str, object]) -> bytes:
        try:
            raise ValueError(text)
        except ValueError as error:
            exc_info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("canary", logging.ERROR, __file__, 0, "said %s", (text,), exc_info)
        vars(record).update(fields)
        return lines.application(record, None, 1.0)

    return written


def logging_sink(log: Logs, lines: Lines) -> CanarySink:
    """
    Return a sink for a WARNING through the root logger; without an installed pipeline, for its line alone.

    No handler writes the WARNING. If a console handler would have, the output contains the plain text.
    """
    without_pipeline = log_sink(lines)
    line: list[bytes] = []

    def written(text: str, fields: Mapping[str, object]) -> bytes:
        log.check_handler()
        root = logging.getLogger()
        if not log.is_installed or not root.isEnabledFor(logging.WARNING):
            return line[0] if line else _kept(line, without_pipeline(text, fields))
        with _RecordInterceptor() as interceptor:
            try:
                raise ValueError(text)
            except ValueError:
                root.warning(interceptor.message, text, exc_info=True, extra=dict(fields))
        record = interceptor.by_pipeline
        if record is None:
            raise LookupError("The root logger's records do not reach the pipeline.")
        if not line:
            # Once, because each line counts as a redaction.
            line.append(lines.application(record, None, 1.0))
        return line[0] + (text.encode() if interceptor.by_console else b"")

    return written


def _kept(line: list[bytes], data: bytes) -> bytes:
    line.append(data)
    return data


class _RecordInterceptor:
    """Blocks one record at the root logger's handlers, and notes which of them received it."""

    def __init__(self) -> None:
        # The record is recognized by this object, not by its text.
        self.message = " ".join(("said", "%s"))
        self.by_pipeline: logging.LogRecord | None = None
        self.by_console = False
        last = logging.lastResort
        self._filters = [
            (handler, _RecordFilter(self, handler)) for handler in (*logging.root.handlers, *([last] if last else ()))
        ]

    def __enter__(self) -> _RecordInterceptor:
        for handler, one in self._filters:
            handler.addFilter(one)
        return self

    def __exit__(self, *_: object) -> None:
        for handler, one in self._filters:
            handler.removeFilter(one)

    def note(self, handler: logging.Handler, record: logging.LogRecord) -> None:
        if isinstance(handler, PipelineHandler):
            self.by_pipeline = record
        elif writes_to_console(handler):
            self.by_console = True


class _RecordFilter(logging.Filter):
    def __init__(self, interceptor: _RecordInterceptor, handler: logging.Handler) -> None:
        super().__init__()
        self._interceptor = interceptor
        self._handler = handler

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg is not self._interceptor.message:
            return True
        self._interceptor.note(self._handler, record)
        return False


def metrics_sink(policy: RedactionPolicy) -> CanarySink:
    """Return a sink for label values and an exemplar."""

    def exposed(text: str, fields: Mapping[str, object]) -> bytes:
        metrics = Metrics(policy)
        counter = metrics.counter("canaries_total", "Canaries.", ["label"])
        counter.labels(text).inc(exemplar={"note": str(fields["note"])})
        return b"".join(metrics.slices(Format.OPENMETRICS, _raise, [cast(Collector, counter)]))

    return exposed


def health_sink(policy: RedactionPolicy) -> CanarySink:
    """Return a sink for the details of a probe."""

    def answered(text: str, fields: Mapping[str, object]) -> bytes:
        return orjson.dumps({"text": policy.redact_text(text), **policy.redact_record(fields)})

    return answered


def span_sink(policy: RedactionPolicy) -> CanarySink:
    """Return a sink for name, attributes, event and status of a span; needs OpenTelemetry."""

    def exported(text: str, fields: Mapping[str, object]) -> bytes:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import Status, StatusCode

        from divan_obs_asgi.tracing.export.redaction import SpanRedactor

        attributes = {key: value if isinstance(value, str) else str(value) for key, value in fields.items()}
        event = Event("exception", {"exception.message": text})
        status = Status(StatusCode.ERROR, text)
        span = ReadableSpan(text, attributes=attributes, events=[event], status=status)
        redacted = SpanRedactor(policy).span(span)
        return repr(
            [
                redacted.name,
                redacted.attributes,
                redacted.status.description,
                [dict(e.attributes or {}) for e in redacted.events],
            ]
        ).encode()

    return exported


def _raise(error: Exception) -> None:
    raise error


__all__ = ["health_sink", "log_sink", "logging_sink", "metrics_sink", "span_sink"]
