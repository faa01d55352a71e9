"""`span`, `traced` and `background` with the global provider, which `init` and `wrap` set."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.tracing.spans.internal import SpanFactory
from divan_obs_asgi.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


@functools.cache
def _global_tracer() -> Tracer | None:
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    # Until a global provider is set, this is a proxy that looks it up later.
    return trace.get_tracer("divan_obs_asgi", __version__)


_global_spans = SpanFactory(_global_tracer, RedactionPolicy())
span = _global_spans.span
traced = _global_spans.traced
background = _global_spans.background

__all__ = ["background", "span", "traced"]
