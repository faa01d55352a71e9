"""The `process_*` and `python_*` series of all workers, as series of the service."""

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

# Memory and open files of a service are the sums over its processes. Its start time is that of the oldest process, and
# its limit of open files is the smallest one.
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
    Copies the values of prometheus_client's collectors of this process to its ledger.

    Pages read them from the ledger only. So processor time never decreases: it stays there after the process has died.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._described: dict[Collector, list[Described]] = {}
        self._values: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._updating = threading.Lock()

    def of(self, collector: Collector) -> list[Described] | None:
        """Return the families of a collector, or None if its values are not copied here."""
        return self._described.get(collector)

    def update(self, collectors: Sequence[Collector]) -> None:
        """Copy the present values of the collectors."""
        with self._updating:
            for collector in collectors:
                if type(collector) in _COLLECTORS:
                    self._described[collector] = [self._copy(metric) for metric in collector.collect()]

    def _copy(self, metric: Samples) -> Described:
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
