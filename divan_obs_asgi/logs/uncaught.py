"""What Python writes to standard error by itself: exceptions that nobody catches, and warnings."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from divan_obs_asgi.logs.last_resort import standard_error
from divan_obs_asgi.logs.lines import FIELDS_KEY

LOGGER = "divan_obs_asgi.uncaught"
# The standard library's name for warnings that are logged.
_WARNINGS = "py.warnings"
# Seconds that a process whose main thread has failed waits for its last line.
_FLUSH_S = 1.0


class Pipeline(Protocol):
    """Where the lines go."""

    def application(self, record: logging.LogRecord) -> object: ...

    def flush(self, timeout_s: float) -> bool: ...


class _Hook:
    """
    Stands in the place of one of Python's hooks.

    A hook that somebody else had set is called afterwards; Python's own is not, for it would write a second copy, and
    not a redacted one. Without a pipeline, everything is as it was before.

    Args:
        pipeline: returns the present one, or None.
        before: the hook that was there.
        default: Python's own.
    """

    def __init__(self, pipeline: Callable[[], Pipeline | None], before: Callable[..., object], default: object) -> None:
        self._pipeline = pipeline
        self.before = before
        self._is_default = before is default

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        pipeline = self._pipeline()
        if pipeline is None or not self._is_ours(*args, **kwargs):
            self.before(*args, **kwargs)
            return
        try:
            self._log(pipeline, *args, **kwargs)
        except Exception:
            # Fail closed: the type, and nothing of what it says.
            _tell_type(self._type(*args))
        if not self._is_default:
            self.before(*args, **kwargs)

    def _is_ours(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def _type(self, *args: Any) -> object:
        return getattr(args[0], "exc_type", args[0])

    def _log(self, pipeline: Pipeline, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError


class _OfProcess(_Hook):
    def _is_ours(self, kind: type[BaseException], *_: Any, **__: Any) -> bool:
        # Ctrl-C is an order, and at a prompt somebody reads what Python writes.
        return issubclass(kind, Exception) and not hasattr(sys, "ps1")

    def _log(self, pipeline: Pipeline, kind: Any, error: Any, traceback: Any, **_: Any) -> None:
        pipeline.application(
            _record(logging.CRITICAL, "uncaught exception; the process ends", (kind, error, traceback))
        )
        if not pipeline.flush(_FLUSH_S):
            _tell_type(kind)


class _OfThread(_Hook):
    def _is_ours(self, args: Any, **_: Any) -> bool:
        return issubclass(args.exc_type, Exception)

    def _log(self, pipeline: Pipeline, args: Any, **_: Any) -> None:
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        name = args.thread.name if args.thread is not None else ""
        pipeline.application(_record(logging.ERROR, "uncaught exception in a thread", exc_info, thread_name=name))


class _OfFinalizer(_Hook):
    def _log(self, pipeline: Pipeline, args: Any, **_: Any) -> None:
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        # Of the object only what it is: its `repr` says what it holds.
        owner = args.object if hasattr(args.object, "__qualname__") else type(args.object)
        what = str(getattr(owner, "__qualname__", ""))
        pipeline.application(_record(logging.ERROR, "exception ignored", exc_info, ignored_in=what))


class _OfWarnings(_Hook):
    def _is_ours(self, *args: Any, **kwargs: Any) -> bool:
        file = args[4] if len(args) > 4 else kwargs.get("file")
        return file is None

    def _type(self, *args: Any) -> object:
        return args[1]

    def _log(
        self, pipeline: Pipeline, message: Any, category: Any, filename: str, lineno: int, *_: Any, **__: Any
    ) -> None:
        where = f"{os.path.basename(filename)}:{lineno}"
        record = _record(logging.WARNING, "%s: %s (%s)", None, args=(category.__name__, message, where))
        record.name, record.pathname, record.lineno = _WARNINGS, filename, lineno
        pipeline.application(record)


def _record(
    level: int, message: str, exc_info: Any, *, args: tuple[object, ...] = (), **fields: object
) -> logging.LogRecord:
    if exc_info is not None and exc_info[1] is None:
        exc_info = (exc_info[0], exc_info[0](), exc_info[2])
    record = logging.LogRecord(LOGGER, level, __file__, 0, message, args, exc_info)
    setattr(record, FIELDS_KEY, fields)
    return record


def _tell_type(kind: object) -> None:
    name = getattr(kind, "__qualname__", "exception")
    standard_error.put(orjson.dumps({"level": "CRITICAL", "msg": f"uncaught {name}", "logger": LOGGER}))
    standard_error.flush(_FLUSH_S)


def install_hooks(pipeline: Callable[[], Pipeline | None]) -> None:
    """Have what Python writes by itself go to the pipeline, in the place of an earlier one."""
    sys.excepthook = _OfProcess(pipeline, _before(sys.excepthook), sys.__excepthook__)
    threading.excepthook = _OfThread(pipeline, _before(threading.excepthook), threading.__excepthook__)
    sys.unraisablehook = _OfFinalizer(pipeline, _before(sys.unraisablehook), sys.__unraisablehook__)
    # The module holds its own under a private name; a test's, or an application's, stays.
    default = getattr(warnings, "_showwarning_orig", None)
    if isinstance(warnings.showwarning, _OfWarnings) or warnings.showwarning is default:
        warnings.showwarning = _OfWarnings(pipeline, _before(warnings.showwarning), default)


def _before(hook: Callable[..., object]) -> Callable[..., object]:
    return hook.before if isinstance(hook, _Hook) else hook


__all__ = ["LOGGER", "install_hooks"]
