"""Flags of the event-loop watchdog, of Redis Streams and of the garbage collector."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean, key_names, positive_integer, seconds


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """Measurements of the process besides its requests."""

    watchdog_enabled: bool = flag(
        "OBS_WATCHDOG_ENABLED", boolean, True, "Measure the lag of the event loop, and log the code that blocks it."
    )
    watchdog_stall_ms: int = flag(
        "OBS_WATCHDOG_STALL_MS",
        positive_integer,
        200,
        "Lag of the event loop, in milliseconds, that is logged as a stall.",
    )
    redis_streams: tuple[str, ...] = flag(
        "OBS_REDIS_STREAMS", key_names, (), "Redis Streams at REDIS_URL whose consumer groups are measured for lag."
    )
    redis_streams_interval_s: float = flag(
        "OBS_REDIS_STREAMS_INTERVAL_S", seconds, 10.0, "Seconds between two measurements of OBS_REDIS_STREAMS."
    )
    gc_freeze: bool = flag(
        "OBS_GC_FREEZE",
        boolean,
        False,
        "When the application has started, exclude all present objects from garbage collection (gc.freeze).",
    )


__all__ = ["RuntimeSettings"]
