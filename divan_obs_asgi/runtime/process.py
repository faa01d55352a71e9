"""Metrics of the process and the interpreter: memory, processor, files, garbage collection, build."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.version import __version__


def register_process_collectors(registry: CollectorRegistry) -> None:
    """Add `process_*` and `python_*` to `registry`, with the names that every Prometheus client uses."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


def set_build_info(metrics: Metrics, settings: Settings) -> None:
    """Set `build_info`: a series with the versions as labels, and the value 1."""
    metrics.build_info.labels(
        __version__, settings.service.version, settings.service.commit, platform.python_version()
    ).set(1)


__all__ = ["register_process_collectors", "set_build_info"]
