"""prometheus_client's four kinds of metric, whose label sets and exemplars go through a `CardinalityLimit`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Sample

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.metrics.cardinality_limit import OVERFLOW, CardinalityLimit, text_of
from divan_obs_asgi.metrics.family import Family, Metric
from divan_obs_asgi.metrics.local import Shown, local_values
from divan_obs_asgi.metrics.multiprocess.file_format import Described
from divan_obs_asgi.metrics.multiprocess.values import GaugeValue
from divan_obs_asgi.metrics.multiprocess.worker_file import Ledger

# Characters of a label set that are worth remembering.
_MAX_GIVEN = 1000


class LimitedMetric(MetricWrapperBase):
    """
    A metric with a bounded number of label sets.

    A label set is redacted, and checked against vocabularies and limit, when it is first asked for; after that its
    child is found by the values as they were given.

    Args:
        described: the family under its full name, with the namespace, and with `_total` of a counter.
        ledger: where several workers serve: what this one counts in.
    """

    family: Family[Metric]
    governor: CardinalityLimit
    # What the page says of a child's labels, kept by those who write it.
    label_text: str | None = None
    around_le: tuple[str, str] | None = None
    # Of a metric without labels: whether there is something to tell.
    is_told = True
    # Whether this is the child that stands for what is over the limit.
    is_overflow = False

    def __init__(self, *args: Any, described: Described, ledger: Ledger | None = None, **kwargs: Any) -> None:
        self.described = described
        self.family = described.family
        self._ledger = ledger
        super().__init__(*args, **kwargs)
        # prometheus_client makes the children of these.
        self._kwargs |= {"described": described, "ledger": ledger}

    def _values(self, count: int) -> list[Any]:
        """Return the numbers of this label set."""
        self._created = time.time()
        if self._ledger is not None:
            values = self._ledger.values(self.described, self._labelvalues, count)
        else:
            values = local_values(count)
        self._first = values[0]
        return values

    @property
    def is_shared(self) -> bool:
        """Whether several workers count this."""
        return self._ledger is not None

    @property
    def place(self) -> int | None:
        """Where the first number of this label set stands in the ledger; None of one that stands in none."""
        return getattr(self._first, "at", None)

    @property
    def full_name(self) -> str:
        """The name with the namespace, and with `_total` of a counter."""
        return self.described.full_name

    def govern(self, governor: CardinalityLimit) -> Self:
        """Have `governor` judge the label sets of this metric, which has none yet."""
        self.governor = governor
        # Children by the values as they were given, and the label sets as they are told.
        self._known: dict[tuple[str, ...], Any] = {}
        self._told: set[tuple[str, ...]] = set()
        self._overflown: Any = None
        # Whether some value is told differently from how it was given.
        self._rewrites = False
        self._admission = threading.Lock()
        # Called when label sets were forgotten: who keeps children looks them up again.
        self.when_forgotten: list[Callable[[], object]] = []
        return self

    @property
    def label_sets(self) -> int:
        """How many label sets there are; 1 of a metric without labels, 0 where there is nothing to tell of it."""
        return len(self._told) if self.family.labels else int(self.is_told)

    @property
    def series_each(self) -> int:
        """How many lines a label set has on the page, without `_created`."""
        if self.family.kind == "histogram":
            # Of negative observations there is no sum.
            return len(self.edges) + 1 + (self.edges[0] >= 0)
        return 2 if self.family.kind == "summary" else 1

    @property
    def edges(self) -> list[float]:
        """The upper edges of a histogram's buckets, infinity included."""
        edges: list[float] = self._upper_bounds  # type: ignore[attr-defined]
        return edges

    def children(self) -> list[Any]:
        """Return the child of every label set; of a metric without labels itself."""
        if not self.family.labels:
            return [self] if self.is_told else []
        with self._lock:
            return list(self._metrics.values())

    def labels(self, *values: Any, **by_name: Any) -> Any:
        """Return the child of a label set, or that of the overflow."""
        if by_name:
            if (
                values
                or len(by_name) != len(self.family.labels)
                or not all(map(by_name.__contains__, self.family.labels))
            ):
                return super().labels(*values, **by_name)  # Raises, and says why.
            values = tuple(by_name[name] for name in self.family.labels)
        try:
            given = tuple(map(str, values))
        except Exception:
            given = tuple(map(text_of, values))
        child = self._known.get(given)
        return child if child is not None else self._admit(given)

    def labels_of_a_tally(self, *given: str) -> Any:
        """Return the child as `labels` does, for who calls `count_overflow` where it is that of the overflow."""
        child = self._known.get(given)
        return child if child is not None else self._admit(given, times=0)

    def count_overflow(self, times: int) -> None:
        """Count that this child stood for something else so many times."""
        self.governor.count_overflow(self.family, "limit", times)

    def _admit(self, given: tuple[str, ...], times: int = 1) -> Any:
        names = self.family.labels
        if len(given) != len(names) or not names:
            return super().labels(*given)  # Raises, and says why.
        if self._full() and not self._rewrites:
            # Redaction would make none of the known ones of it: a million strangers cost next to nothing.
            return self._overflow(given, times)
        listed = tuple(map(self._listed, names, given))
        told = tuple(map(self.governor.told, names, listed))
        with self._admission:
            self._rewrites = self._rewrites or told != given
            if told in self._told or not self._full():
                child = self._child(told)
                if (
                    listed == given
                    and len(self._known) < self.governor.max_series
                    and sum(map(len, given)) < _MAX_GIVEN
                ):
                    self._known[given] = child
            else:
                child = None
        if child is None:
            return self._overflow(given, times)
        if listed != given:
            self.governor.report(self.family, "vocabulary", given)
        return child

    def _full(self) -> bool:
        return len(self._told) >= self.governor.max_series - 1  # The last one is the overflow's.

    def _overflow(self, given: tuple[str, ...], times: int) -> Any:
        self.governor.report(self.family, "limit", given, times)
        if self._overflown is None:
            with self._admission:
                overflown = self._child((OVERFLOW,) * len(given))
                overflown.is_overflow = True
                self._overflown = overflown
        return self._overflown

    def _child(self, told: tuple[str, ...]) -> Any:
        child = super().labels(*told)
        child.governor = self.governor
        self._told.add(told)
        return child

    def _listed(self, name: str, value: str) -> str:
        vocabulary = self.governor.vocabulary(name, self.family)
        return value if vocabulary is None or value in vocabulary else OVERFLOW

    def remove(self, *values: Any) -> None:
        """Forget a label set, given as it was to `labels`."""
        told = tuple(map(self.governor.told, self.family.labels, map(text_of, values)))
        self._drop(lambda key: key == told)

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Forget the label sets that have these values."""
        told = {name: self.governor.told(name, text_of(value)) for name, value in labels.items()}
        asked = {self.family.labels.index(name): value for name, value in told.items()}
        self._drop(lambda key: bool(asked) and all(key[at] == value for at, value in asked.items()))

    def clear(self) -> None:
        """Forget all label sets."""
        self._drop(lambda key: True)

    def _drop(self, unwanted: Callable[[tuple[str, ...]], bool]) -> None:
        if not self.family.labels:
            return
        with self._lock:
            dropped = {key: child for key, child in self._metrics.items() if unwanted(tuple(key))}
            for key in dropped:
                del self._metrics[key]
        with self._admission:
            self._told.difference_update(map(tuple, dropped))
            self._forget()
        for child in dropped.values():
            cast(LimitedMetric, child).withdraw()
        for call in tuple(self.when_forgotten):
            call()

    def withdraw(self) -> None:
        """Tell no longer of this child; what several workers have counted stays."""

    def forget_judgements(self) -> None:
        """Have every label set judged anew when it is next asked for."""
        with self._admission:
            self._forget()

    def _forget(self) -> None:
        self._known.clear()
        self._overflown = None


class LimitedCounter(LimitedMetric, Counter):
    """A counter; exemplars are redacted, and left out where they are too long."""

    def _metric_init(self) -> None:
        (self._value,) = self._values(1)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        super().inc(amount, exemplar and self.governor.exemplar(exemplar))


class LimitedGauge(LimitedMetric, Gauge):
    """A gauge."""

    has_function = False

    def _metric_init(self) -> None:
        (self._value,) = self._values(1)
        self.is_told = not self.family.absent

    def set(self, value: float) -> None:
        super().set(value)
        self.is_told = True

    def _child_samples(self) -> Iterable[Sample]:
        return super()._child_samples() if self.is_told else ()

    def withdraw(self) -> None:
        if isinstance(self._value, GaugeValue):
            self._value.withdraw()
            (self._value,) = local_values(1)

    def set_function(self, f: Callable[[], float]) -> None:
        if self._ledger is not None:
            raise ImproperlyConfigured(
                f"{self.full_name} is told by all workers, and none can call the function of another: "
                "set it from a task, not by set_function, or unset PROMETHEUS_MULTIPROC_DIR."
            )
        super().set_function(f)
        self.has_function = True


class LimitedHistogram(LimitedMetric, Histogram):
    """A histogram; exemplars are redacted, and left out where they are too long."""

    def _metric_init(self) -> None:
        self._sum, *self._buckets = self._values(1 + len(self._upper_bounds))

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        super().observe(amount, exemplar and self.governor.exemplar(exemplar))

    def put(self, bucket: int, amount: float) -> None:
        """Add an observation whose bucket is known."""
        self._buckets[bucket].inc(1)
        self._sum.inc(amount)

    def show(self, bucket: int, amount: float, trace_id: str, at_s: float) -> None:
        """Have a bucket's exemplar be a trace."""
        self._buckets[bucket].set_exemplar(Shown({"trace_id": trace_id}, amount, at_s))


class LimitedSummary(LimitedMetric, Summary):
    """A summary."""

    def _metric_init(self) -> None:
        self._count, self._sum = self._values(2)


def governed(
    family: Family[Metric],
    namespace: str,
    registry: CollectorRegistry,
    governor: CardinalityLimit,
    ledger: Ledger | None = None,
) -> Metric:
    """
    Make the metric of a family, in `registry`.

    Args:
        ledger: where several workers serve: what this one counts in.

    Raises:
        ValueError: where prometheus_client refuses a name, a label or a bucket, or a series of that name exists.
    """
    name = f"{namespace}_{family.name}"
    given: dict[str, Any] = {"registry": registry, "described": Described(name, family), "ledger": ledger}
    metric: LimitedMetric
    match family.kind:
        case "counter":
            metric = LimitedCounter(name, family.help, family.labels, **given)
        case "gauge":
            metric = LimitedGauge(name, family.help, family.labels, **given, multiprocess_mode=family.mode)
        case "histogram":
            metric = LimitedHistogram(name, family.help, family.labels, **given, buckets=family.buckets)
        case "summary":
            metric = LimitedSummary(name, family.help, family.labels, **given)
    return cast(Metric, metric.govern(governor))


__all__ = ["LimitedCounter", "LimitedGauge", "LimitedHistogram", "LimitedMetric", "LimitedSummary", "governed"]
