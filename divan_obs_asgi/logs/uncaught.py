"""What Python writes to standard error by itself: exceptions that nobody catches, and warnings."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TextIO, cast

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
    not a redacted one. Where the other hook calls Python's own, as those of error trackers do with the one they have
    found, that copy is left out of standard error. Without a pipeline, everything is as it was before.

    Args:
        pipeline: returns the present one, or None.
        before: the hook that was there.
        default: Python's own.
    """

    def __init__(
        self,
        pipeline: Callable[[], Pipeline | None],
        before: Callable[..., object],
        default: Callable[..., object] | None,
    ) -> None:
        self.pipeline = pipeline
        self.before = before
        self._default = default

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        pipeline = self.pipeline()
        if pipeline is None or not self._is_ours(*args, **kwargs):
            self.before(*args, **kwargs)
            return
        try:
            self._log(pipeline, *args, **kwargs)
        except Exception:
            # Fail closed: the type, and nothing of what it says.
            _tell_type(self._type(*args))
        if self.before is not self._default:
            self._call_other(pipeline, *args, **kwargs)

    def _call_other(self, pipeline: Pipeline, *args: Any, **kwargs: Any) -> None:
        copies = self._copies(*args, **kwargs)
        with _Held() as held:
            try:
                self.before(*args, **kwargs)
            except Exception as error:
                # Python would write its traceback, and the first one's again.
                exc_info = (type(error), error, error.__traceback__)
                pipeline.application(_record(logging.ERROR, "a hook for uncaught exceptions failed", exc_info))
        text = held.text
        for copy in copies:
            text = text.replace(copy, "")
        if text.strip():
            standard_error.put(text.removesuffix("\n").encode("utf-8", "backslashreplace"))
            standard_error.flush(_FLUSH_S)

    def _copies(self, *args: Any, **kwargs: Any) -> list[str]:
        """Return what Python itself would write; no hook can be asked whether it calls Python's."""
        copies = []
        with suppress(Exception), _Held() as held:
            if self._default is not None:
                self._default(*args, **kwargs)
            copies.append(held.text)
        with suppress(Exception):
            copies.append("".join(traceback.format_exception(*self._exc_info(*args))))
        return [copy for copy in copies if copy]

    def _exc_info(self, *args: Any) -> tuple[Any, Any, Any]:
        """Return type, exception and traceback of the hook's arguments."""
        return args[0].exc_type, args[0].exc_value, args[0].exc_traceback

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

    def _exc_info(self, *args: Any) -> tuple[Any, Any, Any]:
        return args[0], args[1], args[2]

    def _log(self, pipeline: Pipeline, kind: Any, error: Any, steps: Any, **_: Any) -> None:
        _log_end(pipeline, kind, error, steps)


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


class _Held:
    """Stands in the place of `sys.stderr`, and holds what this thread writes; other threads' goes through."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._owner = threading.get_ident()
        self._stream = sys.stderr

    def __enter__(self) -> _Held:
        # Where there is no standard error, Python writes nothing.
        if self._stream is not None:
            sys.stderr = cast(TextIO, self)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.stderr is self:
            sys.stderr = self._stream

    def write(self, text: str) -> int:
        if threading.get_ident() != self._owner:
            return self._stream.write(text)
        self._parts.append(text)
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() != self._owner:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def text(self) -> str:
        """What was written."""
        return "".join(self._parts)


class _InPlaceOfTraceback(_Held):
    """
    Logs the exception that ends a child of `multiprocessing`, in place of what that writes of it.

    It writes a heading and a traceback while it handles the exception, and then ends. Its finalizers come too early for
    that up to Python 3.12, and since 3.13 too late.
    """

    def write(self, text: str) -> int:
        if threading.get_ident() == self._owner and (self._parts or (text == _heading() and _log_failed_child())):
            return super().write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


def expect_failed_child() -> None:
    """In a child of `multiprocessing`, before it runs: have an exception that ends it logged."""
    if sys.stderr is not None and not isinstance(sys.stderr, _InPlaceOfTraceback):
        sys.stderr = cast(TextIO, _InPlaceOfTraceback())


def _heading() -> str:
    return f"Process {sys.modules['multiprocessing.process'].current_process().name}:\n"


def _log_failed_child() -> bool:
    """Log the exception under way; return whether there was one, and a pipeline for it."""
    error = sys.exc_info()[1]
    # An error tracker may have set one of them since; each has the pipeline.
    hooks: tuple[object, ...] = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    hook = next((hook for hook in hooks if isinstance(hook, _Hook)), None)
    pipeline = None if hook is None else hook.pipeline()
    if pipeline is None or not isinstance(error, Exception):
        return False
    try:
        _log_end(pipeline, type(error), error, error.__traceback__)
    except Exception:
        _tell_type(type(error))
    return True


def _log_end(pipeline: Pipeline, kind: Any, error: Any, steps: Any) -> None:
    pipeline.application(_record(logging.CRITICAL, "uncaught exception; the process ends", (kind, error, steps)))
    if not pipeline.flush(_FLUSH_S):
        _tell_type(kind)


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


__all__ = ["LOGGER", "expect_failed_child", "install_hooks"]
