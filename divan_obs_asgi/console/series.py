"""Twelve numbers every five seconds for an hour."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise

from divan_obs_asgi.console.limits import SERIES, SERIES_STEPS
from divan_obs_asgi.console.shapes import NUMBERS, Number

NAMES = (
    *NUMBERS,
    "websockets",
    "events_per_s",
    "exceptions_per_s",
    "logs_dropped",
    "spans_dropped",
    "redactions_per_s",
)
assert len(NAMES) == SERIES
_POINTS = 60
_STEPS_OF_A_POINT = SERIES_STEPS // _POINTS
_DIGITS = 4


class Series:
    """A ring in one block of memory; nan where a number is not known."""

    def __init__(self) -> None:
        self._ring = array("d", [math.nan]) * (SERIES * SERIES_STEPS)
        self._steps = 0
        # The numbers of the header, and after how many steps they were made.
        self._numbers: tuple[int, dict[str, Number]] = (-1, {})

    def add(self, numbers: Sequence[float | None]) -> None:
        """Add the numbers of a step, in the order of `NAMES`."""
        at = self._steps % SERIES_STEPS * SERIES
        for index, number in enumerate(numbers):
            self._ring[at + index] = math.nan if number is None else number
        self._steps += 1

    def lines(self) -> dict[str, list[float | None]]:
        """Return each number as a line of at most 60 points, the oldest first."""
        steps = min(self._steps, SERIES_STEPS)
        # Points end at multiples of their length, so that a point does not change when a step is added.
        first = self._steps - steps
        edges = sorted({*range(-(-first // _STEPS_OF_A_POINT) * _STEPS_OF_A_POINT, self._steps, _STEPS_OF_A_POINT)})
        bounds = [first, *(edge for edge in edges if edge > first), self._steps]
        pairs = list(pairwise(bounds))[-_POINTS:]
        return {name: [self._mean(index, *pair) for pair in pairs] for index, name in enumerate(NAMES)}

    def _mean(self, index: int, start: int, end: int) -> float | None:
        values = [self._ring[step % SERIES_STEPS * SERIES + index] for step in range(start, end)]
        known = [value for value in values if not math.isnan(value)]
        return round(sum(known) / len(known), _DIGITS) if known else None

    def last(self) -> dict[str, float | None]:
        """Return the numbers of the last step."""
        if not self._steps:
            return dict.fromkeys(NAMES)
        at = (self._steps - 1) % SERIES_STEPS * SERIES
        values = self._ring[at : at + SERIES]
        known = zip(NAMES, values, strict=True)
        return {name: None if math.isnan(value) else round(value, _DIGITS) for name, value in known}

    def numbers(self) -> dict[str, Number]:
        """Return the numbers of the header; the same ones until the next step."""
        steps, known = self._steps, self._numbers
        if known[0] != steps:
            lines, last = self.lines(), self.last()
            known = self._numbers = steps, {name: {"now": last[name], "line": lines[name]} for name in NUMBERS}
        return known[1]


__all__ = ["NAMES", "Series"]
