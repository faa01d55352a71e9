"""The numbers of a ledger, each with the methods of prometheus_client's values."""

from __future__ import annotations

import threading
import time
from math import isnan, nan
from typing import Any, Protocol


class Numbers(Protocol):
    """An array of doubles."""

    def __getitem__(self, at: int, /) -> float: ...
    def __setitem__(self, at: int, value: float, /) -> None: ...


class NumberStore(Protocol):
    """
    The part of a ledger that a value uses.

    Attributes:
        lock: held while numbers are read or written.
        numbers: replaced after a fork; read the attribute for each access.
    """

    lock: threading.RLock
    numbers: Numbers


class Value:
    """
    A number of a ledger, with the methods of prometheus_client's values.

    Attributes:
        ledger: the ledger that has the number.
        at: the index of the number in the ledger.
    """

    __slots__ = ("_exemplar", "at", "ledger")

    def __init__(self, ledger: NumberStore, at: int) -> None:
        self.ledger = ledger
        self.at = at
        self._exemplar: Any = None

    @property
    def _value(self) -> float:
        return self.get()

    def add(self, amount: float) -> None:
        """Add; the caller holds the lock."""
        self.ledger.numbers[self.at] += amount

    def inc(self, amount: float) -> None:
        ledger = self.ledger
        with ledger.lock:
            ledger.numbers[self.at] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        ledger = self.ledger
        with ledger.lock:
            ledger.numbers[self.at] = value

    def get(self) -> float:
        ledger = self.ledger
        with ledger.lock:
            return ledger.numbers[self.at]

    def set_exemplar(self, exemplar: Any) -> None:
        self._exemplar = exemplar

    def get_exemplar(self) -> Any:
        return self._exemplar


class GaugeValue(Value):
    """The value of a gauge that is summed over workers. NaN means that the label set was removed."""

    __slots__ = ()

    def withdraw(self) -> None:
        """Stop exposing the value."""
        self.set(nan)

    def begin(self) -> None:
        """Start at 0 again if the value was withdrawn."""
        ledger = self.ledger
        with ledger.lock:
            if isnan(ledger.numbers[self.at]):
                ledger.numbers[self.at + 1] = 0.0
                ledger.numbers[self.at] = 0.0


class DatedGaugeValue(GaugeValue):
    """The value of a gauge of another mode. The next number is the Unix time of its last change, 0 before the first."""

    __slots__ = ()

    def inc(self, amount: float) -> None:
        ledger = self.ledger
        with ledger.lock:
            ledger.numbers[self.at] += amount
            ledger.numbers[self.at + 1] = time.time()

    def set(self, value: float, timestamp: float | None = None) -> None:
        ledger = self.ledger
        with ledger.lock:
            # In this order: a reader in between sees a new value with an old time, never an old value with a new one.
            ledger.numbers[self.at] = value
            ledger.numbers[self.at + 1] = time.time()


__all__ = ["DatedGaugeValue", "GaugeValue", "NumberStore", "Numbers", "Value"]
