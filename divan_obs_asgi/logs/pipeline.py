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
from divan_obs_asgi.logs.child_processes import end_in_order
from divan_obs_asgi.logs.console_handlers import loggers, take_all_consoles_off, take_console_off
from divan_obs_asgi.logs.errors import exception_of
from divan_obs_asgi.logs.libraries import is_failure_of_connection
from divan_obs_asgi.logs.lines import ACCESS_LOGGER, Lines, access_level
from divan_obs_asgi.logs.loguru_bridge import installed
from divan_obs_asgi.logs.minute_limit import MinuteLimit
from divan_obs_asgi.logs.own_loggers import OwnLoggers
from divan_obs_asgi.logs.prints import end_prints, log_prints
from divan_obs_asgi.logs.reconfigured import NextRecords, WithoutHandler
from divan_obs_asgi.logs.recorder import FlightRecorder
from divan_obs_asgi.logs.repeats import chain_of, is_repeated, note_reported, with_exception
from divan_obs_asgi.logs.root_level import RootLevel
from divan_obs_asgi.logs.runtime_levels import RuntimeLevels
from divan_obs_asgi.logs.sampling import Sampler
from divan_obs_asgi.logs.server_loggers import adopt_server_loggers
from divan_obs_asgi.logs.sink import FLUSH_S, Sink
from divan_obs_asgi.logs.termination import flush_on_termination
from divan_obs_asgi.logs.uncaught import install_hooks

_PACKAGE = "divan_obs_asgi"
# Seconds after which a line that waits for the end of its request is written: a WebSocket may last for hours.
_HELD_S = 5.0
# Lines of one request that wait; what is above is written at once.
_MAX_HELD = 8
# Requests that are looked at now and then for such lines; those of any other are written at its end.
_MAX_HOLDING = 1000
_logger = logging.getLogger(f"{_PACKAGE}.logs")


class Logs:
    """
    JSON lines: one for each connection, and one for each record of the standard library's logging.

    Level first, then sampling; what one of them drops of a connection goes to the flight recorder. Of what the level
    drops, only lines of the application's own loggers do.

    Args:
        restores: whether the handler is put back where a later configuration of logging has taken it away.
        removed: called each time that one has.
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
        self._installed: _Installed | None = None
        self._limit = MinuteLimit()
        self._holding: deque[weakref.ref[Record]] = deque(maxlen=_MAX_HOLDING)
        self.levels = RuntimeLevels(root)
        self.sink = sink
        # Weakly: the sink must not keep its pipeline.
        sink.last_words = weakref.WeakMethod(self.tell_last)
        end_in_order()

    def access(self, record: Record) -> None:
        """Write the line of a finished record, unless level or sampling drop it."""
        if self.levels.changes:
            self.levels.expire()
        level = access_level(record)
        rate, recorded = 1.0, False
        if level < (self._access_logger.level or self._root.level):
            if not self._recorder.tells_of(record):
                return
            recorded = True
        elif level < logging.WARNING and not self._sampler.keeps_all and not self._recorder.tells_of(record):
            rate = self._sampler.rate_of(record)
            if not rate:
                return
        self.sink.put(self._lines.access(record, level, rate, recorded), level)
        if record.held:
            _drop_said(record)
        if record.error is not None:
            record.is_reported = True
            note_reported(record.error)

    @staticmethod
    def passed_on(error: BaseException) -> None:
        """Note how far a reported exception has come that leaves the stack; its server is next to log it."""
        note_reported(error)

    def application(self, record: logging.LogRecord) -> None:
        """Write the line of a LogRecord, unless level or sampling drop it; never raises."""
        request = current_record.get()
        try:
            self._application(record, request)
        except Exception as error:
            self.unreadable(record, error)

    def _application(self, record: logging.LogRecord, request: Record | None) -> None:
        if self.levels.changes:
            self.levels.expire()
        if self._limit.is_over:
            self.tell_left_out()
        if not record.exc_info and record.levelno >= logging.ERROR:
            record = with_exception(record)
        error = exception_of(record)
        if error is not None and is_repeated(record, error):
            return
        level = record.levelno
        writes = self._root.writes(record)
        rate = 1.0 if writes else 0.0
        if writes and level < logging.WARNING and request is not None:
            if request.outcome is None:
                rate = self._sampler.rate_of(request)
            else:
                # What outlives its request may do so for hours; what was decided then says nothing of now.
                rate = self._sampler.rate_for(request.trace_id, request.request_id)
        if rate:
            if self._limit.allows(record):
                line = self._lines.application(record, request, rate)
                if level >= logging.ERROR and _may_hold(request) and is_failure_of_connection(record):
                    self._hold(request, line, level, error)  # type: ignore[arg-type]
                else:
                    self._put(line, level, error)
        elif request is not None and self._recorder.wants(request) and (writes or self._own_loggers.wrote(record)):
            self._recorder.keep(request, self._lines.application(record, request, 1.0, recorded=True), level)

    def _put(self, line: bytes, level: int, error: BaseException | None) -> None:
        self.sink.put(line, level)
        if error is not None and level >= logging.ERROR:
            note_reported(error)

    def _hold(self, request: Record, line: bytes, level: int, error: BaseException | None) -> None:
        """Keep a framework's line until the request has ended, whose own line may say the same, and more."""
        self._holding.append(weakref.ref(request))
        request.hold(HeldLine(error, partial(self._put_held, line, level, error), time.monotonic()))

    def _put_held(self, line: bytes, level: int, error: BaseException | None) -> None:
        try:
            self._put(line, level, error)
        except Exception as another:
            self._faults.report("logs", another)

    def _write_held(self, older_than_s: float) -> None:
        """Write what has waited for longer for the end of its request; never raises."""
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
        """Write what was printed, unless the sink's own writer prints: each line would make another one."""
        if self.sink.is_called_by_a_writer():
            self.sink.drop(record.levelno)
        else:
            self.application(record)

    def unreadable(self, record: logging.LogRecord, error: Exception) -> None:
        """Write that there was a record, and nothing of it; never raises."""
        self._faults.report("logs", error)
        try:
            self.sink.put(self._lines.unreadable(record, current_record.get()), logging.ERROR)
        except Exception as another:
            self._faults.report("logs", another)

    def tell_left_out(self) -> None:
        """Write how many lines of those that clients can cause were left out since the last time; never raises."""
        try:
            for record in self._limit.take():
                self.sink.put(self._lines.application(record, None, 1.0), record.levelno)
        except Exception as error:
            self._faults.report("logs", error)

    def tell_last(self) -> None:
        """Write what has waited for the end of its line or of its minute; never raises."""
        try:
            end_prints()
        except Exception as error:
            self._faults.report("logs", error)
        self._write_held(-_HELD_S)
        self.tell_left_out()

    async def tend(self) -> None:
        """Do it after each such minute also where nothing is logged, and look after the handler; until cancelled."""
        while True:
            await anyio.sleep(1.0)
            if self._limit.is_over:
                self.tell_left_out()
            if self._holding:
                self._write_held(_HELD_S)
            self.look_after_handler()

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Have everything written that is queued, and the counts of what was left out; return whether it was."""
        self.tell_left_out()
        return self.sink.flush(timeout_s)

    def bind(self, **fields: object) -> None:
        """Add business fields to the line of the request in which this is called; outside of one, nothing."""
        record = current_record.get()
        if record is not None:
            record.bind(**fields)

    @property
    def is_installed(self) -> bool:
        """Whether what the root logger gets is to go through this pipeline, and not through a later one's."""
        return self._installed is not None

    def install(self, *, own_access_line: bool = True, application: str = "", prints: bool = False) -> None:
        """
        Send the root logger, and all loggers with handlers for the console, through this pipeline.

        Done by `init` and `wrap`. Handlers for standard output and standard error are taken off, wherever they are, and
        those of an earlier pipeline: each event is written once. The root logger's others stay, and get what they got
        before.

        Args:
            own_access_line: whether there is a line for each connection; then the servers' are switched off.
            application: a module of the application, whose package's loggers are its own wherever it is installed.
            prints: whether what is printed is logged.
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
        self._installed = _Installed(self)
        self._own_access_line = own_access_line
        self.adopt_server_loggers()
        take_all_consoles_off()
        # The hooks and the loggers are the process', and may outlive this pipeline.
        install_hooks(self._installed.pipeline)
        if self._restores and logging.lastResort is not None:
            logging.lastResort = WithoutHandler(self._written_without_handler, logging.lastResort)
        if prints:
            log_prints(self._installed.pipeline)
        installed.set(self)
        flush_on_termination()

    def replaced(self) -> None:
        """Note that another pipeline is at the root logger from now on."""
        self._installed = None

    def gets(self, logger: logging.Logger) -> bool:
        """Return whether records of a logger of the standard library come here."""
        at: logging.Logger | None = logger
        while at is not None:
            if any(isinstance(handler, PipelineHandler) and handler.logs is self for handler in at.handlers):
                return True
            at = at.parent if at.propagate else None
        return False

    def adopt_server_loggers(self) -> None:
        """Do it again for a server that set up its loggers since; where nothing is installed, do nothing."""
        if self._installed is not None and self._installed.is_there():
            adopt_server_loggers(self._installed.is_there, own_access_line=self._own_access_line)

    def handler_closed(self) -> None:
        """Look at the next records: whoever closes the handler is about to take it away."""
        if self._installed is not None:
            NextRecords(self._look_at)

    def look_after_handler(self) -> None:
        """
        Put the handler back, and take those for the console off, where logging was configured again; never raises.

        Where that is not wanted, only say that the handler has gone.
        """
        try:
            self._look_after_handler()
        except Exception as error:
            self._faults.report("logs", error)

    def _look_after_handler(self) -> None:
        installed = self._installed
        if installed is None:
            return
        missing = not installed.is_there()
        if missing:
            # `disable_existing_loggers` is on unless it is switched off.
            for logger in loggers():
                if logger.name.startswith(_PACKAGE):
                    logger.disabled = False
            if self._restores:
                handler = PipelineHandler(self)
                # Does nothing where another thread has been quicker.
                logging.root.addHandler(handler)
                missing = any(one is handler for one in logging.root.handlers)
                self.adopt_server_loggers()
        names = take_all_consoles_off() if self._restores else []
        known, self._is_missing = self._is_missing, missing and not self._restores
        if missing and not known:
            self._removed()
            _logger.warning(
                "Logging was configured again, and the root logger lost the handler that redacts; %s.",
                "it is back" if self._restores else "lines are not redacted (OBS_LOGGING_RESTORE is false)",
            )
        if names:
            _logger.info("Handlers for the console were taken off: each line is written once. Loggers: %s.", names)

    def _written_without_handler(self, record: logging.LogRecord, least: int) -> bool:
        """Write a record that no handler has got, where Python would have or its logger has one now."""
        if self._installed is None:
            return False
        self.look_after_handler()
        if record.levelno >= least or self.gets(logging.getLogger(record.name)):
            self.application(record)
        return True

    def _look_at(self, name: str) -> None:
        """Do the same for what a record of this logger is about to meet; never raises, as the log call would."""
        try:
            self._look_along(name)
        except Exception as error:
            self._faults.report("logs", error)

    def _look_along(self, name: str) -> None:
        installed = self._installed
        if installed is None:
            return
        if not installed.is_there():
            self.look_after_handler()
        elif self._restores:
            logger: logging.Logger | None = logging.getLogger(name)
            while logger is not None:
                if logger.handlers:
                    take_console_off(logger)
                logger = logger.parent


def _may_hold(request: Record | None) -> bool:
    """Return whether a request runs; an event of Socket.IO's ends by itself, whatever it has called."""
    return (
        request is not None
        and request.outcome is None
        and request.kind != "event"
        and len(request.held or ()) < _MAX_HELD
    )


def _drop_said(record: Record) -> None:
    """Let go of the held lines about the failure that the connection's own line has just told of."""
    said = chain_of(record.error) if record.error is not None else []
    for line in tuple(record.held or ()):
        if line.error is None or any(line.error is one for one in said):
            record.take_held(line)


class PipelineHandler(logging.Handler):
    """
    Hands the standard library's records to a pipeline.

    Those of one pipeline are equal, so that `addHandler` never adds a second one, in whichever thread it is called.
    """

    def __init__(self, logs: Logs) -> None:
        # Before the constructor, which puts it into a set.
        self.logs = logs
        super().__init__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PipelineHandler) and other.logs is self.logs

    def __hash__(self) -> int:
        return id(self.logs)

    def emit(self, record: logging.LogRecord) -> None:
        self.logs.application(record)

    def handle(self, record: logging.LogRecord) -> Any:
        # The sink has its own lock; logging's would only serialize the formatting.
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


class _Installed:
    """A pipeline as long as a handler of it is at the root logger, without keeping it alive."""

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
