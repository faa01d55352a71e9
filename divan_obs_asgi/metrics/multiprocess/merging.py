"""Merges the series of several workers: counters are summed, gauges are combined by their mode."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import fsum, isfinite, isnan
from typing import Any

from prometheus_client.samples import Sample

from divan_obs_asgi.metrics.exponential import folded
from divan_obs_asgi.metrics.family import Family, Metric
from divan_obs_asgi.metrics.multiprocess.file_format import Contents, Described, FamilyKey

# Label sets that are merged in one step; those of histograms take 5 µs each, and with exponential buckets 50.
_STEP, _STEP_OF_CELLS = 100, 10


class MergedValue:
    """A number of a `MergedChild`, with the attributes of prometheus_client's values."""

    __slots__ = ("_exemplar", "_value")

    def __init__(self) -> None:
        self._value = 0.0
        self._exemplar: Any = None

    def get(self) -> float:
        return self._value


class MergedChild:
    """
    A label set of a `MergedFamily`, with the attributes of a metric's child.

    Attributes:
        parts: the numbers of each worker.
    """

    def __init__(self, described: Described, labels: tuple[str, ...]) -> None:
        self.label_text: str | None = None
        self.around_le: tuple[str, str] | None = None
        self._labelnames = described.family.labels
        self._labelvalues = labels
        self._is_gauge = described.family.kind == "gauge"
        self._created = 0.0
        self._values = [MergedValue() for _ in range(1 if self._is_gauge else described.width - 1)]
        # The names of prometheus_client's metrics.
        self._value = self._count = self._values[0]
        self._sum = self._values[1 if described.family.kind == "summary" else 0]
        self.cells = self._values[1:]
        exponential = described.exponential
        self._buckets: Sequence[Any] = (
            self.cells if exponential is None else folded(self.cells, described.edges, exponential)
        )
        self.parts: list[array[float]] = []

    @property
    def labels(self) -> tuple[str, ...]:
        return self._labelvalues

    def merge(self, mode: str) -> bool:
        """Merge the parts into one value; return whether there is one."""
        parts = self.parts
        if self._is_gauge:
            value = merged_gauge(mode, parts)
            if value is not None:
                self._value._value = value
            return value is not None
        if not parts:
            return False
        # Most series are of one worker: their route is requested once an hour.
        numbers: Sequence[float] = parts[0] if len(parts) == 1 else list(map(total, zip(*parts, strict=True)))
        for merged, number in zip(self._values, numbers, strict=False):  # The last number is `created`.
            merged._value = number
        self._created = min((part[-1] for part in parts if part[-1]), default=0.0)
        return True

    def copy_exemplars(self, child: Any) -> None:
        """Take over the exemplars of this worker's counter or histogram."""
        if hasattr(child, "cells"):
            for cell, own in zip(self.cells, child.cells, strict=True):
                cell._exemplar = own._exemplar
        else:
            self._value._exemplar = child._value._exemplar

    def _child_samples(self) -> tuple[Sample]:
        return (Sample("", {}, self._value._value, None, None),)


class MergedFamily:
    """A family of several workers, with the attributes of a `LimitedMetric`."""

    def __init__(self, described: Described) -> None:
        self.described = described
        self._by_labels: dict[tuple[str, ...], MergedChild] = {}
        self._exposed: list[Any] = []

    @property
    def full_name(self) -> str:
        return self.described.full_name

    @property
    def family(self) -> Family[Metric]:
        return self.described.family

    @property
    def edges(self) -> Sequence[float]:
        return self.described.edges

    def child(self, labels: tuple[str, ...]) -> MergedChild:
        """Return a label set, whether or not it has a value."""
        child = self._by_labels.get(labels)
        if child is None:
            child = self._by_labels[labels] = MergedChild(self.described, labels)
        return child

    def children(self) -> list[Any]:
        """Return the label sets that have a value."""
        return self._exposed

    def all(self) -> list[MergedChild]:
        return list(self._by_labels.values())

    def copy_exemplars(self, children: Iterable[Any]) -> None:
        """Take over the exemplars of this worker's metric."""
        for child in children:
            merged = self._by_labels.get(child._labelvalues)
            if merged is not None:
                merged.copy_exemplars(child)

    def merge(self) -> Iterator[None]:
        """Merge the numbers of each label set, in steps, and forget label sets that no worker has any more."""
        mode = self.family.mode
        step = _STEP if self.described.exponential is None else _STEP_OF_CELLS
        self._by_labels = {labels: child for labels, child in self._by_labels.items() if child.parts}
        self._exposed = []
        for number, child in enumerate(self.all(), start=1):
            if child.merge(mode):
                self._exposed.append(child)
            if number % step == 0:
                yield


class Merge:
    """The families of several files. A `Source` finds the label sets of its file once, and then adds new numbers."""

    def __init__(self) -> None:
        self.families: dict[FamilyKey, MergedFamily] = {}

    def family(self, described: Described) -> MergedFamily:
        """Return a family; the last caller decides its help text and mode."""
        family = self.families.get(described.key)
        if family is None:
            family = self.families[described.key] = MergedFamily(described)
        elif family.described is not described:
            family.described = described
        return family

    def begin(self) -> None:
        """Forget the numbers of the previous page."""
        for family in self.families.values():
            for child in family.all():
                child.parts = []

    def keep_newest(self) -> None:
        """Keep the last family of each name. Other labels or edges come from an earlier version of the service."""
        newest = {key[0]: key for key in self.families}
        self.families = {key: self.families[key] for key in newest.values()}


class Source:
    """
    One file as a part of a `Merge`.

    Args:
        takes: returns whether a family of the file is exposed.
    """

    def __init__(self, merge: Merge, *, takes: Callable[[Described], bool]) -> None:
        self._merge = merge
        self._takes = takes
        self.contents = Contents()
        self._seen = 0
        self._places: list[tuple[MergedChild, int, int]] = []

    def add(self, data: bytes) -> None:
        """Add the numbers of the file to the merge."""
        numbers = self.contents.numbers(data)
        for entry in self.contents.entries[self._seen :]:
            if self._takes(entry.described):
                width = entry.described.width
                child = self._merge.family(entry.described).child(entry.labels)
                self._places += [(child, start, start + width) for start in range(entry.start, entry.end, width)]
        self._seen = len(self.contents.entries)
        for child, start, end in self._places:
            child.parts.append(numbers[start:end])


# The arithmetic.


def total(numbers: Sequence[float]) -> float:
    """Return the sum, rounded once, so that it does not depend on the order of the workers."""
    try:
        return fsum(numbers)
    except (OverflowError, ValueError):  # The sum is infinite, or both infinities are in it.
        return sum(numbers)


def exact_parts(numbers: Iterable[float]) -> list[float]:
    """
    Return numbers whose exact sum is that of the given ones. One double could not hold it.

    So a sum does not change when dead workers are archived. With one more rounding a counter could decrease by its last
    bit, which Prometheus takes for a restart. (J. R. Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1996.)
    """
    partials: list[float] = []
    for given in numbers:
        number = given
        kept = 0
        for partial in partials:
            larger, smaller = (number, partial) if abs(number) >= abs(partial) else (partial, number)
            number = larger + smaller
            rest = smaller - (number - larger)
            if rest:
                partials[kept] = rest
                kept += 1
        partials[kept:] = [number]
    return partials if all(map(isfinite, partials)) else [sum(numbers)]


def merged_gauge(mode: str, parts: Sequence[Sequence[float]]) -> float | None:
    """Return the merged value of a gauge, or None if no worker has set it."""
    kind = mode.removeprefix("live")
    if kind == "sum":
        # A gauge that was never set counts as 0: it is incremented.
        numbers = [value for value, _ in parts if not isnan(value)]
        return total(numbers) if numbers else None
    dated = [(at, value) for value, at in parts if at]
    if kind == "mostrecent":
        _, value = max(dated, default=(0.0, float("nan")))
        return None if isnan(value) else value
    values = [value for _, value in dated if not isnan(value)]
    return (min if kind == "min" else max)(values, default=None)


__all__ = ["Merge", "MergedChild", "MergedFamily", "MergedValue", "Source", "exact_parts", "merged_gauge", "total"]
