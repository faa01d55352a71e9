"""The numbers of a ledger one by one, as prometheus_client's metrics hold theirs."""

from __future__ import annotations

import threading
import time
from math import isnan, nan
from typing import Any, Protocol


class Numbers(Protocol):
    """Doubles, one beside the other."""

    def __getitem__(self, at: int, /) -> float: ...
    def __setitem__(self, at: int, value: float, /) -> None: ...


class Holder(Protocol):
    """
    What has the numbers, a ledger.

    Attributes:
        lock: to be held by who reads or writes them.
        numbers: others after a fork: to be asked for each time.
    """

    lock: threading.RLock
    numbers: Numbers


class Value:
    """
    A number of a ledger, with the methods of prometheus_client's values.

    Attributes:
        at: its place among the ledger's numbers.
    """

    __slots__ = ("_exemplar", "_ledger", "at")

    def __init__(self, ledger: Holder, at: int) -> None:
        self._ledger = ledger
        self.at = at
        self._exemplar: Any = None

    @property
    def _value(self) -> float:
        return self.get()

    def inc(self, amount: float) -> None:
        ledger = self._ledger
        with ledger.lock:
            ledger.numbers[self.at] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        ledger = self._ledger
        with ledger.lock:
            ledger.numbers[self.at] = value

    def get(self) -> float:
        ledger = self._ledger
        with ledger.lock:
            return ledger.numbers[self.at]

    def set_exemplar(self, exemplar: Any) -> None:
        self._exemplar = exemplar

    def get_exemplar(self) -> Any:
        return self._exemplar


class GaugeValue(Value):
    """The number of a gauge whose workers are summed; not a number where it was taken back."""

    __slots__ = ()

    def withdraw(self) -> None:
        """Have it be told no longer."""
        self.set(nan)

    def begin(self) -> None:
        """Be a number again, where it was withdrawn."""
        ledger = self._ledger
        with ledger.lock:
            if isnan(ledger.numbers[self.at]):
                ledger.numbers[self.at + 1] = 0.0
                ledger.numbers[self.at] = 0.0


class DatedGaugeValue(GaugeValue):
    """The number of another gauge; beside it stands when it was set, 0 for never."""

    __slots__ = ()

    def inc(self, amount: float) -> None:
        ledger = self._ledger
        with ledger.lock:
            ledger.numbers[self.at] += amount
            ledger.numbers[self.at + 1] = time.time()

    def set(self, value: float, timestamp: float | None = None) -> None:
        ledger = self._ledger
        with ledger.lock:
            # In this order: who reads in between takes it for older than it is, not an older one for this.
            ledger.numbers[self.at] = value
            ledger.numbers[self.at + 1] = time.time()


__all__ = ["DatedGaugeValue", "GaugeValue", "Holder", "Numbers", "Value"]
