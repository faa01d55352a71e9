"""Metrics of the process."""

from __future__ import annotations

import platform
import time

from divan_obs_asgi import __version__
from tests.stacks import Observed


def test_memory_processor_and_files_are_exposed() -> None:
    """With the names that every Prometheus client uses."""
    observed = Observed()
    assert observed.value("process_resident_memory_bytes") > 1e6
    assert 0 < observed.value("process_cpu_seconds_total") <= time.process_time() + 0.1
    assert observed.value("process_open_fds") >= 3
    assert observed.value("python_gc_collections_total", generation="0") > 0
    assert b'\npython_info{implementation="' in observed.obs.metrics.render()


def test_the_build_is_exposed() -> None:
    """Versions of the library and the service, commit and Python are labels of a series that is 1."""
    observed = Observed({"OBS_COMMIT": "3f2c1ab9d0e14c55a7b1c2d3e4f5061728394a5b", "OBS_SERVICE_VERSION": "1.4.2"})
    labels = {
        "version": __version__,
        "service_version": "1.4.2",
        "commit": "3f2c1ab9d0e14c55a7b1c2d3e4f5061728394a5b",
        "python": platform.python_version(),
    }
    assert observed.value("divan_obs_build_info", **labels) == 1


def test_switched_off_nothing_is_exposed() -> None:
    """With OBS_ENABLED=false the registry has no collectors."""
    observed = Observed({"OBS_ENABLED": "false"})
    assert observed.value("process_resident_memory_bytes") == 0
    assert observed.samples("divan_obs_build_info") == {}
