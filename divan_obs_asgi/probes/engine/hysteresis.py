"""What is held of one probe: its last checks, and the verdict that they add up to."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from divan_obs_asgi.exceptions import ProbeReason

HISTORY = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What one check found.

    Attributes:
        at: when it ended, on the registry's clock.
    """

    ok: bool
    reason: ProbeReason | None
    details: Mapping[str, object]
    latency_s: float
    at: float


class ProbeState:
    """
    The verdict on a probe, which changes only where enough checks in a row contradict it.

    So one lost packet takes no instance out of rotation, and above all not all of them at once. The
    first check decides alone: there is nothing to hold on to.
    """

    def __init__(self, fail_after: int, recover_after: int) -> None:
        self._fail_after = fail_after
        self._recover_after = recover_after
        self._contrary = 0
        self.told: Outcome | None = None
        #: When `told.ok` last changed.
        self.since = 0.0
        #: The newest last.
        self.history: deque[Outcome] = deque(maxlen=HISTORY)

    @property
    def last(self) -> Outcome | None:
        return self.history[-1] if self.history else None

    @property
    def wavers(self) -> bool:
        """Whether the last check contradicts the verdict, and more are needed to change it."""
        return self._contrary > 0

    def note(self, outcome: Outcome) -> None:
        """Take the outcome of one more check into account."""
        self.history.append(outcome)
        if self.told is not None and outcome.ok != self.told.ok:
            self._contrary += 1
            if self._contrary < (self._recover_after if outcome.ok else self._fail_after):
                return
        if self.told is None or outcome.ok != self.told.ok:
            self.since = outcome.at
        self.told = outcome
        self._contrary = 0


__all__ = ["HISTORY", "Outcome", "ProbeState"]
