"""A finished line with the place in the code that logged it, which OTLP has fields for."""

from __future__ import annotations

from typing import Self, TypeAlias

Place: TypeAlias = tuple[str, int, str]


class PlacedLine(bytes):
    """
    A line as the sink takes it.

    Attributes:
        place: path of the file, number of the line, and name of the function.
    """

    place: Place

    @classmethod
    def of(cls, line: bytes, place: Place) -> Self:
        placed = cls(line)
        placed.place = place
        return placed

    def ended(self) -> Self:
        """Return the line with its newline."""
        return self.of(bytes(self) + b"\n", self.place)


__all__ = ["Place", "PlacedLine"]
