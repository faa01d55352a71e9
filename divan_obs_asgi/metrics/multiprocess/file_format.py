"""
The form in which workers keep their series in files: what stands in a ledger (ledger.py) and in the archive.

A file is a head of 16 bytes, the mark and how many bytes are in use, and then records. A record is a text and some
numbers: the lengths of both (two 32-bit integers), the text in UTF-8, filled up to 8 bytes, and the numbers as doubles.
Every number is thus where a double may be, and is written and read in one go. Texts are JSON:

    ["divan_http_requests_total", "counter", ["route"], [], "", "HTTP requests."]   a family; it has no numbers
    [0, ["/rooms/{id}"]]                       a label set of the first family, with numbers
    {"folded": ["divan-12-5d0c.worker"]}       of the archive, the first: which ledgers it was made of

The numbers of a label set, by kind: of a counter its value; of a gauge the value and when it was set; of a summary
count and sum; of a histogram the sum and the count of each bucket; last, but of a gauge, since when it counts.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias, cast

from divan_obs_asgi.metrics.family import Family, GaugeMode, Kind, Metric

MARK = b"divan-1\n"
HEAD = 16
# Two bundles whose families differ in one of these do not count the same: name, kind, labels, edges.
FamilyKey: TypeAlias = tuple[str, str, tuple[str, ...], tuple[float, ...]]

_used = struct.Struct("=8sQ")
_lengths = struct.Struct("=II")


class Damaged(Exception):
    """A file is not what it should be."""


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A family under its full name, as a file describes it."""

    full_name: str
    family: Family[Metric]

    @property
    def key(self) -> FamilyKey:
        return self.full_name, self.family.kind, self.family.labels, self.family.buckets

    @property
    def edges(self) -> tuple[float, ...]:
        """The upper edges of a histogram's buckets, infinity included."""
        buckets = self.family.buckets
        return buckets if buckets and buckets[-1] == inf else (*buckets, inf)

    @property
    def width(self) -> int:
        """How many numbers a label set has."""
        return {"counter": 2, "gauge": 2, "summary": 3}.get(self.family.kind) or len(self.edges) + 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A label set, and where its numbers stand; in the archive there may be several times as many."""

    described: Described
    labels: tuple[str, ...]
    start: int
    end: int


def family_text(described: Described) -> str:
    """Return the record of a family."""
    family = described.family
    mode = family.mode if family.kind == "gauge" else ""
    return json.dumps([described.full_name, family.kind, family.labels, family.buckets, mode, family.help])


def series_text(number: int, labels: Sequence[str]) -> str:
    """Return the record of a label set of the family that is the `number`th of its file."""
    return json.dumps([number, labels])


def folded_text(names: Iterable[str]) -> str:
    """Return the record that says which files are in the archive."""
    return json.dumps({"folded": sorted(names)})


def record(text: str, numbers: Iterable[float]) -> bytes:
    """Return a record as bytes; its numbers are the last of them."""
    encoded = text.encode()
    doubles = array("d", numbers)
    return _lengths.pack(len(encoded), len(doubles)) + encoded + bytes(-len(encoded) % 8) + doubles.tobytes()


def head(used: int) -> bytes:
    """Return the head of a file of which so many bytes are in use, the head included."""
    return _used.pack(MARK, used)


def used_of(data: bytes) -> int:
    """
    Return how many bytes of a file are in use, by its first ones.

    Raises:
        Damaged: where it is no file of this form.
    """
    if len(data) < HEAD:
        raise Damaged("it is cut off")
    mark, used = _used.unpack_from(data)
    if mark != MARK or used < HEAD or used % 8:
        raise Damaged("it is no ledger")
    return cast(int, used)


class Contents:
    """What a file holds; one that has grown is read on from where it ended."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._families: list[Described] = []
        self._end = HEAD

    def numbers(self, data: bytes) -> array[float]:
        """
        Return all numbers of the file, after a look at what is new in it.

        Raises:
            Damaged: where it cannot be read.
        """
        try:
            for text, start, end in _records(data, self._end):
                self._take(json.loads(text), start // 8, end // 8)
                self._end = end
        except (ValueError, TypeError, KeyError, IndexError, struct.error) as error:
            raise Damaged("a record of it cannot be read") from error
        doubles = array("d")
        doubles.frombytes(data)
        return doubles

    def _take(self, said: Any, start: int, end: int) -> None:
        if isinstance(said, dict):
            return
        if start == end:
            self._families.append(_described(said))
        else:
            described = self._families[said[0]]
            if (end - start) % described.width or len(said[1]) != len(described.family.labels):
                raise ValueError("a label set of another family")
            self.entries.append(Entry(described, tuple(map(str, said[1])), start, end))


def folded_of(data: bytes) -> frozenset[str]:
    """
    Return the names of the ledgers that an archive was made of; they stand in its first record.

    Raises:
        Damaged: where it is no archive.
    """
    if used_of(data) != len(data):
        raise Damaged("it is cut off")
    try:
        text, _, _ = next(_records(data, HEAD))
        return frozenset(map(str, json.loads(text)["folded"]))
    except (ValueError, TypeError, KeyError, StopIteration, struct.error) as error:
        raise Damaged("it is no archive") from error


def _records(data: bytes, at: int) -> Iterator[tuple[str, int, int]]:
    """Yield text, and begin and end of the numbers, of each record from `at` on."""
    while at < len(data):
        length, count = _lengths.unpack_from(data, at)
        text_at = at + _lengths.size
        start = text_at + length + (-length % 8)
        at = start + count * 8
        if at > len(data):
            raise ValueError("a record that does not end")
        yield data[text_at : text_at + length].decode(), start, at


def _described(said: Sequence[Any]) -> Described:
    full_name, kind, labels, edges, mode, help = said
    family: Family[Metric] = Family(
        str(full_name),
        cast(Kind, kind),
        tuple(map(str, labels)),
        str(help),
        "",
        tuple(map(float, edges)),
        mode=cast(GaugeMode, mode or "livesum"),
    )
    return Described(family.name, family)


__all__ = [
    "HEAD",
    "Contents",
    "Damaged",
    "Described",
    "Entry",
    "FamilyKey",
    "family_text",
    "folded_of",
    "folded_text",
    "head",
    "record",
    "series_text",
    "used_of",
]
