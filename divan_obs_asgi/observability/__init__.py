"""The bundle that is passed to every part of the library: settings, redaction, signals, probes, jobs, drain."""

from divan_obs_asgi.observability.bundle import Observability, logger

__all__ = ["Observability", "logger"]
