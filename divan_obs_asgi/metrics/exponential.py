"""
Exponential buckets beside the buckets of /metrics, for the export by OTLP.

Buckets of one kind cannot be made from those of the other. So the cells of such a histogram are split at the edges of
both kinds, and each bucket of either kind is the sum of some cells: one observation changes one cell, and both kinds
have the same counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from math import frexp, inf, isqrt, ldexp
from typing import Any, NamedTuple

# OpenTelemetry, "Base2 Exponential Bucket Histogram Aggregation": MaxSize is 160 by default.
_BUCKETS = 160
# At scale 3 a bucket is 9 % wide, and 160 buckets cover 20 octaves: for requests from 61 microseconds to a minute.
_FINEST = 3
_MANTISSA = 52
_LOWEST_OCTAVE, _HIGHEST_OCTAVE = -1022, 1023


class Exponential(NamedTuple):
    """
    The exponential buckets of a histogram.

    Attributes:
        scale: a bucket has the values above base**index, up to base**(index + 1); the base is 2**(2**-scale).
        first: the index of the lowest bucket. The zero bucket has the values below it.
        size: the number of buckets. The highest one also has the values above it.
    """

    scale: int
    first: int
    size: int

    @property
    def edges(self) -> tuple[float, ...]:
        """The upper edges of the zero bucket, of each other bucket but the highest one, and infinity."""
        return (*(_edge(self.scale, self.first + number) for number in range(self.size)), inf)

    @property
    def zero_threshold(self) -> float:
        """The upper edge of the zero bucket."""
        return _edge(self.scale, self.first)


def _edge(scale: int, index: int) -> float:
    """
    Return base**index, rounded down.

    A number is then above this edge exactly if it is above the irrational one: the integer square roots are exact.
    """
    octave, part = divmod(index, 1 << scale)
    power = 1 << (part + (_MANTISSA << scale))
    for _ in range(scale):
        power = isqrt(power)
    return ldexp(power, octave - _MANTISSA)


@lru_cache(maxsize=256)
def exponential_of(edges: tuple[float, ...]) -> Exponential | None:
    """
    Return the exponential buckets of a histogram with these upper edges, and with room on both sides of them.

    None if an edge is negative, or if the edges are more than 160 octaves apart.
    """
    positive = [edge for edge in edges if 0 < edge < inf] or [1.0]
    low, high = frexp(positive[0])[1] - 1, frexp(positive[-1])[1]
    scale = _FINEST
    while scale and high - low > _BUCKETS >> scale:
        scale -= 1
    octaves = _BUCKETS >> scale
    if edges[0] < 0 or high - low > octaves:
        return None
    # Most of the room is below: an edge at 10 ms has many requests under it, and one at 5 s has few above it.
    first = low - (octaves - (high - low)) * 3 // 4
    first = max(_LOWEST_OCTAVE, min(first, _HIGHEST_OCTAVE - octaves))
    return Exponential(scale, first << scale, _BUCKETS)


@lru_cache(maxsize=256)
def cell_edges(edges: tuple[float, ...], exponential: Exponential) -> tuple[float, ...]:
    """Return the upper edges of the cells."""
    return tuple(sorted({*edges, *exponential.edges}))


@lru_cache(maxsize=512)
def _slices(edges: tuple[float, ...], cells: tuple[float, ...]) -> tuple[slice, ...]:
    """Return for each bucket which cells are in it; its edge is the edge of its last cell."""
    ends = [bisect_left(cells, edge) + 1 for edge in edges]
    return tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))


class FoldedValue:
    """A bucket of /metrics as the sum of its cells, with the attributes of prometheus_client's values."""

    __slots__ = ("_cells",)

    def __init__(self, cells: Sequence[Any]) -> None:
        self._cells = cells

    @property
    def _value(self) -> float:
        return float(sum([cell._value for cell in self._cells]))

    def get(self) -> float:
        return self._value

    @property
    def _exemplar(self) -> Any:
        """The newest exemplar of the cells."""
        found = [cell.get_exemplar() if type(cell._exemplar) is tuple else cell._exemplar for cell in self._cells]
        return max((each for each in found if each is not None), key=_time_of, default=None)

    def get_exemplar(self) -> Any:
        return self._exemplar


def _time_of(exemplar: Any) -> float:
    return float(exemplar.timestamp or 0.0)


def folded(cells: Sequence[Any], edges: tuple[float, ...], exponential: Exponential) -> list[FoldedValue]:
    """Return the buckets of /metrics."""
    return [FoldedValue(cells[part]) for part in _slices(edges, cell_edges(edges, exponential))]


def exponential_counts(cells: Sequence[Any], edges: tuple[float, ...], exponential: Exponential) -> list[float]:
    """Return the counts of the zero bucket and of each exponential one."""
    counts = [cell._value for cell in cells]
    return [sum(counts[part]) for part in _slices(exponential.edges, cell_edges(edges, exponential))]


__all__ = ["Exponential", "FoldedValue", "cell_edges", "exponential_counts", "exponential_of", "folded"]
