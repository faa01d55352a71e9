"""
The exceptions of this library. It raises all of them before the first request, except `ProbeFailed`:

    ObservabilityError
    ├── ImproperlyConfigured   a flag, a dotted path or a registration is invalid
    ├── MiddlewareNotUsed      a middleware is not needed; `build_stack` leaves it out
    └── ProbeFailed            a dependency does not work; raised by probes, caught by the registry
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

ProbeReason: TypeAlias = Literal["timeout", "refused", "auth", "outdated", "full", "stale", "interrupted", "error"]
PROBE_REASONS: frozenset[str] = frozenset(get_args(ProbeReason))


class ObservabilityError(Exception):
    """The base class of this library's exceptions."""


class ImproperlyConfigured(ObservabilityError):
    """The configuration is invalid; the message names every invalid part."""


class MiddlewareNotUsed(ObservabilityError):
    """Raised by a middleware's `__init__` to be left out of the stack; the message gives the reason."""


class ProbeFailed(ObservabilityError):
    """
    The failure of a probe's check.

    `reason` is one of a fixed list; the health endpoints show it to requests with the admin token. The text of other
    exceptions is never published, because it can contain a DSN. `details` are public.
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
