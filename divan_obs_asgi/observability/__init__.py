"""The bundle that every part of the library is handed: settings, redaction, signals, probes, jobs, drain."""

from divan_obs_asgi.observability.bundle import Observability, logger

__all__ = ["Observability", "logger"]
