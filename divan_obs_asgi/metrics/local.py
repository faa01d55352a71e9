"""The numbers of a process that is the only worker of its service."""

from __future__ import annotations

from threading import Lock
from typing import Any

from prometheus_client.samples import Exemplar


class TraceExemplar(Exemplar):
    """An exemplar that caches its text for the page."""

    text: str | None = None


class LocalValue:
    """
    A number with the methods of prometheus_client's values.

    The values of one label set share a lock and have no `__dict__`: this halves the memory, and what a scrape reads.
    """

    __slots__ = ("_exemplar", "_lock", "_value")

    def __init__(self, lock: Lock) -> None:
        self._value = 0.0
        self._exemplar: Any = None
        self._lock = lock

    def add(self, amount: float) -> None:
        """Add without the lock: only the thread of the event loop may call this (`FastBuckets`)."""
        self._value += amount

    def inc(self, amount: float) -> None:
        with self._lock:
            self._value += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        with self._lock:
            self._value = value

    def get(self) -> float:
        return self._value

    def set_exemplar(self, exemplar: Any) -> None:
        self._exemplar = exemplar

    def get_exemplar(self) -> Any:
        exemplar = self._exemplar
        if type(exemplar) is tuple:  # `FastBuckets` stores a tuple.
            amount, trace_id, at_s = exemplar
            exemplar = TraceExemplar({"trace_id": trace_id}, amount, at_s)
            self._exemplar = exemplar
        return exemplar


def local_values(count: int) -> list[LocalValue]:
    """Return the numbers of a label set."""
    lock = Lock()
    return [LocalValue(lock) for _ in range(count)]


__all__ = ["LocalValue", "TraceExemplar", "local_values"]
