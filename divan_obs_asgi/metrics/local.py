"""The numbers of a process that counts for itself."""

from __future__ import annotations

from threading import Lock
from typing import Any

from prometheus_client.samples import Exemplar


class Shown(Exemplar):
    """An exemplar that keeps what the page says of it, once it was written."""

    text: str | None = None


class LocalValue:
    """
    A number, with the methods of prometheus_client's values.

    Those of one label set have one lock, and no `__dict__`: half of the memory, and of what a scrape has to look at.
    """

    __slots__ = ("_exemplar", "_lock", "_value")

    def __init__(self, lock: Lock) -> None:
        self._value = 0.0
        self._exemplar: Any = None
        self._lock = lock

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
        if type(exemplar) is tuple:  # As `FastBuckets` leaves it.
            amount, trace_id, at_s = exemplar
            exemplar = Shown({"trace_id": trace_id}, amount, at_s)
            self._exemplar = exemplar
        return exemplar


def local_values(count: int) -> list[LocalValue]:
    """Return the numbers of a label set."""
    lock = Lock()
    return [LocalValue(lock) for _ in range(count)]


__all__ = ["LocalValue", "Shown", "local_values"]
