"""The state of a probe: its last checks, and its verdict."""

from __future__ import annotations

from collections import deque

from divan_obs_asgi.probes.engine.check import Outcome

HISTORY = 20


class ProbeState:
    """
    The verdict on a probe. It changes only after enough consecutive checks that contradict it.

    So one lost packet takes no instance out of rotation, and never all instances at once. The first check decides
    alone.
    """

    def __init__(self, fail_after: int, recover_after: int) -> None:
        self._fail_after = fail_after
        self._recover_after = recover_after
        self._contradictions = 0
        #: The check that the verdict rests on.
        self.verdict: Outcome | None = None
        #: When `verdict.ok` last changed.
        self.since = 0.0
        #: Oldest first.
        self.history: deque[Outcome] = deque(maxlen=HISTORY)

    @property
    def last(self) -> Outcome | None:
        """The last check."""
        return self.history[-1] if self.history else None

    @property
    def is_contradicted(self) -> bool:
        """Whether the last check contradicts the verdict, and more checks are needed to change it."""
        return self._contradictions > 0

    def add(self, outcome: Outcome) -> None:
        """Add the outcome of a check."""
        self.history.append(outcome)
        if self.verdict is not None and outcome.ok != self.verdict.ok:
            self._contradictions += 1
            if self._contradictions < (self._recover_after if outcome.ok else self._fail_after):
                return
        if self.verdict is None or outcome.ok != self.verdict.ok:
            self.since = outcome.at
        self.verdict = outcome
        self._contradictions = 0

    def forget_failure(self) -> None:
        """Drop the verdict if it is a failure: the next check decides alone."""
        if self.verdict is not None and not self.verdict.ok:
            self.verdict = None


__all__ = ["HISTORY", "ProbeState"]
