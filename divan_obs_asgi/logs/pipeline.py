"""The logs of one `Observability`: from records to the sink."""

from __future__ import annotations

import logging
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio

from divan_obs_asgi.connection.record import HeldLine, Record, current_record
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.logs.child_processes import write_queue_at_child_exit
from divan_obs_asgi.logs.console_handlers import loggers, remove_all_console_handlers, remove_console_handlers
from divan_obs_asgi.logs.errors import exception_of
from divan_obs_asgi.logs.kept_lines import kept_line
from divan_obs_asgi.logs.libraries import is_failure_of_connection
from divan_obs_asgi.logs.lines import ACCESS_LOGGER, Lines, access_level
from divan_obs_asgi.logs.loguru_bridge import installed
from divan_obs_asgi.logs.minute_limit import MinuteLimit
from divan_obs_asgi.logs.own_loggers import OwnLoggers
from divan_obs_asgi.logs.prints import end_prints, log_prints
from divan_obs_asgi.logs.reconfigured import NextRecordsWatcher, UnhandledRecordHandler
from divan_obs_asgi.logs.recorder import FlightRecorder
from divan_obs_asgi.logs.repeats import chain_of, is_repeated, note_reported, with_granian_exception
from divan_obs_asgi.logs.root_level import RootLevel
from divan_obs_asgi.logs.runtime_levels import RuntimeLevels
from divan_obs_asgi.logs.sampling import Sampler
from divan_obs_asgi.logs.server_loggers import adopt_server_loggers
from divan_obs_asgi.logs.sink import FLUSH_S, Sink
from divan_obs_asgi.logs.termination import flush_on_termination
from divan_obs_asgi.logs.uncaught import install_hooks
from divan_obs_asgi.logs.unread_levels import disable_unread_level

_PACKAGE = "divan_obs_asgi"
# A line that waits for the end of its request is written after this many seconds: a WebSocket may last for hours.
_HELD_S = 5.0
# Lines of one request that may wait; further ones are written at once.
_MAX_HELD = 8
# Requests that are checked once a second for such lines. Lines of further requests are written when these end.
_MAX_HOLDING = 1000
_logger = logging.getLogger(f"{_PACKAGE}.logs")


class Logs:
    """
    Writes JSON lines: one for each connection, and one for each record of the standard library's logging.

    The level applies first, then sampling. Lines of a connection that either of them suppresses go to the flight
    recorder. Of the lines below the level, only those of the application's own loggers do.

    Args:
        restores: whether to put the handler back if a later configuration of logging removes it.
        removed: called each time the handler was removed.
    """

    def __init__(
        self,
        lines: Lines,
        sampler: Sampler,
        recorder: FlightRecorder,
        own_loggers: OwnLoggers,
        sink: Sink,
        root: RootLevel,
        faults: InternalErrors,
        *,
        restores: bool = True,
        removed: Callable[[], object] = bool,
    ) -> None:
        self._restores = restores
        self._removed = removed
        self._is_missing = False
        self._lines = lines
        self._sampler = sampler
        self._recorder = recorder
        self._own_loggers = own_loggers
        self._root = root
        self._faults = faults
        self._access_logger = logging.getLogger(ACCESS_LOGGER)
        self._own_access_line = False
        self._installed: _InstalledHandler | None = None
        self._limit = MinuteLimit()
        self._holding: deque[weakref.ref[Record]] = deque(maxlen=_MAX_HOLDING)
        self.levels = RuntimeLevels(root)
        self.sink = sink
        # A weak reference: the sink must not keep its pipeline alive.
        sink.before_end = weakref.WeakMethod(self.write_last_lines)
        write_queue_at_child_exit()

    def access(self, record: Record) -> None:
        """Write the line of a finished record, unless level or sampling suppress it."""
        if self.levels.changes:
            self.levels.expire()
        level = access_level(record)
        rate, recorded = 1.0, False
        if level < (self._access_logger.level or self._root.level):
            if not self._recorder.emits_for(record):
                return
            recorded = True
        elif level < logging.WARNING and not self._sampler.keeps_all and not self._recorder.emits_for(record):
            rate = self._sampler.rate_of(record)
            if not rate:
                return
        self.sink.put(self._lines.access(record, level, rate, recorded), level)
        if record.held:
            _drop_repeated_lines(record)
        if record.error is not None:
            record.is_reported = True
            note_reported(record.error)

    @staticmethod
    def passed_on(error: BaseException) -> None:
        """Note the frames of a reported exception that leaves the stack; its server logs it next."""
        note_reported(error)

    def application(self, record: logging.LogRecord) -> None:
        """Write the line of a LogRecord, unless level or sampling suppress it; never raises."""
        request = current_record.get()
        try:
            self._application(record, request)
        except Exception as error:
            self.unreadable(record, error)

    def _application(self, record: logging.LogRecord, request: Record | None) -> None:
        if self.levels.changes:
            self.levels.expire()
        if self._limit.is_over:
            self.write_counts_of_left_out_lines()
        if not record.exc_info and record.levelno >= logging.ERROR:
            record = with_granian_exception(record)
        error = exception_of(record)
        if error is not None and is_repeated(record, error):
            return
        level = record.levelno
        writes = self._root.writes(record)
        if not writes and request is not None and request.debug and request.outcome is None:
            # After the end the limit of the flight recorder applies: a task may outlive its request for hours.
            writes = self._own_loggers.include(record)
        rate = 1.0 if writes else 0.0
        if writes and level < logging.WARNING and request is not None:
            if request.outcome is None:
                rate = self._sampler.rate_of(request)
            else:
                # A task may outlive its request for hours, so the load of today decides, not that of the request.
                rate = self._sampler.rate_for(request.trace_id, request.request_id)
        if rate:
            if self._limit.allows(record):
                line = self._lines.application(record, request, rate)
                if request is not None and request.watcher is not None:
                    request.watcher.line(request, line)
                if level >= logging.ERROR and _may_hold(request) and is_failure_of_connection(record):
                    self._hold(request, line, level, error)  # type: ignore[arg-type]
                else:
                    self._put(line, level, error)
        elif not writes and not self._own_loggers.include(record):
            if self._own_loggers.excludes(record.name):
                disable_unread_level(record, self._root)
        elif request is not None and self._recorder.wants(request) and level >= self._root.recorded_from:
            self._recorder.keep(request, kept_line(self._lines, record, request), level)

    def _put(self, line: bytes, level: int, error: BaseException | None) -> None:
        self.sink.put(line, level)
        if error is not None and level >= logging.ERROR:
            note_reported(error)

    def _hold(self, request: Record, line: bytes, level: int, error: BaseException | None) -> None:
        """Hold a framework's line until the request has ended: the access line may report the same failure."""
        self._holding.append(weakref.ref(request))
        request.hold(HeldLine(error, partial(self._put_held, line, level, error), time.monotonic()))

    def _put_held(self, line: bytes, level: int, error: BaseException | None) -> None:
        try:
            self._put(line, level, error)
        except Exception as another:
            self._faults.report("logs", another)

    def _write_held(self, older_than_s: float) -> None:
        """Write lines that have waited longer than this for the end of their request; never raises."""
        try:
            until = time.monotonic() - older_than_s
            for _ in range(len(self._holding)):
                reference = self._holding.popleft()
                if (request := reference()) is not None:
                    request.write_held(until)
                    if request.held:
                        self._holding.append(reference)
        except Exception as error:
            self._faults.report("logs", error)

    def printed(self, record: logging.LogRecord) -> None:
        """Write a printed line, unless the sink's writer thread printed it: each line would cause another one."""
        if self.sink.is_called_by_a_writer():
            self.sink.drop(record.levelno)
        else:
            self.application(record)

    def unreadable(self, record: logging.LogRecord, error: Exception) -> None:
        """Write a line without any content of the record; never raises."""
        self._faults.report("logs", error)
        try:
            self.sink.put(self._lines.unreadable(record, current_record.get()), logging.ERROR)
        except Exception as another:
            self._faults.report("logs", another)

    def write_counts_of_left_out_lines(self) -> None:
        """Write how many lines that clients can cause were left out since the last time; never raises."""
        try:
            for record in self._limit.take():
                self.sink.put(self._lines.application(record, None, 1.0), record.levelno)
        except Exception as error:
            self._faults.report("logs", error)

    def write_last_lines(self) -> None:
        """Write unfinished prints, held lines and counts, because the process ends; never raises."""
        try:
            end_prints()
        except Exception as error:
            self._faults.report("logs", error)
        self._write_held(-_HELD_S)
        self.write_counts_of_left_out_lines()

    async def maintain(self) -> None:
        """Write counts and held lines in time, and check the handler, once a second until cancelled."""
        while True:
            await anyio.sleep(1.0)
            if self._limit.is_over:
                self.write_counts_of_left_out_lines()
            if self._holding:
                self._write_held(_HELD_S)
            self.check_handler()

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Write the queue and the counts of left-out lines; return whether everything was written."""
        self.write_counts_of_left_out_lines()
        return self.sink.flush(timeout_s)

    def bind(self, **fields: object) -> None:
        """Add business fields to the access line of the current request; outside a request, do nothing."""
        record = current_record.get()
        if record is not None:
            record.bind(**fields)

    @property
    def is_installed(self) -> bool:
        """Whether records of the root logger go through this pipeline and not through a later one."""
        return self._installed is not None

    def install(self, *, own_access_line: bool = True, application: str = "", prints: bool = False) -> None:
        """
        Send the records of the root logger, and of all loggers with console handlers, through this pipeline.

        `init` and `wrap` call this. All console handlers and the handler of an earlier pipeline are removed, so that
        each event is written once. Other handlers of the root logger stay, and get the same records as before.

        Args:
            own_access_line: whether the library writes access lines; then those of servers are switched off.
            application: a module of the application; the loggers of its package are own loggers wherever it is
                installed.
            prints: whether prints are logged.
        """
        if application:
            self._own_loggers.add_package(application)
        root = logging.getLogger()
        for handler in list(root.handlers):
            if isinstance(handler, PipelineHandler):
                root.removeHandler(handler)
                handler.logs.replaced()
        self._root.install()
        root.addHandler(PipelineHandler(self))
        self._installed = _InstalledHandler(self)
        self._own_access_line = own_access_line
        self.adopt_server_loggers()
        remove_all_console_handlers()
        # Hooks and loggers belong to the process and may outlive this pipeline.
        install_hooks(self._installed.pipeline)
        if self._restores and logging.lastResort is not None:
            logging.lastResort = UnhandledRecordHandler(self._write_unhandled_record, logging.lastResort)
        if prints:
            log_prints(self._installed.pipeline)
        installed.set(self)
        flush_on_termination()

    def replaced(self) -> None:
        """Note that another pipeline replaces this one at the root logger."""
        self._installed = None

    def receives(self, logger: logging.Logger) -> bool:
        """Return whether this pipeline receives the records of a logger of the standard library."""
        at: logging.Logger | None = logger
        while at is not None:
            if any(isinstance(handler, PipelineHandler) and handler.logs is self for handler in at.handlers):
                return True
            at = at.parent if at.propagate else None
        return False

    def adopt_server_loggers(self) -> None:
        """Redirect loggers that a server configured after `install`; if nothing is installed, do nothing."""
        if self._installed is not None and self._installed.is_there():
            adopt_server_loggers(self._installed.is_there, own_access_line=self._own_access_line)

    def handler_closed(self) -> None:
        """Watch the next records: code that closes the handler is about to remove it."""
        if self._installed is not None:
            NextRecordsWatcher(self._check_logger)

    def check_handler(self) -> None:
        """
        If logging was configured again, put the handler back and remove console handlers; never raises.

        With OBS_LOGGING_RESTORE=false, only log that the handler is missing.
        """
        try:
            self._check_handler()
        except Exception as error:
            self._faults.report("logs", error)

    def _check_handler(self) -> None:
        installed = self._installed
        if installed is None:
            return
        missing = not installed.is_there()
        if missing:
            # `disable_existing_loggers` is on by default.
            for logger in loggers():
                if logger.name.startswith(_PACKAGE):
                    logger.disabled = False
            if self._restores:
                handler = PipelineHandler(self)
                # Does nothing if another thread was faster.
                logging.root.addHandler(handler)
                missing = any(one is handler for one in logging.root.handlers)
                self.adopt_server_loggers()
        names = remove_all_console_handlers() if self._restores else []
        known, self._is_missing = self._is_missing, missing and not self._restores
        if missing and not known:
            self._removed()
            _logger.warning(
                "Logging was reconfigured, which removed the redacting handler from the root logger; %s.",
                "it was put back" if self._restores else "lines are not redacted (OBS_LOGGING_RESTORE is false)",
            )
        if names:
            _logger.info("Removed console handlers, so that each line is written once. Loggers: %s.", names)

    def _write_unhandled_record(self, record: logging.LogRecord, least: int) -> bool:
        """Write a record that no handler got, if Python would write it or its logger has a handler now."""
        if self._installed is None:
            return False
        self.check_handler()
        if record.levelno >= least or self.receives(logging.getLogger(record.name)):
            self.application(record)
        return True

    def _check_logger(self, name: str) -> None:
        """Check the handlers that a record of this logger is about to reach; never raises into the log call."""
        try:
            self._check_handlers_of(name)
        except Exception as error:
            self._faults.report("logs", error)

    def _check_handlers_of(self, name: str) -> None:
        installed = self._installed
        if installed is None:
            return
        if not installed.is_there():
            self.check_handler()
        elif self._restores:
            logger: logging.Logger | None = logging.getLogger(name)
            while logger is not None:
                if logger.handlers:
                    remove_console_handlers(logger)
                logger = logger.parent


def _may_hold(request: Record | None) -> bool:
    """Return whether a request is running whose access line may report the failure; Socket.IO events do not count."""
    return (
        request is not None
        and request.outcome is None
        and request.kind != "event"
        and len(request.held or ()) < _MAX_HELD
    )


def _drop_repeated_lines(record: Record) -> None:
    """Drop the held lines about the failure that the access line has just reported."""
    reported = chain_of(record.error) if record.error is not None else []
    for line in tuple(record.held or ()):
        if line.error is None or any(line.error is one for one in reported):
            record.take_held(line)


class PipelineHandler(logging.Handler):
    """
    Passes the standard library's records to a pipeline.

    All handlers of one pipeline are equal, so that `addHandler` never adds a second one, in any thread.
    """

    def __init__(self, logs: Logs) -> None:
        # Before the constructor, which adds the handler to a set.
        self.logs = logs
        super().__init__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PipelineHandler) and other.logs is self.logs

    def __hash__(self) -> int:
        return id(self.logs)

    def emit(self, record: logging.LogRecord) -> None:
        self.logs.application(record)

    def handle(self, record: logging.LogRecord) -> Any:
        # The sink has its own lock. The lock of logging would only serialize the formatting.
        try:
            emitted = self.filter(record)
        except Exception as error:
            self.logs.unreadable(record, error)
            return False
        if emitted:
            self.emit(record if emitted is True else emitted)
        return emitted

    def close(self) -> None:
        super().close()
        self.logs.handler_closed()


class _InstalledHandler:
    """A weak reference to a pipeline, valid while the root logger has a handler of it."""

    def __init__(self, logs: Logs) -> None:
        self._logs = weakref.ref(logs)

    def is_there(self) -> bool:
        return self.pipeline() is not None

    def pipeline(self) -> Logs | None:
        logs = self._logs()
        for handler in logging.root.handlers:
            if isinstance(handler, PipelineHandler) and handler.logs is logs:
                return logs
        return None


__all__ = ["Logs", "PipelineHandler"]
