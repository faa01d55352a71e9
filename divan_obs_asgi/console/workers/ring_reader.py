"""
Reads what is new in a ring file: its head, and each lane from where the last entry ended.

A lane that has begun again at its start is read from there. If the writer may have come round more than once since the
last reading, the lane is read as a whole.
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
    """
    What is known of a lane: its entries with their positions, by age, and where the newest one ends.

    Attributes:
        fresh: the entries that the last reading has found.
        gone: the sequence numbers of those that have been overwritten since the reading before.
    """

    lane: Lane
    entries: deque[tuple[int, Entry]] = field(default_factory=deque)
    end: int = -1
    last: int = 0
    fresh: list[Entry] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    def add(self, position: int, entry: Entry, size: int) -> None:
        """Add the newest entry. In a ring the oldest entries are those that it has been written over."""
        while self.entries and position <= self.entries[0][0] < position + size:
            self.remove_oldest()
        self.entries.append((position, entry))
        self.fresh.append(entry)
        self.end, self.last = position + size, entry.sequence

    def remove_oldest(self) -> None:
        self.gone.append(self.entries.popleft()[1].sequence)


class RingReader:
    """
    A ring file that is read again and again.

    Attributes:
        head: of the file.
    """

    def __init__(self) -> None:
        self.head = RingHead(0, 0, 0.0)
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
        for state in self._lanes:
            state.fresh, state.gone = [], []
            first = place_of(os.pread(descriptor, ENTRY_HEAD, state.lane.start), 0)
            if state.end < 0 or (first is not None and not state.entries):
                _read_all(descriptor, state)
            elif first is None or first.sequence <= state.last:
                _read_on(descriptor, state)
            elif not _read_round(descriptor, state):
                _read_all(descriptor, state)
        return os.fstat(descriptor).st_size >= head.size

    @property
    def changed(self) -> bool:
        """Whether the last reading has found something new."""
        return any(state.fresh for state in self._lanes)

    def fresh(self) -> list[Entry]:
        """Return the entries that the last reading has found, in the order in which they were written."""
        return sorted((entry for state in self._lanes for entry in state.fresh), key=attrgetter("sequence"))

    def gone(self) -> list[int]:
        """Return the sequence numbers of the entries that the last reading has not found any more."""
        return [sequence for state in self._lanes for sequence in state.gone]

    def entries(self) -> list[Entry]:
        """Return the entries of the file in the order in which they were written."""
        found = [entry for state in self._lanes for _, entry in state.entries]
        found.sort(key=attrgetter("sequence"))
        return found


def _read_all(descriptor: int, state: _LaneState) -> None:
    lane = state.lane
    found = list(located_entries(os.pread(descriptor, lane.end - lane.start, lane.start)))
    found.sort(key=lambda one: one[2].sequence)
    known = {entry.sequence for _, entry in state.entries}
    state.gone += known - {entry.sequence for _, _, entry in found}
    state.fresh += [entry for _, _, entry in found if entry.sequence not in known]
    state.entries = deque((lane.start + at, entry) for at, _, entry in found)
    state.end, state.last = lane.start, 0
    if found:
        _, end, newest = found[-1]
        state.end, state.last = lane.start + end, newest.sequence


def _read_round(descriptor: int, state: _LaneState) -> bool:
    """Read to the end of the lane and on from its start; return False if the writer may have come round once more."""
    before = state.end
    _read_on(descriptor, state)
    # What was behind the last entry of the round is erased.
    while state.entries and state.entries[0][0] >= state.end:
        state.remove_oldest()
    state.end = state.lane.start
    _read_on(descriptor, state)
    if not state.entries:
        return False
    position, oldest = state.entries[0]
    if not state.end <= position < before:
        return False
    place = place_of(os.pread(descriptor, ENTRY_HEAD, position), 0)
    return place is not None and place.sequence == oldest.sequence


def _read_on(descriptor: int, state: _LaneState) -> None:
    size = _CHUNK
    while state.end < state.lane.end:
        start = state.end
        data = os.pread(descriptor, min(size, state.lane.end - start), start)
        at = 0
        while (place := place_of(data, at)) is not None and place.sequence > state.last:
            entry = entry_at(data, at)
            if entry is None:
                break
            state.add(start + at, entry, place.end - at)
            at = place.end
        if place is None or place.sequence <= state.last:
            return
        if at == 0:
            if place.end <= len(data) or size > _CHUNK:
                return  # It is being written.
            size = state.lane.end - state.lane.start


__all__ = ["RingReader"]
