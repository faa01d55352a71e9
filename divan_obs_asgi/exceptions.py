"""
What this library raises, all of it before the first request:

    ObservabilityError
    ├── ImproperlyConfigured   a flag, a dotted path or a registration that cannot work
    ├── MiddlewareNotUsed      a middleware steps aside; `build_stack` leaves it out
    └── ProbeFailed            a dependency is not well; raised by probes, read by the registry
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

ProbeReason: TypeAlias = Literal["timeout", "refused", "auth", "outdated", "full", "stale", "error"]
PROBE_REASONS: frozenset[str] = frozenset(get_args(ProbeReason))


class ObservabilityError(Exception):
    """The root of this library's exceptions."""


class ImproperlyConfigured(ObservabilityError):
    """The configuration cannot work; the message names every part that is wrong."""


class MiddlewareNotUsed(ObservabilityError):
    """Raised by a middleware's `__init__`: leave me out of the stack, for this reason."""


class ProbeFailed(ObservabilityError):
    """
    A probe's verdict on its dependency.

    `reason` is one of a closed vocabulary, because the health endpoints tell it to the holder of the admin token; an
    exception's text is told to nobody, because it can hold a DSN. `details` are told to everybody.
    """

    def __init__(self, reason: ProbeReason, **details: object) -> None:
        if reason not in PROBE_REASONS:
            raise ValueError(f"reason is {reason!r}; expected one of {sorted(PROBE_REASONS)}.")
        super().__init__(reason)
        self.reason: ProbeReason = reason
        self.details = details


__all__ = [
    "PROBE_REASONS",
    "ImproperlyConfigured",
    "MiddlewareNotUsed",
    "ObservabilityError",
    "ProbeFailed",
    "ProbeReason",
]
