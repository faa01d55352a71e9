"""Measures the sizes of rooms, without their names: a large room makes an emit expensive. For debugging, by flag."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Any

from anyio.lowlevel import checkpoint

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.socketio_ext.names import Names

# The upper limits of the classes; larger rooms are "more".
_EDGES = (1, 10, 100, 1000, 10000)
CLASSES = (*map(str, _EDGES), "more")
# Rooms measured before the event loop gets its turn: each client has a room of its own.
_AT_A_TIME = 1000


class Rooms:
    """Feeds `divan_socketio_rooms{namespace,members}` and `divan_socketio_largest_room{namespace}`."""

    def __init__(self, metrics: Metrics, names: Names) -> None:
        self._rooms = metrics.socketio_rooms
        self._largest = metrics.socketio_largest_room
        self._names = names
        self._labels: set[str] = set()

    async def measure(self, manager: Any) -> None:
        """Measure every room that the application has made."""
        found: Counter[tuple[str, str]] = Counter()
        largest: dict[str, int] = dict.fromkeys(self._labels, 0)
        for namespace in list(manager.get_namespaces()):
            label = self._names.namespace(namespace)
            largest.setdefault(label, 0)
            rooms = manager.rooms.get(namespace, {})
            for number, room in enumerate(list(rooms), 1):
                members = size_of(rooms, room)
                if members:
                    found[label, CLASSES[bisect_left(_EDGES, members)]] += 1
                    largest[label] = max(largest[label], members)
                if number % _AT_A_TIME == 0:
                    await checkpoint()
        for label, most in largest.items():
            self._largest.labels(label).set(most)
            for members_class in CLASSES:
                self._rooms.labels(label, members_class).set(found[label, members_class])
        self._labels = set(largest)


def size_of(rooms: Any, room: Any) -> int:
    """Return the clients in a room; 0 for the room of all, for a client's own room, and for one that is gone."""
    if room is None or room in rooms.get(None, ()):
        return 0
    return len(rooms.get(room, ()))


__all__ = ["CLASSES", "Rooms"]
