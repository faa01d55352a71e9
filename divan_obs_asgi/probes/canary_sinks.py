"""The sinks of one service, each as a function that shows what would leave through it."""

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
from divan_obs_asgi.probes.canary import Sink

if TYPE_CHECKING:
    from divan_obs_asgi.redaction import RedactionPolicy


# What canaries have found out in this process: policies do not change.
_known: WeakKeyDictionary[RedactionPolicy, dict[str, bool]] = WeakKeyDictionary()


def known_of(policy: RedactionPolicy) -> dict[str, bool]:
    """Return which sinks with this policy are known to be tight or not, for others to add to."""
    return _known.setdefault(policy, {})


def log_sink(lines: Lines) -> Sink:
    """Return what a log call, its arguments, its fields and its exception become."""

    def written(text: str, fields: Mapping[str, object]) -> bytes:
        try:
            raise ValueError(text)
        except ValueError as error:
            exc_info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("canary", logging.ERROR, __file__, 0, "said %s", (text,), exc_info)
        vars(record).update(fields)
        return lines.application(record, None, 1.0)

    return written


def logging_sink(log: Logs, lines: Lines) -> Sink:
    """
    Return what a WARNING of the application becomes on its way through the root logger; without a pipeline, the line.

    No handler writes it. What a handler for the console would have written is returned as it is.
    """
    direct = log_sink(lines)
    line: list[bytes] = []

    def written(text: str, fields: Mapping[str, object]) -> bytes:
        log.look_after_handler()
        root = logging.getLogger()
        if not log.is_installed or not root.isEnabledFor(logging.WARNING):
            return line[0] if line else _kept(line, direct(text, fields))
        with _Intercepted() as intercepted:
            try:
                raise ValueError(text)
            except ValueError:
                root.warning(intercepted.message, text, exc_info=True, extra=dict(fields))
        record = intercepted.by_pipeline
        if record is None:
            raise LookupError("The root logger's records do not go through the pipeline.")
        if not line:
            # Once, for each is counted as a redaction.
            line.append(lines.application(record, None, 1.0))
        return line[0] + (text.encode() if intercepted.by_console else b"")

    return written


def _kept(line: list[bytes], data: bytes) -> bytes:
    line.append(data)
    return data


class _Intercepted:
    """Keeps one record from the root logger's handlers, and notes which of them have got it."""

    def __init__(self) -> None:
        # The object, and not its text, tells the record from any other.
        self.message = " ".join(("said", "%s"))
        self.by_pipeline: logging.LogRecord | None = None
        self.by_console = False
        last = logging.lastResort
        self._filters = [
            (handler, _One(self, handler)) for handler in (*logging.root.handlers, *([last] if last else ()))
        ]

    def __enter__(self) -> _Intercepted:
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


class _One(logging.Filter):
    def __init__(self, intercepted: _Intercepted, handler: logging.Handler) -> None:
        super().__init__()
        self._intercepted = intercepted
        self._handler = handler

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg is not self._intercepted.message:
            return True
        self._intercepted.note(self._handler, record)
        return False


def metrics_sink(policy: RedactionPolicy) -> Sink:
    """Return what label values and an exemplar become."""

    def exposed(text: str, fields: Mapping[str, object]) -> bytes:
        metrics = Metrics(policy)
        counter = metrics.counter("canaries_total", "Canaries.", ["label"])
        counter.labels(text).inc(exemplar={"note": str(fields["note"])})
        return b"".join(metrics.slices(Format.OPENMETRICS, _raise, [cast(Collector, counter)]))

    return exposed


def health_sink(policy: RedactionPolicy) -> Sink:
    """Return what the details of a probe become."""

    def answered(text: str, fields: Mapping[str, object]) -> bytes:
        return orjson.dumps({"text": policy.redact_text(text), **policy.redact_record(fields)})

    return answered


def span_sink(policy: RedactionPolicy) -> Sink:
    """Return what name, attributes, event and status of a span become; needs OpenTelemetry."""

    def exported(text: str, fields: Mapping[str, object]) -> bytes:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import Status, StatusCode

        from divan_obs_asgi.tracing.export.redaction import SpanRedactor

        attributes = {key: value if isinstance(value, str) else str(value) for key, value in fields.items()}
        event = Event("exception", {"exception.message": text})
        status = Status(StatusCode.ERROR, text)
        span = ReadableSpan(text, attributes=attributes, events=[event], status=status)
        told = SpanRedactor(policy).span(span)
        return repr(
            [told.name, told.attributes, told.status.description, [dict(e.attributes or {}) for e in told.events]]
        ).encode()

    return exported


def _raise(error: Exception) -> None:
    raise error


__all__ = ["health_sink", "log_sink", "logging_sink", "metrics_sink", "span_sink"]
