"""
Which attribute names OpenTelemetry's instrumentations of HTTP clients use. Requires the extra `tracing-clients`.

Without OTEL_SEMCONV_STABILITY_OPT_IN they use the old names, and they read only the environment of the process, once.
The choice is a private part of theirs; no other module uses it.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

_logger = logging.getLogger("divan_obs_asgi.tracing")
_MODULE = "opentelemetry.instrumentation._semconv"


@contextmanager
def stable_http_names(opt_in: Container[str]) -> Iterator[None]:
    """
    Have an instrumentation that is applied in this context use the stable names, like the spans of this library.

    Afterwards the choice is what it was: instrumentations that the application applies keep the names that it expects.

    Args:
        opt_in: the values of OTEL_SEMCONV_STABILITY_OPT_IN; `http/dup` adds the old names.
    """
    try:
        module = import_module(_MODULE)
        stability: Any = module._OpenTelemetrySemanticConventionStability
        stability._initialize()
        modes, http = stability._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING, module._OpenTelemetryStabilitySignalType.HTTP
        before = modes[http]
        modes[http] = module._StabilityMode.HTTP_DUP if "http/dup" in opt_in else module._StabilityMode.HTTP
    except (ImportError, AttributeError, LookupError) as error:
        _logger.warning(
            "HTTP client spans may have the old attribute names: %s is not as expected (%r).", _MODULE, error
        )
        yield
        return
    try:
        yield
    finally:
        modes[http] = before


__all__ = ["stable_http_names"]
