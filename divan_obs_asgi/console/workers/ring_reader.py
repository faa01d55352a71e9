"""
Reads what is new in a ring file: its head, and each lane from where the last entry ended.

A lane that has begun again at its start is read as a whole. That happens once for as many entries as fit into it, and
is right however often the writer has come round since.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from operator import attrgetter

from divan_obs_asgi.console.workers.ring_format import (
    ENTRY_HEAD,
    HEAD,
    Entry,
    Lane,
    RingHead,
    entry_at,
    head_of,
    lanes_of,
    located_entries,
    place_of,
)

# Most of what a worker writes in a second.
_CHUNK = 32 * 1024


@dataclass(slots=True)
class _LaneState:
    """What is known of a lane: its entries with their positions, by age, and where the newest one ends."""

    lane: Lane
    entries: deque[tuple[int, Entry]] = field(default_factory=deque)
    end: int = -1
    last: int = 0


class RingReader:
    """
    A ring file that is read again and again.

    Attributes:
        head: of the file.
        changed: whether the last reading has found something new.
    """

    def __init__(self) -> None:
        self.head = RingHead(0, 0, 0.0)
        self.changed = False
        self._lanes: list[_LaneState] = []

    def read(self, descriptor: int) -> bool:
        """
        Read what is new; return False if the end of the file is missing.

        Raises:
            Unreadable: if it is not a ring file.
            OSError: if it cannot be read.
        """
        head = head_of(os.pread(descriptor, HEAD, 0))
        if head != self.head:
            self.head = head
            self._lanes = [_LaneState(lane) for lane in lanes_of(head.size).values()]
        before = [state.last for state in self._lanes]
        for state in self._lanes:
            start = state.lane.start
            first = place_of(os.pread(descriptor, ENTRY_HEAD, start), 0)
            if state.end < 0 or (first is not None and first.sequence > state.last and state.end > start):
                _read_all(descriptor, state)
            else:
                _read_on(descriptor, state)
        self.changed = before != [state.last for state in self._lanes]
        return os.fstat(descriptor).st_size >= head.size

    def entries(self) -> list[Entry]:
        """Return the entries of the file in the order in which they were written."""
        found = [entry for state in self._lanes for _, entry in state.entries]
        found.sort(key=attrgetter("sequence"))
        return found


def _read_all(descriptor: int, state: _LaneState) -> None:
    lane = state.lane
    found = list(located_entries(os.pread(descriptor, lane.end - lane.start, lane.start)))
    found.sort(key=lambda one: one[2].sequence)
    state.entries = deque((lane.start + at, entry) for at, _, entry in found)
    state.end, state.last = lane.start, 0
    if found:
        _, end, newest = found[-1]
        state.end, state.last = lane.start + end, newest.sequence


def _read_on(descriptor: int, state: _LaneState) -> None:
    size = _CHUNK
    while state.end < state.lane.end:
        data = os.pread(descriptor, min(size, state.lane.end - state.end), state.end)
        at = 0
        while (place := place_of(data, at)) is not None and place.sequence > state.last:
            entry = entry_at(data, at)
            if entry is None:
                break
            # In a ring the oldest entries are those that the newest one has been written over.
            while state.entries and state.end + at <= state.entries[0][0] < state.end + place.end:
                state.entries.popleft()
            state.entries.append((state.end + at, entry))
            state.last = entry.sequence
            at = place.end
        state.end += at
        if place is None or place.sequence <= state.last:
            return
        if at == 0:
            if place.end <= len(data) or size > _CHUNK:
                return  # It is being written.
            size = state.lane.end - state.lane.start


__all__ = ["RingReader"]
