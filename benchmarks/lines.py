"""
The parts of benchmarks.logs: one finished request, and the ways to write its line.

Every way writes the same twelve fields as JSON. It is checked before it is timed: its last line must have all of
them, with the values of the request, so that no way can win by omitting something.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TextIO, cast

import orjson
import structlog
from pythonjsonlogger.orjson import OrjsonFormatter

from benchmarks.inprocess import COMMIT, ENVIRONMENT, LOG_FIELDS, ROUTE, SERVICE, Misconfigured
from divan_obs_asgi import Observability, RequestRecord
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.internal_errors import InternalErrors


class Stream(Protocol):
    """Where a way writes to: bytes, as a file opened without a buffer of text takes them."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


@dataclass(frozen=True)
class Way:
    """
    A way to write an access line.

    Attributes:
        write: writes the line of a finished record.
        settle: writes what is still queued; timed, since others have written theirs by then.
        dropped: how many lines a full queue did not take.
    """

    name: str
    write: Callable[[RequestRecord], object]
    settle: Callable[[], object] = lambda: None
    dropped: Callable[[], float] = lambda: 0.0


class Text:
    """A stream of text above one of bytes, as `logging.StreamHandler` wants it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text.encode())

    def flush(self) -> None:
        self._stream.flush()


class JsonFormatter(logging.Formatter):
    """What many services have: `json.dumps` in a formatter of their own."""

    def format(self, record: logging.LogRecord) -> str:
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"ts": f"{now}.{int(record.msecs * 1000):06d}Z", "level": record.levelname, "msg": record.getMessage()}
        return json.dumps({**line, **cast(Any, record).fields})


def _fields(record: RequestRecord) -> dict[str, object]:
    return {
        "service": SERVICE,
        "env": ENVIRONMENT,
        "commit": COMMIT,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "route": record.route,
        "status": record.status,
        "latency_ms": round(record.duration_s * 1000, 3),
    }


def ours(stream: Stream, **flags: str) -> Way:
    """`Logs.access`, as AccessLogMiddleware calls it; every line is kept."""
    obs = _observability(stream, {"LOG_SAMPLING_RATE_INFO": "1", **flags})
    return Way("ours", obs.log.access, obs.log.sink.flush, _dropped(obs))


def ours_sampled_out(stream: Stream) -> Way:
    """The same under load, where sampling drops every line but the first of a second."""
    obs = _observability(stream, {"LOG_SAMPLING_RATE_INFO": "0", "LOG_SAMPLING_BUDGET": "1"})
    return Way("ours, dropped", obs.log.access, obs.log.sink.flush)


def ours_recorded(stream: Stream) -> Way:
    """A DEBUG line of the application that goes to the flight recorder."""
    obs = _observability(stream, {})
    obs.log.install()
    logger = obs.logger("benchmarks.recorded")

    def write(record: RequestRecord) -> None:
        record.outcome = None
        current_record.set(record)
        logger.debug("%s of %s found", 3, "tea")

    return Way("ours, recorded", write)


def structlog_orjson(stream: Stream) -> Way:
    """The way that structlog's chapter on performance recommends: orjson and bytes."""
    logger = structlog.wrap_logger(
        structlog.BytesLogger(cast(BinaryIO, stream)),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", key="ts"),
            structlog.processors.EventRenamer("msg"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("INFO"),
        cache_logger_on_first_use=True,
    )
    return Way("structlog+orjson", lambda record: logger.info("request", **_fields(record)))


def python_json_logger(stream: Stream) -> Way:
    """python-json-logger with its orjson formatter."""
    logger = _stdlib_logger(stream, OrjsonFormatter("{asctime}{levelname}{message}", style="{", rename_fields=_RENAMED))
    return Way("python-json-logger", lambda record: logger.info("request", extra=_fields(record)))


def stdlib_json(stream: Stream) -> Way:
    """The standard library with `json.dumps`."""
    logger = _stdlib_logger(stream, JsonFormatter())
    return Way("stdlib JSON", lambda record: logger.info("request", extra={"fields": _fields(record)}))


_RENAMED = {"asctime": "ts", "levelname": "level", "message": "msg"}
WAYS: dict[str, Callable[[Stream], Way]] = {
    "ours": ours,
    "structlog+orjson": structlog_orjson,
    "python-json-logger": python_json_logger,
    "stdlib JSON": stdlib_json,
}


def _stdlib_logger(stream: Stream, formatter: logging.Formatter) -> logging.Logger:
    logger = logging.Logger("benchmarks", logging.INFO)
    handler = logging.StreamHandler(cast(TextIO, Text(stream)))
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return logger


def _observability(stream: Stream, flags: dict[str, str]) -> Observability:
    own = {"OBS_ENV": ENVIRONMENT, "OBS_SERVICE_NAME": SERVICE, "OBS_COMMIT": COMMIT}
    return Observability.from_env({**own, **flags}, log_stream=stream)


def _dropped(obs: Observability) -> Callable[[], float]:
    registry = obs.metrics.registry
    name, labels = "divan_log_records_dropped_total", {"level": "INFO"}
    return lambda: registry.get_sample_value(name, labels) or 0.0


_FAULTS = InternalErrors(count=lambda component: None)
_ROUTES = RouteTemplates(None)


def finished_request() -> RequestRecord:
    """Return a record as it is when its line is written; each is new, since a decision is remembered on it."""
    record = RequestRecord({"type": "http", "method": "GET"}, _ROUTES, _FAULTS)
    record.route, record.status, record.outcome, record.duration_s = ROUTE, 200, "ok", 0.001234
    record.request_id = "0b5c6c1e-2f0b-4c5e-9a43-6f0f2b1f7f51"
    record.trace_id, record.span_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    return record


class Last:
    """A stream that keeps what was written last."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.written.append(data)
        return len(data)

    def flush(self) -> None: ...


def verify(makers: Sequence[Callable[[Stream], Way]]) -> None:
    """
    Write one line by each way and look at it.

    Raises:
        Misconfigured: where a field is missing or wrong.
    """
    for make in makers:
        stream = Last()
        way = make(stream)
        record = finished_request()
        way.write(record)
        way.settle()
        line = json.loads(b"".join(stream.written))
        wanted = {
            "route": ROUTE,
            "status": 200,
            "request_id": record.request_id,
            "service": SERVICE,
            "latency_ms": 1.234,
        }
        if not line.keys() >= LOG_FIELDS or any(line[key] != value for key, value in wanted.items()):
            raise Misconfigured(f"{way.name} wrote {line}; expected {sorted(LOG_FIELDS)}, {wanted}.")


def verify_ends() -> None:
    """
    Look at what becomes of a line that is dropped, and of one that is recorded.

    Raises:
        Misconfigured: where the first is written, or the second is not kept.
    """
    stream = Last()
    dropping = ours_sampled_out(stream)
    for _ in range(3):
        dropping.write(finished_request())
    dropping.settle()
    if b"".join(stream.written).count(b"\n") > 2:
        raise Misconfigured("ours, dropped: expected to write the first line of a second only.")
    record = finished_request()
    ours_recorded(stream).write(record)
    if record.kept_lines is None or b"3 of tea found" not in record.kept_lines.lines[0][0]:
        raise Misconfigured("ours, recorded: expected the line on the record.")
