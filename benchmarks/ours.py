"""This stack with every middleware on, wired to the same exporter and log sink as the peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import divan_obs_asgi as obs
from benchmarks.inprocess import COMMIT, ENVIRONMENT, ROUTE, SERVICE, Discard, Mode, Sink, Variant, application

_SAMPLING = {"on": "1", "0.1": "0.1", "off": "1"}


def ours(
    mode: Mode,
    collector: str = "",
    middlewares: Sequence[Any] | None = None,
    further: Mapping[str, str] | None = None,
) -> Variant:
    """
    `build_stack` around the app, from the flags that a deployment would set; every INFO line is written.

    Args:
        collector: OTLP endpoint of the spans; without one they are discarded.
        middlewares: these, and not all of them.
        further: flags beside these.
    """
    sink, exporter = Sink(), Discard()
    flags = {
        "OBS_ENV": ENVIRONMENT,
        "OBS_SERVICE_NAME": SERVICE,
        "OBS_COMMIT": COMMIT,
        "OBS_ADMIN_TOKEN": "q8Zr2vNc5LxT0mWd",
        "OBS_TRACING_ENABLED": "false" if mode == "off" else "true",
        "OTEL_TRACES_SAMPLER_ARG": _SAMPLING[mode],
        "LOG_SAMPLING_RATE_INFO": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        **(further or {}),
    }
    observability = obs.Observability.from_env(flags, log_stream=sink, span_exporter=None if collector else exporter)
    registry = observability.metrics.registry
    labels = {"route": ROUTE, "method": "GET", "status": "200"}
    return Variant(
        "ours",
        mode,
        obs.build_stack(application(), observability, middlewares),
        sink,
        exporter,
        flush=observability.flush,
        counted=lambda: registry.get_sample_value("divan_http_requests_total", labels) or 0.0,
        settle=observability.log.sink.flush,
    )
