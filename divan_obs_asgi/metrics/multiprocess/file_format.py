"""
The format of the files of workers: ledgers (worker_file.py) and the archive (archive.py).

A file is a head of 16 bytes (the mark, and the number of bytes in use) followed by records. A record has a text and
numbers: the lengths of both (two 32-bit integers), the text in UTF-8, padded to 8 bytes, and the numbers as doubles.
So every number is aligned, and is read and written in one go. Texts are JSON:

    ["divan_http_requests_total", "counter", ["route"], [], "", "HTTP requests."]   a family, without numbers
    ["divan_jobs_duration_seconds", "histogram", ["name"], [0.1, 5], "", "Seconds.", [3, -104, 160]]
                                               a family with exponential buckets: scale, first index, count
    [0, ["/rooms/{id}"]]                       a label set of the first family, with numbers
    {"folded": ["divan-12-5d0c.worker"]}       first record of an archive: the ledgers that it includes

The numbers of a label set are:

- counter: value, creation time
- gauge: value, time of the last change
- summary: count, sum, creation time
- histogram: sum, count of each cell, creation time; a cell is a bucket, or a part of one (exponential.py)
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias, cast

from divan_obs_asgi.metrics.exponential import Exponential, cell_edges
from divan_obs_asgi.metrics.family import Family, GaugeMode, Kind, Metric

MARK = b"divan-1\n"
HEAD = 16
# Families with different keys are merged separately: name, kind, labels, edges, exponential buckets.
FamilyKey: TypeAlias = tuple[str, str, tuple[str, ...], tuple[float, ...], Exponential | None]

_used = struct.Struct("=8sQ")
_lengths = struct.Struct("=II")


class Damaged(Exception):
    """A file does not have this format."""


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """
    A family under its full name, as it is written to a file.

    Attributes:
        exponential: the exponential buckets that a histogram has beside those of /metrics.
    """

    full_name: str
    family: Family[Metric]
    exponential: Exponential | None = None

    @property
    def key(self) -> FamilyKey:
        return self.full_name, self.family.kind, self.family.labels, self.family.buckets, self.exponential

    @property
    def edges(self) -> tuple[float, ...]:
        """The upper edges of a histogram's buckets, including infinity."""
        buckets = self.family.buckets
        return buckets if buckets and buckets[-1] == inf else (*buckets, inf)

    @property
    def cell_edges(self) -> tuple[float, ...]:
        """The upper edges of a histogram's cells."""
        return self.edges if self.exponential is None else cell_edges(self.edges, self.exponential)

    @property
    def width(self) -> int:
        """The number of numbers of a label set."""
        return {"counter": 2, "gauge": 2, "summary": 3}.get(self.family.kind) or len(self.cell_edges) + 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A label set and the range of its numbers. In an archive they may repeat, as the parts of an exact sum."""

    described: Described
    labels: tuple[str, ...]
    start: int
    end: int


def family_text(described: Described) -> str:
    """Return the text of a family's record."""
    family = described.family
    mode = family.mode if family.kind == "gauge" else ""
    more = () if described.exponential is None else (described.exponential,)
    return json.dumps([described.full_name, family.kind, family.labels, family.buckets, mode, family.help, *more])


def series_text(number: int, labels: Sequence[str]) -> str:
    """Return the text of a label set's record; `number` is the index of its family in the file."""
    return json.dumps([number, labels])


def archived_text(names: Iterable[str]) -> str:
    """Return the text of the record that lists the ledgers in an archive."""
    return json.dumps({"folded": sorted(names)})


def record(text: str, numbers: Iterable[float]) -> bytes:
    """Return a record as bytes; the numbers are at its end."""
    encoded = text.encode()
    doubles = array("d", numbers)
    return _lengths.pack(len(encoded), len(doubles)) + encoded + bytes(-len(encoded) % 8) + doubles.tobytes()


def head(used: int) -> bytes:
    """Return the head of a file with `used` bytes in use, including the head."""
    return _used.pack(MARK, used)


def used_of(data: bytes) -> int:
    """
    Return the number of bytes in use, from the first bytes of a file.

    Raises:
        Damaged: if the file does not have this format.
    """
    if len(data) < HEAD:
        raise Damaged("it is truncated")
    mark, used = _used.unpack_from(data)
    if mark != MARK or used < HEAD or used % 8:
        raise Damaged("it is not a ledger")
    return cast(int, used)


class Contents:
    """The contents of a file. A file that has grown is read on from its previous end."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._families: list[Described] = []
        self._end = HEAD

    def numbers(self, data: bytes) -> array[float]:
        """
        Return all numbers of the file, and read its new records.

        Raises:
            Damaged: if a record is invalid.
        """
        try:
            for text, start, end in _records(data, self._end):
                self._take(json.loads(text), start // 8, end // 8)
                self._end = end
        except (ValueError, TypeError, KeyError, IndexError, struct.error) as error:
            raise Damaged("it has an invalid record") from error
        doubles = array("d")
        doubles.frombytes(data)
        return doubles

    def _take(self, parsed: Any, start: int, end: int) -> None:
        if isinstance(parsed, dict):
            return
        if start == end:
            self._families.append(_described(parsed))
        else:
            described = self._families[parsed[0]]
            if (end - start) % described.width or len(parsed[1]) != len(described.family.labels):
                raise ValueError("a label set of another family")
            self.entries.append(Entry(described, tuple(map(str, parsed[1])), start, end))


def archived_names(data: bytes) -> frozenset[str]:
    """
    Return the names of the ledgers that an archive includes, from its first record.

    Raises:
        Damaged: if it is not an archive.
    """
    if used_of(data) != len(data):
        raise Damaged("it is truncated")
    try:
        text, _, _ = next(_records(data, HEAD))
        return frozenset(map(str, json.loads(text)["folded"]))
    except (ValueError, TypeError, KeyError, StopIteration, struct.error) as error:
        raise Damaged("it is not an archive") from error


def _records(data: bytes, at: int) -> Iterator[tuple[str, int, int]]:
    """Yield the text, and the start and end of the numbers, of each record from `at` on."""
    while at < len(data):
        length, count = _lengths.unpack_from(data, at)
        text_at = at + _lengths.size
        start = text_at + length + (-length % 8)
        at = start + count * 8
        if at > len(data):
            raise ValueError("a record that does not end")
        yield data[text_at : text_at + length].decode(), start, at


def _described(fields: Sequence[Any]) -> Described:
    full_name, kind, labels, edges, mode, help, *more = fields
    family: Family[Metric] = Family(
        str(full_name),
        cast(Kind, kind),
        tuple(map(str, labels)),
        str(help),
        "",
        tuple(map(float, edges)),
        mode=cast(GaugeMode, mode or "livesum"),
    )
    return Described(family.name, family, Exponential(*map(int, more[0])) if more else None)


__all__ = [
    "HEAD",
    "Contents",
    "Damaged",
    "Described",
    "Entry",
    "FamilyKey",
    "archived_names",
    "archived_text",
    "family_text",
    "head",
    "record",
    "series_text",
    "used_of",
]
