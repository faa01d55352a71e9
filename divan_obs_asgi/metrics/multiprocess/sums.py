"""What several workers' numbers make together: sums without a trace of their order, and one value of a gauge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum, isfinite, isnan


def total(numbers: Sequence[float]) -> float:
    """Return the sum, rounded once: the order in which workers come and go does not show in it."""
    try:
        return fsum(numbers)
    except (OverflowError, ValueError):  # It is infinite, or there are both infinities in it.
        return sum(numbers)


def exact(numbers: Iterable[float]) -> list[float]:
    """
    Return numbers whose sum is that of the given ones exactly, though no double can be.

    So it does not show when dead workers are folded: one rounding more, and a counter could go back by the last of its
    bits, which Prometheus takes for a restart. (J. R. Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1996.)
    """
    partials: list[float] = []
    for given in numbers:
        number = given
        kept = 0
        for partial in partials:
            larger, smaller = (number, partial) if abs(number) >= abs(partial) else (partial, number)
            number = larger + smaller
            rest = smaller - (number - larger)
            if rest:
                partials[kept] = rest
                kept += 1
        partials[kept:] = [number]
    return partials if all(map(isfinite, partials)) else [sum(numbers)]


def gauge_of(mode: str, parts: Sequence[Sequence[float]]) -> float | None:
    """Return what one gauge tells of several workers'; None where none has set it."""
    kind = mode.removeprefix("live")
    if kind == "sum":
        # One that was never set counts as 0: it is incremented.
        numbers = [value for value, _ in parts if not isnan(value)]
        return total(numbers) if numbers else None
    told = [(at, value) for value, at in parts if at]
    if kind == "mostrecent":
        _, value = max(told, default=(0.0, float("nan")))
        return None if isnan(value) else value
    values = [value for _, value in told if not isnan(value)]
    return (min if kind == "min" else max)(values, default=None)


__all__ = ["exact", "gauge_of", "total"]
