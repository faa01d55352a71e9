"""What each worker's process and interpreter tell of themselves, as series of the service."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from divan_obs_asgi.metrics.family import Family, GaugeMode, Kind, Metric
from divan_obs_asgi.metrics.multiprocess.file_format import Described
from divan_obs_asgi.metrics.multiprocess.worker_file import Ledger

# Of the service the memory and the open files are those of all its processes; it has run since its oldest one, and may
# open no more files than the one that may open the fewest.
_MODES: dict[str, GaugeMode] = {
    "process_virtual_memory_bytes": "livesum",
    "process_resident_memory_bytes": "livesum",
    "process_open_fds": "livesum",
    "process_max_fds": "livemin",
    "process_start_time_seconds": "livemin",
}
_COLLECTORS = (ProcessCollector, PlatformCollector, GCCollector)


class ProcessSeries:
    """
    Notes what prometheus_client's collectors say of this process in its ledger.

    Processor time that was told is not taken back: it is told from the ledger only, where it stays when the process has
    died.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._described: dict[Collector, list[Described]] = {}
        self._values: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._noting = threading.Lock()

    def of(self, collector: Collector) -> list[Described] | None:
        """Return the families of a collector; None of one that is not noted here."""
        return self._described.get(collector)

    def note(self, collectors: Sequence[Collector]) -> None:
        """Note what they say now."""
        with self._noting:
            for collector in collectors:
                if type(collector) in _COLLECTORS:
                    self._described[collector] = [self._note(metric) for metric in collector.collect()]

    def _note(self, metric: Samples) -> Described:
        described = _described(metric)
        for sample in metric.samples:
            key = (described.full_name, tuple(sample.labels.values()))
            value = self._values.get(key)
            if value is None:
                value = self._values[key] = self._ledger.values(described, key[1], 1)[0]
            value.set(sample.value)
        return described


def _described(metric: Samples) -> Described:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    labels = tuple(metric.samples[0].labels) if metric.samples else ()
    kind: Kind = "counter" if metric.type == "counter" else "gauge"
    mode = _MODES.get(name, "livemax")
    family: Family[Metric] = Family(name, kind, labels, metric.documentation, "runtime", mode=mode)
    return Described(name, family)


__all__ = ["ProcessSeries"]
