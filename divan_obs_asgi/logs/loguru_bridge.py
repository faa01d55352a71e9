"""Turns records of loguru into records of the standard library, so that all lines go through one pipeline."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from divan_obs_asgi.logs.lines import FIELDS_KEY

_LINE = "logger.configure(handlers=[obs.loguru_handler()])"
# Frames between a record of the standard library and loguru, if a handler passes records to loguru.
_FRAMES = 16
_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO)
_logger = logging.getLogger("divan_obs_asgi.loguru")


class Pipeline(Protocol):
    """The pipeline that writes the lines."""

    def application(self, record: logging.LogRecord) -> object: ...

    def receives(self, logger: logging.Logger) -> bool: ...


def loguru_handler() -> dict[str, Any]:
    """
    Return a handler that turns loguru's records into log lines: `logger.configure(handlers=[obs.loguru_handler()])`.

    Bound values and `extra` are fields of the line. TRACE is written as DEBUG, SUCCESS as INFO, and a level of your own
    as the next lower one of the standard library; `loguru_level` then has loguru's name.
    """
    # loguru calls a filter before it takes its lock and before it formats an exception. So this code never waits for
    # loguru's lock, and a log call inside it is safe.
    return {"sink": _write_nothing, "filter": _pass_to_pipeline, "level": 0, "format": "{message}"}


class InstalledPipeline:
    """A weak reference to the pipeline that `init` or `wrap` installed last."""

    def __init__(self) -> None:
        self._pipeline: Callable[[], Pipeline | None] | None = None

    def set(self, pipeline: Pipeline) -> None:
        self._pipeline = weakref.ref(pipeline)

    def get(self) -> Pipeline | None:
        return self._pipeline() if self._pipeline is not None else None


# loguru has one logger per process, and its handler may be configured before a pipeline exists.
installed = InstalledPipeline()


def warn_of_loguru() -> None:
    """Log a warning with the call to add, if loguru is imported and bypasses the pipeline."""
    module = sys.modules.get("loguru")
    if module is None:
        return
    # loguru has no public list of its handlers.
    handlers = getattr(getattr(getattr(module, "logger", None), "_core", None), "handlers", None)
    if not handlers or not isinstance(handlers, dict):
        return  # Without a handler loguru writes nothing.
    filters = [getattr(handler, "_filter", None) for handler in handlers.values()]
    streams = [getattr(handler, "_name", "") in ("<stderr>", "<stdout>") for handler in handlers.values()]
    if _pass_to_pipeline not in filters:
        _logger.warning("loguru is not set up: its lines are not redacted and have no request id. Add %s", _LINE)
    elif any(streams):
        _logger.warning("loguru also writes to a stream, without redaction. Replace its handlers: %s", _LINE)


def _pass_to_pipeline(record: Any) -> bool:
    """Write loguru's record; return False, so that loguru does not write it."""
    try:
        _write(record)
    except Exception as error:
        # If this raised, loguru would write the record to standard error.
        _logger.error("Cannot read a record of loguru: %s.", type(error).__name__)
    return False


def _write(record: Any) -> None:
    pipeline = installed.get()
    message = record["message"].removesuffix("\n")
    found = _intercepted_record(message)
    if found is not None:
        # From loguru's `InterceptHandler`. The pipeline has this record already, unless its logger does not propagate.
        logger, original = found
        if pipeline is not None and not pipeline.receives(logger):
            pipeline.application(original)
        return
    logger = logging.getLogger(record["name"] or "loguru")
    level = record["level"]
    if not logger.isEnabledFor(level.no):
        return
    made = logging.LogRecord(
        logger.name, level.no, record["file"].path, record["line"], message, (), _exc_info(record), record["function"]
    )
    made.created = record["time"].timestamp()
    fields = dict(record["extra"])
    standard = next((number for number in _LEVELS if level.no >= number), logging.DEBUG)
    made.levelname = logging.getLevelName(standard)
    if level.name != made.levelname:
        fields["loguru_level"] = level.name
    setattr(made, FIELDS_KEY, fields)
    if pipeline is not None:
        # Not through the root logger: an `InterceptHandler` there would pass it back to loguru.
        pipeline.application(made)
    else:
        logger.handle(made)


def _exc_info(record: Any) -> Any:
    exception = record["exception"]
    if exception is None or exception.value is None:
        return None
    return exception.type, exception.value, exception.traceback


def _intercepted_record(message: str) -> tuple[logging.Logger, logging.LogRecord] | None:
    """Return the standard library's record that a handler is passing to loguru, with its logger."""
    frame = sys._getframe(2)
    for _ in range(_FRAMES):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        if frame.f_code is logging.Logger.callHandlers.__code__:
            logger, record = frame.f_locals["self"], frame.f_locals["record"]
            return (logger, record) if record.getMessage() == message else None
    return None


def _write_nothing(_: object) -> None:
    """Do nothing: the filter never lets a record through, but loguru needs a sink."""


__all__ = ["installed", "loguru_handler", "warn_of_loguru"]
