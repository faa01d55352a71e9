"""Flags of health probes and of shutdown."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean, delay, migration, positive_integer


@dataclass(frozen=True, kw_only=True)
class HealthSettings:
    """How often probes run, what makes them fail, and how long a stopping service keeps serving."""

    interval_s: float = flag(
        "HEALTH_INTERVAL_S", delay, 2.0, "Seconds between two checks of a probe; 0 checks on each request only."
    )
    fail_after: int = flag(
        "HEALTH_FAIL_AFTER", positive_integer, 2, "Consecutive failed checks before a probe counts as failed."
    )
    recover_after: int = flag(
        "HEALTH_RECOVER_AFTER",
        positive_integer,
        1,
        "Consecutive passed checks before a failed probe counts as healthy.",
    )
    min_migration: str | None = flag(
        "HEALTH_MIN_MIGRATION", migration, None, "Oldest database migration with which the service is ready."
    )
    drain_enabled: bool = flag(
        "OBS_DRAIN_ENABLED", boolean, True, "On SIGTERM, report not ready and keep serving for OBS_DRAIN_DELAY_S."
    )
    drain_delay_s: float | None = flag(
        "OBS_DRAIN_DELAY_S",
        delay,
        None,
        "Seconds to keep serving after SIGTERM. Default: 5 if /health/ready was polled in the last minute, else 0; "
        "0 on a terminal, under a reloader and with OBS_ENV=dev.",
    )


__all__ = ["HealthSettings"]
