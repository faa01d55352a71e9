"""Rejects an invalid probe when it is registered, and not at its first check."""

from __future__ import annotations

import math

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.names import is_name
from divan_obs_asgi.probes.base import Probe


def validate_probe(probe: object) -> None:
    """
    Check that `probe` is a probe with valid attributes.

    Raises:
        ImproperlyConfigured: naming the first problem.
    """
    if isinstance(probe, type) or not isinstance(probe, Probe):
        what = f"the class {probe.__name__}" if isinstance(probe, type) else type(probe).__name__
        raise ImproperlyConfigured(
            f"Not a probe: {what}; expected an object with name, timeout, critical, group and async check()."
        )
    if not is_name(probe.name):
        raise ImproperlyConfigured(
            f"Invalid probe name {probe.name!r}; expected lower-case letters, digits and _, like 'redis'."
        )
    if not _is_number(probe.timeout) or not 0 < probe.timeout < math.inf:
        raise ImproperlyConfigured(f"Probe {probe.name!r} has timeout {probe.timeout!r}; expected seconds above 0.")
    if not is_name(probe.group):
        raise ImproperlyConfigured(f"Probe {probe.name!r} has group {probe.group!r}; expected a name like 'ready'.")
    _validate_schedule(probe)


def _validate_schedule(probe: Probe) -> None:
    interval = getattr(probe, "interval", None)
    if interval is not None and (not _is_number(interval) or not 0 <= interval < math.inf):
        raise ImproperlyConfigured(f"Probe {probe.name!r} has interval {interval!r}; expected seconds, or 0.")
    for attribute in ("fail_after", "recover_after"):
        count = getattr(probe, attribute, None)
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise ImproperlyConfigured(f"Probe {probe.name!r} has {attribute} {count!r}; expected an integer above 0.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


__all__ = ["validate_probe"]
