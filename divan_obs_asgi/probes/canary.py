"""Whether a secret comes through: a false one is sent through every sink, in memory, before the service is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import STARTUP, Group

# A fake of each kind that must never leave, as a text and under keys.
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

# Takes a text and fields to a sink, and returns what would have left the process.
Sink: TypeAlias = Callable[[str, Mapping[str, object]], bytes]


class CanaryProbe:
    """
    Startup: no sink lets a false token, e-mail address or position through.

    The answer names the sinks that do. What a sink raises counts as a failure of that sink.

    Args:
        known: whether sinks of these names are tight; what is found out is added.
        changes: whether a sink of this name may change while the process lives, and is tried at each check.
    """

    name = "redaction"
    timeout = 2.0
    critical = True
    group: Group = STARTUP
    # Logging may be configured again at any time. A secret that was written stays written: one failure is enough.
    settles = False
    fail_after = 1

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        known: dict[str, bool] | None = None,
        changes: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._sinks = sinks
        self._changes = changes
        self._known = {} if known is None else known

    async def check(self) -> Mapping[str, object]:
        leaking = [name for name, sink in self._sinks.items() if not self._is_tight(name, sink)]
        if leaking:
            raise ProbeFailed("error", sinks=leaking)
        return {}

    def _is_tight(self, name: str, sink: Sink) -> bool:
        if self._changes(name):
            return _is_tight(sink)
        # Once: rules do not change while the process lives, and the canary costs milliseconds.
        if name not in self._known:
            self._known[name] = _is_tight(sink)
        return self._known[name]


def _is_tight(sink: Sink) -> bool:
    try:
        left = sink(TEXT, FIELDS)
    except Exception:
        return False
    return not any(secret.encode() in left for secret in SECRETS)


__all__ = ["CanaryProbe", "Sink"]
