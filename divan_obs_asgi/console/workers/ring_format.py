"""
The format of ring files: what a worker keeps of the console, in a file of fixed size.

A file is a head of 64 bytes (mark, version of the library, size, process id, start of the worker, checksum) followed by
lanes. A lane is a ring for some kinds of entries, so that a flood of successful requests does not overwrite the failed
ones. An entry is a head of 24 bytes (mark, lengths of kind and data, checksum, sequence number), the kind and the data,
padded to 8 bytes.

There is no pointer to the newest entry. A reader finds the entries by their marks and checksums, and orders them by
sequence number. So a write that was interrupted, at any byte, costs only the entries that it touched.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from divan_obs_asgi.version import __version__

HEAD = 64
# Smaller files have no room for a request with its calls and lines in each lane.
MIN_SIZE = 128 * 1024
# A larger file is not one of ours: OBS_CONSOLE_BYTES is divided by the number of workers.
MAX_SIZE = 256 * 1024 * 1024
# The share of each lane, in sixteenths of the file. Kinds without a lane of their own are in the last one.
_SHARES = {"request": 4, "failed": 4, "slow": 2, "error": 2, "state": 3, "": 1}

_MARK = b"divan-r1"
# The fields of entries change with the version of the library.
_VERSION = crc32(__version__.encode())
# The byte 0xFF is in no UTF-8 text, so no text of a client contains the mark of an entry.
_ENTRY_MARK = b"\xffE1\n"
_head = struct.Struct("<8sQQQd")
_entry = struct.Struct("<4sIIIQ")
_summed = struct.Struct("<IIQ")
_checksum = struct.Struct("<I")
ENTRY_HEAD = _entry.size


class Unreadable(Exception):
    """A file is not a ring file."""


@dataclass(frozen=True, slots=True)
class RingHead:
    """
    The head of a ring file.

    Attributes:
        size: bytes of the whole file.
        started: Unix time at which the worker created the file.
    """

    size: int
    pid: int
    started: float

    def encoded(self) -> bytes:
        packed = _head.pack(_MARK, _VERSION, self.size, self.pid, self.started)
        return (packed + _checksum.pack(crc32(packed))).ljust(HEAD, b"\0")


class Entry(NamedTuple):
    """
    An entry as it was written.

    Attributes:
        sequence: its number among the entries of its worker.
        data: JSON.
    """

    sequence: int
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Lane:
    """The range of a lane in the file."""

    start: int
    end: int

    @property
    def max_entry(self) -> int:
        """The maximum size of an entry: two of them fit, so that the older one survives an interrupted write."""
        return (self.end - self.start) // 2 & ~7


def lanes_of(size: int) -> dict[str, Lane]:
    """Return the lanes of a file of `size` bytes by kind; "" is the lane of all other kinds."""
    unit = (size - HEAD) // sum(_SHARES.values()) & ~7
    lanes, start = {}, HEAD
    for kind, share in _SHARES.items():
        lanes[kind] = Lane(start, start + unit * share)
        start += unit * share
    return lanes


def encoded_entry(sequence: int, kind: str, data: bytes) -> bytes:
    """Return an entry as bytes."""
    name = kind.encode()
    payload = name + data
    lengths_and_number = _summed.pack(len(name), len(data), sequence)
    checksum = crc32(payload, crc32(lengths_and_number))
    packed = _entry.pack(_ENTRY_MARK, len(name), len(data), checksum, sequence) + payload
    return packed + bytes(-len(packed) % 8)


def head_of(data: bytes) -> RingHead:
    """
    Return the head of a ring file, from its first bytes.

    Raises:
        Unreadable: if it is not one.
    """
    if len(data) < HEAD:
        raise Unreadable("it is shorter than a head")
    packed = data[: _head.size]
    mark, version, size, pid, started = _head.unpack(packed)
    if mark != _MARK or _checksum.unpack_from(data, _head.size)[0] != crc32(packed):
        raise Unreadable("it is not a ring file")
    if version != _VERSION:
        raise Unreadable("it is of another version")
    if not MIN_SIZE <= size <= MAX_SIZE or size % 8 or not started == started:
        raise Unreadable("it has an impossible size")
    return RingHead(size, pid, started)


class Place(NamedTuple):
    """Which entry begins at a position, as its head says, and where it ends; it may be incomplete or damaged."""

    sequence: int
    end: int


def place_of(data: bytes, at: int) -> Place | None:
    """Return which entry begins at a position; None if none does."""
    start = at + ENTRY_HEAD
    if start > len(data):
        return None
    mark, name_length, length, _, sequence = _entry.unpack_from(data, at)
    if mark != _ENTRY_MARK:
        return None
    end = start + name_length + length
    return Place(sequence, end + -end % 8)


def entry_at(data: bytes, at: int) -> Entry | None:
    """Return the entry that begins at a position; None if it is incomplete or damaged."""
    start = at + ENTRY_HEAD
    if start > len(data):
        return None
    _, name_length, length, checksum, sequence = _entry.unpack_from(data, at)
    end = start + name_length + length
    if end > len(data):
        return None
    payload = data[start:end]
    if crc32(payload, crc32(_summed.pack(name_length, length, sequence))) != checksum:
        return None
    try:
        return Entry(sequence, payload[:name_length].decode(), payload[name_length:])
    except UnicodeDecodeError:
        return None


def located_entries(data: bytes) -> Iterator[tuple[int, int, Entry]]:
    """Yield start, end and entry of each complete one in a part of a ring file, which begins at a multiple of 8."""
    at = 0
    while (at := data.find(_ENTRY_MARK, at)) >= 0:
        entry = entry_at(data, at) if at % 8 == 0 else None
        place = place_of(data, at)
        if entry is None or place is None:
            at += 1
        else:
            yield at, place.end, entry
            at = place.end


__all__ = [
    "ENTRY_HEAD",
    "HEAD",
    "MAX_SIZE",
    "MIN_SIZE",
    "Entry",
    "Lane",
    "Place",
    "RingHead",
    "Unreadable",
    "encoded_entry",
    "entry_at",
    "head_of",
    "lanes_of",
    "located_entries",
    "place_of",
]
