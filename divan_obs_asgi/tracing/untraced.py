"""The library's own questions to databases make no spans. Needs no tracing library."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext


def untraced() -> AbstractContextManager[object]:
    """Return a block in which client libraries make no spans: one every few seconds would tell of nobody's request."""
    try:
        from opentelemetry.instrumentation.utils import suppress_instrumentation
    except ImportError:
        return nullcontext()
    return suppress_instrumentation()


__all__ = ["untraced"]
