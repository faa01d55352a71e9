"""Probe: redaction works. A fake secret passes through every sink, in memory, before the service is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import STARTUP, Group

# A fake of each kind that must never leave the process, in a text and under keys.
TOKEN = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"
EMAIL = "canary@mine.example"
LATITUDE, LONGITUDE = "52.520008", "13.404954"
SECRETS = (TOKEN, EMAIL, LATITUDE, LONGITUDE)
TEXT = f"Authorization: Bearer {TOKEN} of {EMAIL} at {LATITUDE}, {LONGITUDE}"
FIELDS: Mapping[str, object] = {
    "note": TEXT,
    "password": TOKEN,
    "nested": {"email": EMAIL, "where": {"lat": float(LATITUDE), "lng": float(LONGITUDE)}},
}

# Passes a text and fields to a sink, and returns what would have left the process.
CanarySink: TypeAlias = Callable[[str, Mapping[str, object]], bytes]


class CanaryProbe:
    """
    Startup: every sink redacts a fake token, e-mail address and position.

    The response names the sinks that leak. A sink that raises counts as leaking.

    Args:
        known: whether the sink of a name is safe, from earlier checks; new results are added.
        changes: returns whether the sink of a name may change while the process lives. It is tested at every check.
    """

    name = "redaction"
    timeout = 2.0
    critical = True
    group: Group = STARTUP
    # Logging can be reconfigured at any time, so the checks go on. A leaked secret cannot be taken back, so one failure
    # is enough.
    settles = False
    fail_after = 1

    def __init__(
        self,
        sinks: Mapping[str, CanarySink],
        known: dict[str, bool] | None = None,
        changes: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._sinks = sinks
        self._changes = changes
        self._known = {} if known is None else known

    async def check(self) -> Mapping[str, object]:
        leaking = [name for name, sink in self._sinks.items() if not self._is_safe(name, sink)]
        if leaking:
            raise ProbeFailed("error", sinks=leaking)
        return {}

    def _is_safe(self, name: str, sink: CanarySink) -> bool:
        if self._changes(name):
            return _is_safe(sink)
        # Tested once: the rules do not change while the process lives, and the test takes milliseconds.
        if name not in self._known:
            self._known[name] = _is_safe(sink)
        return self._known[name]


def _is_safe(sink: CanarySink) -> bool:
    try:
        output = sink(TEXT, FIELDS)
    except Exception:
        return False
    return not any(secret.encode() in output for secret in SECRETS)


__all__ = ["CanaryProbe", "CanarySink"]
