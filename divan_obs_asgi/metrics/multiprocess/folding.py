"""What is kept of dead workers."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from divan_obs_asgi.metrics.cardinality_limit import OVERFLOW
from divan_obs_asgi.metrics.multiprocess.file_format import Described
from divan_obs_asgi.metrics.multiprocess.merging import Merge, MergedChild
from divan_obs_asgi.metrics.multiprocess.sums import exact, gauge_of


def folded(merge: Merge, max_series: int) -> Iterator[tuple[Described, tuple[str, ...], list[float]]]:
    """
    Yield what is to be kept of dead workers: family, label set and numbers, as many times as it takes to be exact.

    Of a family at most `max_series` label sets are kept; what is over is told as `__overflow__`, of a gauge not at all.
    """
    for family in merge.families.values():
        kept = family.all()[: max_series - 1]
        over = family.all()[max_series - 1 :]
        described = family.described
        if described.family.kind == "gauge":
            for child in kept:
                yield from _kept_gauge(described, child)
            continue
        for child in kept:
            yield described, child.labels, _exactly(child.parts)
        if over:
            labels = (OVERFLOW,) * len(described.family.labels)
            yield described, labels, _exactly([part for child in over for part in child.parts])


def _kept_gauge(described: Described, child: MergedChild) -> Iterator[tuple[Described, tuple[str, ...], list[float]]]:
    value = gauge_of(described.family.mode, child.parts)
    if value is not None:
        yield described, child.labels, [value, max(at for _, at in child.parts)]


def _exactly(parts: Sequence[array[float]]) -> list[float]:
    *columns, created = zip(*parts, strict=True)
    sums = [exact(column) for column in columns]
    since = min(filter(None, created), default=0.0)
    numbers: list[float] = []
    for at in range(max(map(len, sums))):
        numbers += [partials[at] if at < len(partials) else 0.0 for partials in sums]
        numbers.append(0.0 if at else since)
    return numbers


__all__ = ["folded"]
