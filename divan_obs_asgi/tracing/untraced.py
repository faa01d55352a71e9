"""The library's own questions to databases make no spans. Needs no tracing library."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext


def untraced() -> AbstractContextManager[object]:
    """Return a block in which client libraries make no spans: one every few seconds would tell of nobody's request."""
    # Every instrumentation imports it; where nobody has, nothing is instrumented. To import it here would hold up the
    # event loop, and the first check, for longer than a probe may take.
    utils = sys.modules.get("opentelemetry.instrumentation.utils")
    suppress = getattr(utils, "suppress_instrumentation", nullcontext)
    block: AbstractContextManager[object] = suppress()
    return block


__all__ = ["untraced"]
