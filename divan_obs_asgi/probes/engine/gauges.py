"""The metrics of probes and of readiness."""

from __future__ import annotations

from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics


class ProbeGauges:
    """Sets the metrics of probes. A failure is reported and not raised: readiness does not depend on metrics."""

    def __init__(self, metrics: Metrics, faults: InternalErrors) -> None:
        self._metrics = metrics
        self._faults = faults

    def set_up(self, name: str, *, up: bool, latency_s: float | None = None) -> None:
        """Set `probe_up` of a probe, and the gauge and the histogram of its own that Redis and PostgreSQL have."""
        try:
            self._metrics.probe_up.labels(name).set(up)
            dependency = self._metrics.dependency(name)
            if dependency is not None:
                dependency_up, latency = dependency
                dependency_up.set(up)
                if latency_s is not None:
                    latency.observe(latency_s)
        except Exception as error:
            self._faults.report("probes", error)

    def set_ready(self, ready: bool) -> None:
        """Set `health_ready`."""
        try:
            self._metrics.health_ready.set(ready)
        except Exception as error:
            self._faults.report("probes", error)


__all__ = ["ProbeGauges"]
