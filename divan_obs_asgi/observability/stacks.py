"""Which middlewares the stacks of a bundle were made of, and which of them stepped aside."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# An application has one stack; tests, and applications within applications, have a few.
_MOST = 8


@dataclass(frozen=True, slots=True)
class Place:
    """
    One middleware of a list.

    Attributes:
        name: its dotted path, or the name of what was given.
        why_not: why it stepped aside; None for one that is on.
    """

    name: str
    why_not: str | None = None


class BuiltStacks:
    """Remembers the last stacks that were built, each as its list, outermost first."""

    def __init__(self) -> None:
        self._stacks: deque[tuple[Place, ...]] = deque(maxlen=_MOST)

    def add(self, places: tuple[Place, ...]) -> None:
        """Remember a stack."""
        self._stacks.append(places)

    @property
    def stacks(self) -> tuple[tuple[Place, ...], ...]:
        """The stacks, in the order in which they were built."""
        return tuple(self._stacks)


__all__ = ["BuiltStacks", "Place"]
