"""The series of several workers as one: what their sums, and what each mode of a gauge, make of them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.samples import Sample

from divan_obs_asgi.metrics.family import Family, Metric
from divan_obs_asgi.metrics.multiprocess.file_format import Contents, Described, FamilyKey
from divan_obs_asgi.metrics.multiprocess.sums import gauge_of, total

# Label sets that are made one in a go; those of histograms take 5 µs.
_AT_A_TIME = 100


class MergedValue:
    """A number of a `MergedChild`, to be read as prometheus_client's."""

    __slots__ = ("_exemplar", "_value")

    def __init__(self) -> None:
        self._value = 0.0
        self._exemplar: Any = None

    def get(self) -> float:
        return self._value


class MergedChild:
    """A label set of a `MergedFamily`, in the shape of a metric's child."""

    def __init__(self, described: Described, labels: tuple[str, ...]) -> None:
        self.label_text: str | None = None
        self.around_le: tuple[str, str] | None = None
        self._labelnames = described.family.labels
        self._labelvalues = labels
        self._is_gauge = described.family.kind == "gauge"
        self._created = 0.0
        self._values = [MergedValue() for _ in range(1 if self._is_gauge else described.width - 1)]
        # By their names in prometheus_client's metrics.
        self._value = self._count = self._values[0]
        self._sum = self._values[1 if described.family.kind == "summary" else 0]
        self._buckets = self._values[1:]
        #: What the workers say of it.
        self.parts: list[array[float]] = []

    @property
    def labels(self) -> tuple[str, ...]:
        return self._labelvalues

    def settle(self, mode: str) -> bool:
        """Make one value of the parts; returns whether there is any."""
        parts = self.parts
        if self._is_gauge:
            told = gauge_of(mode, parts)
            if told is not None:
                self._value._value = told
            return told is not None
        if not parts:
            return False
        # Most series are of one worker: their route is asked once an hour.
        numbers: Sequence[float] = parts[0] if len(parts) == 1 else list(map(total, zip(*parts, strict=True)))
        for value, number in zip(self._values, numbers, strict=False):  # The last one is `created`.
            value._value = number
        self._created = min((part[-1] for part in parts if part[-1]), default=0.0)
        return True

    def have_exemplars(self, child: Any) -> None:
        """Carry the exemplars of one worker's counter or histogram."""
        if hasattr(child, "_buckets"):
            for bucket, theirs in zip(self._buckets, child._buckets, strict=True):
                bucket._exemplar = theirs._exemplar
        else:
            self._value._exemplar = child._value._exemplar

    def _child_samples(self) -> tuple[Sample]:
        return (Sample("", {}, self._value._value, None, None),)


class MergedFamily:
    """A family of several workers, in the shape of a `LimitedMetric` metric."""

    def __init__(self, described: Described) -> None:
        self.described = described
        self._by_labels: dict[tuple[str, ...], MergedChild] = {}
        self._told: list[Any] = []

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
        """Return a label set, whether or not something is told of it."""
        child = self._by_labels.get(labels)
        if child is None:
            child = self._by_labels[labels] = MergedChild(self.described, labels)
        return child

    def children(self) -> list[Any]:
        """Return the label sets of which there is something to tell."""
        return self._told

    def all(self) -> list[MergedChild]:
        return list(self._by_labels.values())

    def have_exemplars(self, children: Iterable[Any]) -> None:
        """Have what is told carry the exemplars of one worker's metric."""
        for child in children:
            merged = self._by_labels.get(child._labelvalues)
            if merged is not None:
                merged.have_exemplars(child)

    def settling(self) -> Iterator[None]:
        """Make one value of what the workers say of each label set, and forget those of which nobody says anything."""
        mode = self.family.mode
        self._by_labels = {labels: child for labels, child in self._by_labels.items() if child.parts}
        self._told = []
        for number, child in enumerate(self.all(), start=1):
            if child.settle(mode):
                self._told.append(child)
            if number % _AT_A_TIME == 0:
                yield


class Merge:
    """
    The families of some files.

    What a file holds is looked up once: `source` returns what has it added again, with the numbers of the moment.
    """

    def __init__(self) -> None:
        self.families: dict[FamilyKey, MergedFamily] = {}

    def family(self, described: Described) -> MergedFamily:
        """Return a family; who asks last says by which help and mode it is told."""
        family = self.families.get(described.key)
        if family is None:
            family = self.families[described.key] = MergedFamily(described)
        elif family.described is not described:
            family.described = described
        return family

    def begin(self) -> None:
        """Forget the numbers of the moment before."""
        for family in self.families.values():
            for child in family.all():
                child.parts = []

    def keep_newest(self) -> None:
        """Of families of one name keep the last: other labels or edges are of an earlier version of the service."""
        newest = {key[0]: key for key in self.families}
        self.families = {key: self.families[key] for key in newest.values()}


class Source:
    """
    One file as a part of a `Merge`.

    Args:
        takes: says which of its families are told.
    """

    def __init__(self, merge: Merge, *, takes: Callable[[Described], bool]) -> None:
        self._merge = merge
        self._takes = takes
        self.contents = Contents()
        self._seen = 0
        self._places: list[tuple[MergedChild, int, int]] = []

    def add(self, data: bytes) -> None:
        """Add the numbers of the file to what is told."""
        numbers = self.contents.numbers(data)
        for entry in self.contents.entries[self._seen :]:
            if self._takes(entry.described):
                width = entry.described.width
                child = self._merge.family(entry.described).child(entry.labels)
                self._places += [(child, start, start + width) for start in range(entry.start, entry.end, width)]
        self._seen = len(self.contents.entries)
        for child, start, end in self._places:
            child.parts.append(numbers[start:end])


__all__ = ["Merge", "MergedChild", "MergedFamily", "MergedValue", "Source"]
