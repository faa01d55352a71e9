"""The four kinds of prometheus_client's metrics; a `CardinalityLimit` checks their label sets and exemplars."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Exemplar, Sample

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.metrics.cardinality_limit import OVERFLOW, CardinalityLimit, text_of
from divan_obs_asgi.metrics.exponential import exponential_of, folded
from divan_obs_asgi.metrics.family import Family, Metric
from divan_obs_asgi.metrics.local import local_values
from divan_obs_asgi.metrics.multiprocess.file_format import Described
from divan_obs_asgi.metrics.multiprocess.values import GaugeValue, Value
from divan_obs_asgi.metrics.multiprocess.worker_file import Ledger

# Longer label sets are not cached.
_MAX_CACHED_LENGTH = 1000


class LimitedMetric(MetricWrapperBase):
    """
    A metric with a bounded number of label sets.

    The first request for a label set redacts it and checks it against the vocabularies and the limit. Later requests
    find the child in a cache, by the values as the caller gave them.

    Args:
        described: the family under its full name, with the namespace, and with `_total` of a counter.
        ledger: of this worker; None if the service has one worker.
    """

    family: Family[Metric]
    limit: CardinalityLimit
    # Caches of the page: the text of a child's labels.
    label_text: str | None = None
    around_le: tuple[str, str] | None = None
    # Whether a metric without labels is on the page.
    is_exposed = True
    # Whether the numbers are in the ledger of a worker.
    is_in_ledger = False
    # Whether this child counts everything over the limit.
    is_overflow = False

    def __init__(self, *args: Any, described: Described, ledger: Ledger | None = None, **kwargs: Any) -> None:
        self.described = described
        self.family = described.family
        self._ledger = ledger
        super().__init__(*args, **kwargs)
        # prometheus_client creates the children with these arguments.
        self._kwargs |= {"described": described, "ledger": ledger}

    def _values(self, count: int) -> list[Any]:
        """Return the numbers of this label set."""
        self._created = time.time()
        if self._ledger is not None:
            values = self._ledger.values(self.described, self._labelvalues, count)
        else:
            values = local_values(count)
        self.is_in_ledger = isinstance(values[0], Value)
        return values

    @property
    def is_shared(self) -> bool:
        """Whether several workers count this metric."""
        return self._ledger is not None

    @property
    def full_name(self) -> str:
        """The name with the namespace, and with `_total` of a counter."""
        return self.described.full_name

    def limited_by(self, limit: CardinalityLimit) -> Self:
        """Have `limit` check the label sets of this metric, which has none yet."""
        self.limit = limit
        # The cache: children by the values as the caller gave them.
        self._cache: dict[tuple[str, ...], Any] = {}
        # The label sets on the page.
        self._admitted: set[tuple[str, ...]] = set()
        self._overflow_child: Any = None
        # Whether redaction or a vocabulary has changed a value.
        self._has_changed_values = False
        self._admission_lock = threading.Lock()
        # Called after label sets were removed: callers that keep children look them up again.
        self.on_removal: list[Callable[[], object]] = []
        return self

    @property
    def label_sets(self) -> int:
        """The number of label sets. A metric without labels has 1, or 0 if it is not on the page."""
        return len(self._admitted) if self.family.labels else int(self.is_exposed)

    @property
    def series_each(self) -> int:
        """The number of lines of a label set on the page, without `_created`."""
        if self.family.kind == "histogram":
            # A histogram of negative observations has no sum.
            return len(self.edges) + 1 + (self.edges[0] >= 0)
        return 2 if self.family.kind == "summary" else 1

    @property
    def edges(self) -> list[float]:
        """The upper edges of a histogram's buckets, including infinity."""
        edges: list[float] = self._upper_bounds  # type: ignore[attr-defined]
        return edges

    def children(self) -> list[Any]:
        """Return the child of every label set; a metric without labels returns itself."""
        if not self.family.labels:
            return [self] if self.is_exposed else []
        with self._lock:
            return list(self._metrics.values())

    def labels(self, *values: Any, **by_name: Any) -> Any:
        """Return the child of a label set, or the overflow child."""
        if by_name:
            if (
                values
                or len(by_name) != len(self.family.labels)
                or not all(map(by_name.__contains__, self.family.labels))
            ):
                return super().labels(*values, **by_name)  # Raises an error that gives the reason.
            values = tuple(by_name[name] for name in self.family.labels)
        try:
            given = tuple(map(str, values))
        except Exception:
            given = tuple(map(text_of, values))
        child = self._cache.get(given)
        return child if child is not None else self._admit(given)

    def labels_without_count(self, *given: str) -> Any:
        """Return the same child as `labels`. The caller calls `count_overflow` for each event of an overflow child."""
        child = self._cache.get(given)
        return child if child is not None else self._admit(given, times=0)

    def count_overflow(self, times: int) -> None:
        """Count that this overflow child was used in place of another label set."""
        self.limit.count_overflow(self.family, "limit", times)

    def _admit(self, given: tuple[str, ...], times: int = 1) -> Any:
        names = self.family.labels
        if len(given) != len(names) or not names:
            return super().labels(*given)  # Raises an error that gives the reason.
        if self._is_full() and not self._has_changed_values:
            # Redaction cannot turn it into a known label set: a million invented values cost next to nothing.
            return self._overflow(given, times)
        checked = tuple(map(self._checked, names, given))
        redacted = tuple(map(self.limit.redacted, names, checked))
        with self._admission_lock:
            self._has_changed_values = self._has_changed_values or redacted != given
            if redacted in self._admitted or not self._is_full():
                child = self._child(redacted)
                if (
                    checked == given
                    and len(self._cache) < self.limit.max_series
                    and sum(map(len, given)) < _MAX_CACHED_LENGTH
                ):
                    self._cache[given] = child
            else:
                child = None
        if child is None:
            return self._overflow(given, times)
        if checked != given:
            self.limit.report(self.family, "vocabulary", given)
        return child

    def _is_full(self) -> bool:
        return len(self._admitted) >= self.limit.max_series - 1  # The last label set is the overflow.

    def _overflow(self, given: tuple[str, ...], times: int) -> Any:
        self.limit.report(self.family, "limit", given, times)
        if self._overflow_child is None:
            with self._admission_lock:
                child = self._child((OVERFLOW,) * len(given))
                child.is_overflow = True
                self._overflow_child = child
        return self._overflow_child

    def _child(self, values: tuple[str, ...]) -> Any:
        child = super().labels(*values)
        child.limit = self.limit
        self._admitted.add(values)
        return child

    def _checked(self, name: str, value: str) -> str:
        """Return a value, or `__overflow__` if it is not in the vocabulary of its label."""
        vocabulary = self.limit.vocabulary(name, self.family)
        return value if vocabulary is None or value in vocabulary else OVERFLOW

    def remove(self, *values: Any) -> None:
        """Remove a label set. The values are those that were given to `labels`."""
        unwanted = tuple(map(self.limit.redacted, self.family.labels, map(text_of, values)))
        self._remove(lambda key: key == unwanted)

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Remove the label sets that have these values."""
        redacted = {name: self.limit.redacted(name, text_of(value)) for name, value in labels.items()}
        by_index = {self.family.labels.index(name): value for name, value in redacted.items()}
        self._remove(lambda key: bool(by_index) and all(key[at] == value for at, value in by_index.items()))

    def clear(self) -> None:
        """Remove all label sets."""
        self._remove(lambda key: True)

    def _remove(self, is_unwanted: Callable[[tuple[str, ...]], bool]) -> None:
        if not self.family.labels:
            return
        with self._lock:
            removed = {key: child for key, child in self._metrics.items() if is_unwanted(tuple(key))}
            for key in removed:
                del self._metrics[key]
        with self._admission_lock:
            self._admitted.difference_update(map(tuple, removed))
            self._clear_cache()
        for child in removed.values():
            cast(LimitedMetric, child).withdraw()
        for call in tuple(self.on_removal):
            call()

    def withdraw(self) -> None:
        """Stop exposing this child. What several workers have counted stays."""

    def recheck_label_sets(self) -> None:
        """Check every label set again when it is next requested."""
        with self._admission_lock:
            self._clear_cache()

    def _clear_cache(self) -> None:
        self._cache.clear()
        self._overflow_child = None


class LimitedCounter(LimitedMetric, Counter):
    """A counter. Exemplars are redacted; those that are too long are dropped."""

    def _metric_init(self) -> None:
        (self._value,) = self._values(1)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        super().inc(amount, exemplar and self.limit.exemplar(exemplar))


class LimitedGauge(LimitedMetric, Gauge):
    """A gauge."""

    has_function = False

    def _metric_init(self) -> None:
        (self._value,) = self._values(1)
        self.is_exposed = not self.family.absent

    def set(self, value: float) -> None:
        super().set(value)
        self.is_exposed = True

    def _child_samples(self) -> Iterable[Sample]:
        return super()._child_samples() if self.is_exposed else ()

    def withdraw(self) -> None:
        if isinstance(self._value, GaugeValue):
            self._value.withdraw()
            (self._value,) = local_values(1)

    def set_function(self, f: Callable[[], float]) -> None:
        if self._ledger is not None:
            raise ImproperlyConfigured(
                f"{self.full_name} is shared by all workers, and a worker cannot call a function of another one: "
                "set the gauge from a task instead of set_function, or unset PROMETHEUS_MULTIPROC_DIR."
            )
        super().set_function(f)
        self.has_function = True


class LimitedHistogram(LimitedMetric, Histogram):
    """A histogram. Exemplars are redacted; those that are too long are dropped."""

    def _metric_init(self) -> None:
        self._sum, *self.cells = self._values(1 + len(self.cell_edges))
        self._buckets = self.cells

    @property
    def cell_edges(self) -> Sequence[float]:
        """The upper edges of the numbers that observations change."""
        return self.edges

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        super().observe(amount, exemplar and self.limit.exemplar(exemplar))


class LimitedExponentialHistogram(LimitedHistogram):
    """A histogram with exponential buckets beside those of /metrics."""

    def _metric_init(self) -> None:
        super()._metric_init()
        assert self.described.exponential is not None
        self._buckets = folded(self.cells, self.described.edges, self.described.exponential)

    @property
    def cell_edges(self) -> Sequence[float]:
        return self.described.cell_edges

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]
        checked = exemplar and self.limit.exemplar(exemplar)
        self._sum.inc(amount)
        cell = self.cells[bisect_left(self.cell_edges, amount)]
        cell.inc(1)
        if checked:
            cell.set_exemplar(Exemplar(checked, amount, time.time()))


class LimitedSummary(LimitedMetric, Summary):
    """A summary."""

    def _metric_init(self) -> None:
        self._count, self._sum = self._values(2)


def limited_metric(
    family: Family[Metric],
    namespace: str,
    registry: CollectorRegistry,
    limit: CardinalityLimit,
    ledger: Ledger | None = None,
    *,
    exponential: bool = False,
) -> Metric:
    """
    Create the metric of a family, in `registry`.

    Args:
        ledger: of this worker; None if the service has one worker.
        exponential: whether a histogram also has exponential buckets.

    Raises:
        ValueError: if prometheus_client rejects a name, a label or a bucket, or a series of that name exists.
    """
    name = f"{namespace}_{family.name}"
    buckets = exponential_of(family.buckets) if exponential and family.kind == "histogram" else None
    described = Described(name, family, buckets)
    given: dict[str, Any] = {"registry": registry, "described": described, "ledger": ledger}
    metric: LimitedMetric
    match family.kind:
        case "counter":
            metric = LimitedCounter(name, family.help, family.labels, **given)
        case "gauge":
            metric = LimitedGauge(name, family.help, family.labels, **given, multiprocess_mode=family.mode)
        case "histogram":
            kind = LimitedHistogram if buckets is None else LimitedExponentialHistogram
            metric = kind(name, family.help, family.labels, **given, buckets=family.buckets)
        case "summary":
            metric = LimitedSummary(name, family.help, family.labels, **given)
    return cast(Metric, metric.limited_by(limit))


__all__ = [
    "LimitedCounter",
    "LimitedExponentialHistogram",
    "LimitedGauge",
    "LimitedHistogram",
    "LimitedMetric",
    "LimitedSummary",
    "limited_metric",
]
