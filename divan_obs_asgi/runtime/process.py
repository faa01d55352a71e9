"""What the process and the interpreter tell of themselves: memory, processor, files, garbage collection, build."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.version import __version__


def collect_from(registry: CollectorRegistry) -> None:
    """Have `registry` tell `process_*` and `python_*`, under the names that every client library gives them."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


def tell_build(metrics: Metrics, settings: Settings) -> None:
    """Set `build_info`: what runs, as labels of a series that is always 1."""
    metrics.build_info.labels(
        __version__, settings.service.version, settings.service.commit, platform.python_version()
    ).set(1)


__all__ = ["collect_from", "tell_build"]
