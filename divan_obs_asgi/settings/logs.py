"""Flags of log lines."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean, integer, logger_names, one_of, positive_integer, share

# The names of the standard library, as in `logging.getLevelName`.
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("auto", "json", "console")


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Which lines are written, in which form, and which are buffered for requests that fail."""

    enabled: bool = flag(
        "OBS_LOGGING_ENABLED",
        boolean,
        True,
        "Write the lines of the root logger as JSON (`init` and `wrap` install it).",
    )
    access_enabled: bool = flag("OBS_ACCESS_LOG_ENABLED", boolean, True, "Write one line for every request.")
    restore: bool = flag(
        "OBS_LOGGING_RESTORE",
        boolean,
        True,
        "Reinstall the log handler when the application reconfigures logging; false only logs a warning.",
    )
    level: str = flag("LOG_LEVEL", one_of(*LOG_LEVELS), "INFO", "Lowest level that is written.")
    format: str = flag(
        "LOG_FORMAT",
        one_of(*LOG_FORMATS),
        "auto",
        "json, console (for people), or auto: console on a terminal with OBS_ENV=dev, json otherwise.",
    )
    sampling_rate_info: float = flag(
        "LOG_SAMPLING_RATE_INFO",
        share,
        0.1,
        "Share of requests whose INFO and DEBUG lines are written under load, from 0 to 1.",
    )
    sampling_budget: int = flag(
        "LOG_SAMPLING_BUDGET", positive_integer, 100, "Lines per second that are written before sampling starts."
    )
    recorder_level: str = flag(
        "LOG_RECORDER_LEVEL", one_of(*LOG_LEVELS), "DEBUG", "Lowest level that the flight recorder buffers."
    )
    recorder_lines: int = flag(
        "LOG_RECORDER_LINES",
        integer,
        100,
        "Suppressed log lines buffered per request and emitted if it fails; 0 disables the flight recorder.",
    )
    recorder_bytes: int = flag(
        "LOG_RECORDER_BYTES",
        positive_integer,
        65536,
        "Maximum size of the flight recorder's buffer per request, in bytes.",
    )
    recorder_loggers: tuple[str, ...] = flag(
        "LOG_RECORDER_LOGGERS",
        logger_names,
        (),
        "Library loggers whose suppressed lines the flight recorder buffers too: `botocore,aiokafka`.",
    )
    slow_ms: int = flag(
        "LOG_SLOW_MS",
        integer,
        1000,
        "HTTP requests that take longer (milliseconds) emit their buffered lines; 0 disables this.",
    )
    export_queue: int = flag(
        "OTEL_BLRP_MAX_QUEUE_SIZE", positive_integer, 2048, "Maximum number of log lines in the export queue."
    )
    export_batch: int = flag(
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", positive_integer, 512, "Maximum number of log lines in one export request."
    )
    export_delay_ms: int = flag(
        "OTEL_BLRP_SCHEDULE_DELAY",
        positive_integer,
        1000,
        "Maximum delay between exports of log lines, in milliseconds.",
    )
    export_timeout_ms: int = flag(
        "OTEL_BLRP_EXPORT_TIMEOUT",
        positive_integer,
        30_000,
        "Maximum time of an export of log lines, in milliseconds; the shorter one of this and the OTLP timeout.",
    )
    prints: bool = flag(
        "LOG_PRINTS",
        boolean,
        False,
        "Write what the application prints as log lines (loggers `stdout` and `stderr`).",
    )


__all__ = ["LOG_FORMATS", "LOG_LEVELS", "LogSettings"]
