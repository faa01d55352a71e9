"""Logs what Python writes to standard error itself: uncaught exceptions and warnings."""

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
# The standard library's logger for warnings.
_WARNINGS = "py.warnings"
# Seconds that a process with a failed main thread waits for its last line.
_FLUSH_S = 1.0


class Pipeline(Protocol):
    """The pipeline that writes the lines."""

    def application(self, record: logging.LogRecord) -> object: ...

    def flush(self, timeout_s: float) -> bool: ...


class _Hook:
    """
    Replaces one of Python's hooks.

    A foreign hook that was set before is called afterwards. Python's own hook is not called, because it would write a
    second, unredacted copy. If the foreign hook calls Python's own, as those of error trackers do, that copy is left
    out of standard error. Without a pipeline, only the previous hook is called.

    Args:
        pipeline: returns the current pipeline, or None.
        before: the previous hook.
        default: Python's own hook.
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
            # Fail closed: the type without the text.
            _write_type(self._type(*args))
        if self.before is not self._default:
            self._call_previous(pipeline, *args, **kwargs)

    def _call_previous(self, pipeline: Pipeline, *args: Any, **kwargs: Any) -> None:
        copies = self._copies(*args, **kwargs)
        with _HeldStderr() as held:
            try:
                self.before(*args, **kwargs)
            except Exception as error:
                # If this were raised, Python would write its traceback, and the first traceback again.
                exc_info = (type(error), error, error.__traceback__)
                pipeline.application(_record(logging.ERROR, "A hook for uncaught exceptions failed.", exc_info))
        text = held.text
        for copy in copies:
            text = text.replace(copy, "")
        if text.strip():
            standard_error.put(text.removesuffix("\n").encode("utf-8", "backslashreplace"))
            standard_error.flush(_FLUSH_S)

    def _copies(self, *args: Any, **kwargs: Any) -> list[str]:
        """Return the texts that Python itself would write: whether a hook calls Python's own cannot be found out."""
        copies = []
        with suppress(Exception), _HeldStderr() as held:
            if self._default is not None:
                self._default(*args, **kwargs)
            copies.append(held.text)
        with suppress(Exception):
            copies.append("".join(traceback.format_exception(*self._exc_info(*args))))
        return [copy for copy in copies if copy]

    def _exc_info(self, *args: Any) -> tuple[Any, Any, Any]:
        """Return type, exception and traceback from the hook's arguments."""
        return args[0].exc_type, args[0].exc_value, args[0].exc_traceback

    def _is_ours(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def _type(self, *args: Any) -> object:
        return getattr(args[0], "exc_type", args[0])

    def _log(self, pipeline: Pipeline, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError


class _ProcessHook(_Hook):
    def _is_ours(self, kind: type[BaseException], *_: Any, **__: Any) -> bool:
        # Ctrl-C is not a failure. At an interactive prompt a person reads what Python writes.
        return issubclass(kind, Exception) and not hasattr(sys, "ps1")

    def _exc_info(self, *args: Any) -> tuple[Any, Any, Any]:
        return args[0], args[1], args[2]

    def _log(self, pipeline: Pipeline, kind: Any, error: Any, steps: Any, **_: Any) -> None:
        _log_end(pipeline, kind, error, steps)


class _ThreadHook(_Hook):
    def _is_ours(self, args: Any, **_: Any) -> bool:
        return issubclass(args.exc_type, Exception)

    def _log(self, pipeline: Pipeline, args: Any, **_: Any) -> None:
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        name = args.thread.name if args.thread is not None else ""
        pipeline.application(_record(logging.ERROR, "Uncaught exception in a thread.", exc_info, thread_name=name))


class _FinalizerHook(_Hook):
    def _log(self, pipeline: Pipeline, args: Any, **_: Any) -> None:
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        # Only the type of the object: its `repr` may contain data.
        owner = args.object if hasattr(args.object, "__qualname__") else type(args.object)
        what = str(getattr(owner, "__qualname__", ""))
        pipeline.application(_record(logging.ERROR, "Exception ignored.", exc_info, ignored_in=what))


class _WarningHook(_Hook):
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


class _HeldStderr:
    """Replaces `sys.stderr` and holds the text that this thread writes; text of other threads passes through."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._owner = threading.get_ident()
        self._stream = sys.stderr

    def __enter__(self) -> _HeldStderr:
        # Without standard error, Python writes nothing.
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
        """The text that was written."""
        return "".join(self._parts)


class _ChildStderr(_HeldStderr):
    """
    Logs the exception that ends a child of `multiprocessing`, in place of the text that `multiprocessing` writes.

    `multiprocessing` writes a heading and a traceback while it handles the exception, and then the child ends. Its
    finalizers run too early for this up to Python 3.12, and too late since 3.13.
    """

    def write(self, text: str) -> int:
        if threading.get_ident() == self._owner and (self._parts or (text == _heading() and _log_failed_child())):
            return super().write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


def log_exception_of_child() -> None:
    """Log an exception that ends this child of `multiprocessing`; called before the child runs."""
    if sys.stderr is not None and not isinstance(sys.stderr, _ChildStderr):
        sys.stderr = cast(TextIO, _ChildStderr())


def _heading() -> str:
    return f"Process {sys.modules['multiprocessing.process'].current_process().name}:\n"


def _log_failed_child() -> bool:
    """Log the exception that is being handled; return whether there was one, and a pipeline for it."""
    error = sys.exc_info()[1]
    # An error tracker may have replaced one of the hooks. Each of the others has the pipeline.
    hooks: tuple[object, ...] = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    hook = next((hook for hook in hooks if isinstance(hook, _Hook)), None)
    pipeline = None if hook is None else hook.pipeline()
    if pipeline is None or not isinstance(error, Exception):
        return False
    try:
        _log_end(pipeline, type(error), error, error.__traceback__)
    except Exception:
        _write_type(type(error))
    return True


def _log_end(pipeline: Pipeline, kind: Any, error: Any, steps: Any) -> None:
    pipeline.application(_record(logging.CRITICAL, "Uncaught exception; the process ends.", (kind, error, steps)))
    if not pipeline.flush(_FLUSH_S):
        _write_type(kind)


def _record(
    level: int, message: str, exc_info: Any, *, args: tuple[object, ...] = (), **fields: object
) -> logging.LogRecord:
    if exc_info is not None and exc_info[1] is None:
        exc_info = (exc_info[0], exc_info[0](), exc_info[2])
    record = logging.LogRecord(LOGGER, level, __file__, 0, message, args, exc_info)
    setattr(record, FIELDS_KEY, fields)
    return record


def _write_type(kind: object) -> None:
    name = getattr(kind, "__qualname__", "exception")
    standard_error.put(orjson.dumps({"level": "CRITICAL", "msg": f"uncaught {name}", "logger": LOGGER}))
    standard_error.flush(_FLUSH_S)


def install_hooks(pipeline: Callable[[], Pipeline | None]) -> None:
    """Send what Python writes itself to this pipeline; hooks of an earlier pipeline are replaced."""
    sys.excepthook = _ProcessHook(pipeline, _before(sys.excepthook), sys.__excepthook__)
    threading.excepthook = _ThreadHook(pipeline, _before(threading.excepthook), threading.__excepthook__)
    sys.unraisablehook = _FinalizerHook(pipeline, _before(sys.unraisablehook), sys.__unraisablehook__)
    # The module keeps its own function under a private name. A replacement by a test or an application stays.
    default = getattr(warnings, "_showwarning_orig", None)
    if isinstance(warnings.showwarning, _WarningHook) or warnings.showwarning is default:
        warnings.showwarning = _WarningHook(pipeline, _before(warnings.showwarning), default)


def _before(hook: Callable[..., object]) -> Callable[..., object]:
    return hook.before if isinstance(hook, _Hook) else hook


__all__ = ["LOGGER", "install_hooks", "log_exception_of_child"]
