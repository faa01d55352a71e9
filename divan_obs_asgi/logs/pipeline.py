"""The logs of one `Observability`: from records to the sink."""

from __future__ import annotations

import logging
from typing import Any

from divan_obs_asgi.faults import Faults
from divan_obs_asgi.logs.lines import Lines
from divan_obs_asgi.logs.sampling import Sampler
from divan_obs_asgi.logs.sink import Sink
from divan_obs_asgi.logs.termination import flush_on_termination
from divan_obs_asgi.record import RequestRecord, current_record

_NUMBERS = logging.getLevelNamesMapping()


class Logs:
    """JSON lines: one for each connection, and one for each record of the standard library's logging."""

    def __init__(self, lines: Lines, sampler: Sampler, sink: Sink, faults: Faults, level: int) -> None:
        self._lines = lines
        self._sampler = sampler
        self._faults = faults
        self._level = level
        self.sink = sink

    def access(self, record: RequestRecord) -> None:
        """Write the line of a finished record, unless level or sampling drop it."""
        level = self._lines.access_level(record)
        if _NUMBERS[level] < self._level:
            return
        rate = 1.0
        if level == "INFO":
            rate = self._sampler.rate_for(record.trace_id, record.request_id)
            if not rate:
                return
        self.sink.put(self._lines.access(record, level, rate), _NUMBERS[level])

    def application(self, record: logging.LogRecord) -> None:
        """Write the line of a LogRecord, unless sampling drops it; never raises."""
        try:
            request = current_record.get()
            rate = 1.0
            if record.levelno < logging.WARNING and request is not None:
                rate = self._sampler.rate_for(request.trace_id, request.request_id)
                if not rate:
                    return
            self.sink.put(self._lines.application(record, request, rate), record.levelno)
        except Exception as error:
            self._faults.report("logs", error)

    def bind(self, **fields: object) -> None:
        """Add business fields to the line of the request in which this is called; outside of one, nothing."""
        record = current_record.get()
        if record is not None:
            record.bind(**fields)

    def install(self) -> None:
        """
        Send the root logger through this pipeline, and silence uvicorn's own access line.

        Done by `init` and `wrap`. The handlers that are there stay, except for those of an earlier pipeline.
        """
        root = logging.getLogger()
        for handler in list(root.handlers):
            if isinstance(handler, PipelineHandler):
                root.removeHandler(handler)
        root.addHandler(PipelineHandler(self))
        root.setLevel(self._level)
        logging.getLogger("uvicorn.access").disabled = True
        flush_on_termination()


class PipelineHandler(logging.Handler):
    """Hands the standard library's records to a pipeline."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        self._logs.application(record)

    def handle(self, record: logging.LogRecord) -> Any:
        # The sink has its own lock; logging's would only serialize the formatting.
        emitted = self.filter(record)
        if emitted:
            self.emit(record if emitted is True else emitted)
        return emitted


__all__ = ["Logs", "PipelineHandler"]
