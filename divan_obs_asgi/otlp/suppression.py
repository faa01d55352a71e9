"""The keys of a context in which instrumentations make no spans. Requires the extra `tracing`."""

from __future__ import annotations

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

# The keys that `suppress_instrumentation` of opentelemetry-instrumentation sets: the current key, and the plain name
# that older versions use. The function itself is in a package that the extra `tracing` does not install.
SUPPRESSED = (_SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation")

__all__ = ["SUPPRESSED"]
