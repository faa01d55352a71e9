"""For those who log through loguru: its records as records of the standard library, so that there is one pipeline."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from divan_obs_asgi.logs.lines import FIELDS_KEY

_LINE = "logger.configure(handlers=[obs.loguru_handler()])"
# Frames between a record of the standard library and loguru, where a handler hands the one to the other.
_FRAMES = 16
_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO)
_logger = logging.getLogger("divan_obs_asgi.loguru")


class Pipeline(Protocol):
    """Where the lines go."""

    def application(self, record: logging.LogRecord) -> object: ...

    def gets(self, logger: logging.Logger) -> bool: ...


def loguru_handler() -> dict[str, Any]:
    """
    Return the handler that makes loguru's records log lines: `logger.configure(handlers=[obs.loguru_handler()])`.

    Bound values and `extra` are fields of the line. TRACE is written as DEBUG, SUCCESS as INFO, a level of your own as
    the next lower one of the standard library; `loguru_level` has the name.
    """
    # loguru calls a filter before it takes its lock and before it formats an exception: nothing in here can wait for
    # loguru, and a log call from within is one like any other.
    return {"sink": _write_nothing, "filter": _hand_over, "level": 0, "format": "{message}"}


class Installed:
    """The pipeline that `init` or `wrap` has set up last; weakly."""

    def __init__(self) -> None:
        self._pipeline: Callable[[], Pipeline | None] | None = None

    def set(self, pipeline: Pipeline) -> None:
        self._pipeline = weakref.ref(pipeline)

    def get(self) -> Pipeline | None:
        return self._pipeline() if self._pipeline is not None else None


# loguru has one logger a process, and its handler may be set up before there is a pipeline.
installed = Installed()


def warn_of_loguru() -> None:
    """Log how to set loguru up, where it is imported and writes past the pipeline."""
    module = sys.modules.get("loguru")
    if module is None:
        return
    # loguru has no public way to ask which handlers there are.
    handlers = getattr(getattr(getattr(module, "logger", None), "_core", None), "handlers", None)
    if not handlers or not isinstance(handlers, dict):
        return  # Without a handler it writes nothing.
    filters = [getattr(handler, "_filter", None) for handler in handlers.values()]
    streams = [getattr(handler, "_name", "") in ("<stderr>", "<stdout>") for handler in handlers.values()]
    if _hand_over not in filters:
        _logger.warning("loguru is not set up: its lines are not redacted and have no request id. Write %s", _LINE)
    elif any(streams):
        _logger.warning("loguru also writes to a stream, without redaction. Replace its handlers: %s", _LINE)


def _hand_over(record: Any) -> bool:
    """Write loguru's record; return that loguru has nothing to write."""
    try:
        _write(record)
    except Exception as error:
        # loguru would write the record to standard error.
        _logger.error("A record of loguru could not be read: %s.", type(error).__name__)
    return False


def _write(record: Any) -> None:
    pipeline = installed.get()
    message = record["message"].removesuffix("\n")
    found = _of_standard_library(message)
    if found is not None:
        # Of loguru's `InterceptHandler`. The pipeline has it already, unless its logger does not propagate.
        logger, original = found
        if pipeline is not None and not pipeline.gets(logger):
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
        # Not by the root logger: an `InterceptHandler` there would hand it back to loguru.
        pipeline.application(made)
    else:
        logger.handle(made)


def _exc_info(record: Any) -> Any:
    exception = record["exception"]
    if exception is None or exception.value is None:
        return None
    return exception.type, exception.value, exception.traceback


def _of_standard_library(message: str) -> tuple[logging.Logger, logging.LogRecord] | None:
    """Return the standard library's record that a handler is handing to loguru, with its logger."""
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
    """What loguru calls for a record that its filter lets through; there is none."""


__all__ = ["installed", "loguru_handler", "warn_of_loguru"]
