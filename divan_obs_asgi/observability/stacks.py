"""Remembers the middlewares of the stacks of a bundle, and which of them are not used."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# An application has one stack; a test, or an application inside another one, may have several.
_MOST = 8


@dataclass(frozen=True, slots=True)
class Place:
    """
    One middleware of a list.

    Attributes:
        name: its dotted path, or the name of the callable.
        why_not: why it is not used; None where it is used.
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
