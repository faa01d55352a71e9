"""What cannot be a probe is refused when it is registered, and not at the first check."""

from __future__ import annotations

import math

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.names import is_name
from divan_obs_asgi.probes.base import Probe


def refuse_what_is_no_probe(probe: object) -> None:
    """
    Return where `probe` can be checked and told.

    Raises:
        ImproperlyConfigured: with what is wrong first.
    """
    if isinstance(probe, type) or not isinstance(probe, Probe):
        what = f"the class {probe.__name__}" if isinstance(probe, type) else type(probe).__name__
        raise ImproperlyConfigured(
            f"{what} is no probe; expected an object with name, timeout, critical, group and async check()."
        )
    if not is_name(probe.name):
        raise ImproperlyConfigured(f"A probe is named {probe.name!r}; expected lower case, like 'redis'.")
    if not _is_number(probe.timeout) or not 0 < probe.timeout < math.inf:
        raise ImproperlyConfigured(f"Probe {probe.name!r} has the timeout {probe.timeout!r}; expected seconds.")
    if not is_name(probe.group):
        raise ImproperlyConfigured(
            f"Probe {probe.name!r} is in the group {probe.group!r}; expected a name like 'ready'."
        )
    _refuse_a_bad_pace(probe)


def _refuse_a_bad_pace(probe: Probe) -> None:
    interval = getattr(probe, "interval", None)
    if interval is not None and (not _is_number(interval) or not 0 <= interval < math.inf):
        raise ImproperlyConfigured(f"Probe {probe.name!r} has the interval {interval!r}; expected seconds, or 0.")
    for attribute in ("fail_after", "recover_after"):
        count = getattr(probe, attribute, None)
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise ImproperlyConfigured(f"Probe {probe.name!r} has {attribute} {count!r}; expected a number from 1.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


__all__ = ["refuse_what_is_no_probe"]
