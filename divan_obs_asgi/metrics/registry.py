"""The metrics of one bundle: a Prometheus registry of its own, filled from the catalogue."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise, product
from math import inf, isfinite
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.registry import Collector, RestrictedRegistry

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.metrics import family as families
from divan_obs_asgi.metrics.cardinality import Cardinality, cardinality_of, foreign_cardinality_of
from divan_obs_asgi.metrics.cardinality_limit import MAX_SERIES, CardinalityLimit, Cause
from divan_obs_asgi.metrics.catalogue import DOMAIN, FAMILIES, Catalogue
from divan_obs_asgi.metrics.domain import Domain
from divan_obs_asgi.metrics.exposition.collector_timeouts import TIMEOUT_S, CollectorTimeouts
from divan_obs_asgi.metrics.exposition.scrapes import Scrapes
from divan_obs_asgi.metrics.exposition.text import Format, render
from divan_obs_asgi.metrics.family import Declared, Family, GaugeMode, M_co, Metric
from divan_obs_asgi.metrics.fast_counters import EXEMPLARS
from divan_obs_asgi.metrics.limited import LimitedMetric, limited_metric
from divan_obs_asgi.metrics.multiprocess.merging import MergedFamily
from divan_obs_asgi.metrics.multiprocess.workers import VARIABLE, Workers
from divan_obs_asgi.redaction import RedactionPolicy

NAMESPACE = "divan"

# Prometheus, "Metric names and labels". Every version of Prometheus, and every client, accepts these names.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


# prometheus_client's own metrics do not write to the ledgers of workers.
_UNSHARED = (Counter, Gauge, Histogram, Summary)


def _ignore(error: Exception) -> None: ...


@dataclass(frozen=True, slots=True)
class DependencyLatency:
    """The latency of a dependency: a summary, and a histogram for quantiles."""

    summary: Summary
    histogram: Histogram

    def observe(self, seconds: float) -> None:
        self.summary.observe(seconds)
        self.histogram.observe(seconds)


class Registry(CollectorRegistry):
    """
    A registry that lists its collectors in the order of their registration.

    Args:
        shared: whether the page includes several workers.

    Attributes:
        before: functions that are called before the metrics are read, in any thread but one at a time. Fast counters
            are flushed here.
        failed: called if one of these functions raises. The others are called anyway.
    """

    failed: Callable[[Exception], object]

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__(auto_describe=True)
        self._shared = shared
        self._in_order: dict[Collector, None] = {}
        self.before: list[Callable[[], object]] = []
        self.failed = _ignore
        self._calling = threading.Lock()
        # Held while metrics are created.
        self.adding = threading.RLock()
        self._later: deque[Callable[[], object]] = deque()
        self._reserved: frozenset[str] = frozenset()

    def register(self, collector: Collector) -> None:
        """
        Put a collector on the page.

        Raises:
            ImproperlyConfigured: if the page includes several workers, and the collector counts in one only.
        """
        if self._shared and isinstance(collector, _UNSHARED) and not isinstance(collector, LimitedMetric):
            raise ImproperlyConfigured(
                f"{collector} counts in one worker only, and with {VARIABLE} the page includes all workers: "
                "create it with observability.metrics.counter, gauge, histogram or summary."
            )
        if self._later and self._may_clash(collector):
            self.complete()
        super().register(collector)
        self._in_order[collector] = None

    def _may_clash(self, collector: Collector) -> bool:
        """Return whether a collector that is created later may use a name of this one."""
        if not isinstance(collector, LimitedMetric):
            return True
        family = collector.family
        if isinstance(family, Declared) and family.attribute:
            return False
        return not self._reserved.isdisjoint(_series_names_of(collector.full_name))

    def later(self, make: Callable[[], object], names: Iterable[str] = ()) -> None:
        """
        Call `make` when the registry is first read. It registers collectors.

        A bundle has seventy collectors, and most bundles are created by tests that read none of them. With several
        workers `make` is called at once: the other workers read the ledger of this one, and cannot call it.

        Args:
            names: reserved until then.
        """
        self._later.append(make)
        self._reserved |= frozenset(names)
        if self._shared:
            self.complete()

    @property
    def is_incomplete(self) -> bool:
        """Whether collectors are still to be created."""
        return bool(self._later)

    def complete(self) -> None:
        """Create the collectors that were postponed by `later`."""
        if not self._later:
            return
        with self.adding:
            while self._later:
                make = self._later.popleft()
                try:
                    make()
                except Exception as error:
                    self.failed(error)

    def put_first(self, collectors: Iterable[Collector]) -> None:
        """Move these collectors to the top of the page; those that are not registered are ignored."""
        with self._lock:
            names = self._collector_to_names
            in_order = dict.fromkeys(one for one in (*collectors, *self._in_order) if one in names)
            self._collector_to_names = {one: names[one] for one in in_order}
            self._in_order = in_order

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        self.complete()
        return super().restricted_registry(names)

    def unregister(self, collector: Collector) -> None:
        super().unregister(collector)
        self._in_order.pop(collector, None)

    def collectors(self, only: Container[Collector] | None = None) -> tuple[Collector, ...]:
        """Return the registered collectors; only those in `only`, if that is given."""
        if only is None:
            self.complete()
        self.call_before()
        registered = tuple(self._in_order)
        return registered if only is None else tuple(one for one in registered if one in only)

    def foreign_metrics(self) -> list[MetricWrapperBase]:
        """Return the metrics that the application created with prometheus_client. Their label sets are not limited."""
        self.complete()
        metrics = [one for one in tuple(self._in_order) if isinstance(one, MetricWrapperBase)]
        return [metric for metric in metrics if not isinstance(metric, LimitedMetric)]

    def collect(self) -> Iterable[Samples]:
        self.complete()
        self.call_before()
        return super().collect()

    def call_before(self) -> None:
        """Call the functions that must run before the metrics are read."""
        failures = []
        with self._calling:
            for call in tuple(self.before):
                try:
                    call()
                except Exception as error:
                    failures.append(error)
        for failure in failures:
            self.failed(failure)


class Metrics(Catalogue):
    """
    The families of the catalogue, and those that the application adds.

    Label values and exemplars go through the redaction policy, and a family has at most `max_series` label sets. The
    registry is not prometheus_client's global one: a second bundle (tests, a reload) starts at zero and does not
    collide with the first. A family of the catalogue is created when it is first used, or with the first page.

    Args:
        created: whether the page has the series `_created`, which double its size.
        directory: in which all workers of the service keep their series; None for a single worker.
        timeout_s: how long a page waits for a collector of the application.
        exemplars: a value of OTEL_METRICS_EXEMPLAR_FILTER.
        exponential: whether histograms also have exponential buckets, for the export by OTLP.

    Attributes:
        exemplar_of: returns the exemplar of a finished record, or None.
        workers: None if this process is the only worker.
        scrapes: how the page was last scraped.

    Raises:
        ImproperlyConfigured: if the directory cannot be used.
    """

    def __init__(
        self,
        policy: RedactionPolicy | None = None,
        namespace: str = NAMESPACE,
        max_series: int = MAX_SERIES,
        *,
        created: bool = False,
        directory: Path | None = None,
        timeout_s: float = TIMEOUT_S,
        exemplars: str = "trace_based",
        exponential: bool = False,
    ) -> None:
        self.namespace = namespace
        self.exemplar_of = EXEMPLARS[exemplars]
        self._created = created
        self._exponential = exponential
        self.scrapes = Scrapes()
        self._timeouts = CollectorTimeouts(timeout_s)
        self.workers = None if directory is None else Workers(directory, namespace, max_series)
        self.registry = Registry(shared=self.workers is not None)
        self._metrics: dict[str, Metric] = {}
        self._families: dict[str, Family[Metric]] = {}
        self._overflows: dict[tuple[str, Cause], Counter] = {}
        counting = self.counting(policy or RedactionPolicy(), "metrics")
        self._limit = CardinalityLimit(counting, self._overflowed, max_series)
        self.registry.later(self._make_catalogue, _series_names(namespace))

    @cached_property
    def domain(self) -> Domain:
        """The events of a campus chat, one method each. The first use of this puts their families on the page."""
        with self.registry.adding:
            domain = Domain(self)
            if not self.registry.is_incomplete:
                self._put_first()
            return domain

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """
        Return the counter `<namespace>_<name>`, created by the first call; `name` ends in `_total`.

        Raises:
            ImproperlyConfigured: if the name is invalid, or a different metric has it.
        """
        return self.of(families.counter(name, _listed(labels), help, families.APPLICATION))

    def gauge(self, name: str, help: str, labels: Sequence[str] = (), mode: GaugeMode = "livesum") -> Gauge:
        """
        Return the gauge `<namespace>_<name>`, created by the first call.

        Args:
            mode: how the values of several workers are combined: their sum, the smallest, ...

        Raises:
            ImproperlyConfigured: if the name is invalid, or a different metric has it.
        """
        return self.of(families.gauge(name, _listed(labels), help, families.APPLICATION, mode))

    def histogram(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = families.DURATION_BUCKETS_S,
    ) -> Histogram:
        """
        Return the histogram `<namespace>_<name>`, created by the first call; `buckets` are upper edges.

        Raises:
            ImproperlyConfigured: if name or buckets are invalid, or a different metric has the name.
        """
        return self.of(families.histogram(name, _listed(labels), help, families.APPLICATION, buckets))

    def summary(self, name: str, help: str, labels: Sequence[str] = ()) -> Summary:
        """
        Return the summary `<namespace>_<name>`, created by the first call: count and sum, no quantiles.

        Raises:
            ImproperlyConfigured: if the name is invalid, or a different metric has it.
        """
        return self.of(families.summary(name, _listed(labels), help, families.APPLICATION))

    def of(self, family: Family[M_co]) -> M_co:
        """Return the metric of a family, created by the first call."""
        with self.registry.adding:
            known = self._families.get(family.name)
            if known is None:
                # The name belongs to the catalogue's family, even if that is not created yet.
                known = _CATALOGUE.get(family.name, family)
                self._make(known)
            if known is not family and not _same(known, family):
                raise ImproperlyConfigured(
                    f"The metric {family.name!r} is {_description(known)} already; requested: {_description(family)}."
                )
            return cast(M_co, self._metrics[family.name])

    @property
    def families(self) -> tuple[Family[Metric], ...]:
        """The families that have been created, including those of the application."""
        return tuple(self._families.values())

    def declare(self, label: str, values: Iterable[str]) -> None:
        """
        Declare the values of a label in the application's metrics; all others are counted as `__overflow__`.

        Raises:
            ImproperlyConfigured: if there are no values.
        """
        listed = _listed(values)
        if not listed:
            raise ImproperlyConfigured(f"The label {label!r} was declared without values.")
        self._limit.declare(label, listed)
        for metric in tuple(self._metrics.values()):
            cast(LimitedMetric, metric).recheck_label_sets()

    def start_at_zero(self, metric: Metric, **values: Iterable[str]) -> None:
        """
        Create the series of all combinations of `values`, at zero.

        If a series begins with its first event, `rate()` misses that event. This method creates at most half of the
        label sets that a family may have.

        Raises:
            ImproperlyConfigured: if these are not the labels of the metric.
        """
        own, values_of = cast(LimitedMetric, metric), {name: _listed(given) for name, given in values.items()}
        labels = own.family.labels
        if set(labels) != values_of.keys():
            raise ImproperlyConfigured(
                f"The metric {own.family.name!r} has the labels {', '.join(labels)}; "
                f"got values of {', '.join(values_of) or 'none'}."
            )
        if not labels:
            return
        for combination in product(*map(values_of.__getitem__, labels)):
            if own.label_sets >= self._limit.max_series // 2:
                return
            metric.labels(*combination)

    def forget(self, gauge: Gauge, *values: str) -> None:
        """Remove the series of a label set, until it is used again."""
        gauge.remove(*values)

    def counting(self, policy: RedactionPolicy, sink: str) -> RedactionPolicy:
        """Return a policy that counts what it redacts for `sink`."""
        children: dict[str, Counter] = {}

        def count(rule: str) -> None:
            child = children.get(rule)
            if child is None:
                child = children[rule] = self.redactions.labels(rule, sink)
            child.inc()

        return policy.having(count=count)

    def dependency(self, probe: str) -> tuple[Gauge, DependencyLatency] | None:
        """Return the `up` gauge and the latency of the probes `redis` and `postgres`, None for others."""
        if probe == "redis":
            return self.redis_up, DependencyLatency(self.redis_latency, self.redis_ping_duration)
        if probe == "postgres":
            return self.postgres_up, DependencyLatency(self.postgres_latency, self.postgres_ping_duration)
        return None

    @property
    def max_series(self) -> int:
        """The maximum number of label sets of a family."""
        return self._limit.max_series

    def label_sets(self) -> Mapping[str, int]:
        """Return the number of label sets of each family, by its name without the namespace."""
        self.registry.complete()
        self.registry.call_before()
        return {name: cast(LimitedMetric, metric).label_sets for name, metric in tuple(self._metrics.items())}

    def cardinality(self) -> list[Cardinality]:
        """Return the size of each family and of each registered foreign metric."""
        self.registry.complete()
        self.registry.call_before()
        own = [
            cardinality_of(
                cast(LimitedMetric, metric), self._overflow_of(name, "limit"), self._overflow_of(name, "vocabulary")
            )
            for name, metric in tuple(self._metrics.items())
        ]
        return [*own, *map(foreign_cardinality_of, self.registry.foreign_metrics())]

    def _overflow_of(self, family: str, cause: Cause) -> int:
        child = self._overflows.get((family, cause))
        return 0 if child is None else int(child._value.get())

    def render(self, form: Format = Format.TEXT, failed: Callable[[Exception], object] = lambda error: None) -> bytes:
        """
        Return the page: all series of all workers.

        Args:
            failed: called if a collector of the application raises or hangs; its series are then missing.
        """
        return b"".join(self.slices(form, failed))

    def slices(
        self, form: Format, failed: Callable[[Exception], object], only: Container[Collector] | None = None
    ) -> Iterator[bytes]:
        """
        Yield the page in parts that take half a millisecond each, so that a thread can pause between them.

        Args:
            failed: see `render`.
            only: the metrics to expose, with the values of this worker alone; None for all metrics of all workers.
        """
        collectors = self.registry.collectors(only)
        if only is not None or self.workers is None:
            yield from self._written(collectors, form, failed)
        else:
            with self.workers.read(collectors, failed):
                yield from (b"" for _ in self.workers.merge_values())
                merged = self.workers.merged(collectors, exemplars=form is Format.OPENMETRICS)
                yield from self._written(merged, form, failed)

    @contextmanager
    def reading(self, failed: Callable[[Exception], object]) -> Iterator[Iterable[Collector | MergedFamily]]:
        """Yield the families of all workers, whose numbers can be read until the context ends."""
        collectors = self.registry.collectors()
        if self.workers is None:
            yield collectors
            return
        with self.workers.read(collectors, failed):
            for _ in self.workers.merge_values():
                pass
            yield self.workers.merged(collectors, exemplars=True)

    def read_foreign(self, collector: Collector) -> list[Samples]:
        """Return the families of a collector of the application, which may hang."""
        name = f"The collector {type(collector).__qualname__}"
        return self._timeouts.call(collector, name, lambda: list(collector.collect()))

    def _written(
        self, collectors: Iterable[Collector | MergedFamily], form: Format, failed: Callable[[Exception], object]
    ) -> Iterator[bytes]:
        return render(collectors, form, self._created, failed, self._timeouts)

    def _make_catalogue(self) -> None:
        for family in FAMILIES:
            if family not in DOMAIN:
                self.of(family)
        self._put_first()

    def _put_first(self) -> None:
        """Move the created families of the catalogue to the top of the page, in its order."""
        created = [self._metrics[family.name] for family in FAMILIES if family.name in self._metrics]
        self.registry.put_first(cast(Collector, metric) for metric in created)

    def _make(self, family: Family[M_co]) -> None:
        metric = self._metrics[family.name] = self._create(family)
        self._families[family.name] = family
        if isinstance(family, Declared) and family.attribute:
            # From now on the attribute is the metric itself, and `Declared.__get__` is not called.
            setattr(self, family.attribute, metric)

    def _create(self, family: Family[M_co]) -> Metric:
        fault = _fault(family)
        if fault is not None:
            raise ImproperlyConfigured(f"The metric {family.name!r} {fault}.")
        ledger = None if self.workers is None else self.workers.ledger
        try:
            return limited_metric(
                family, self.namespace, self.registry, self._limit, ledger, exponential=self._exponential
            )
        except ValueError as error:
            raise ImproperlyConfigured(f"The metric {family.name!r} cannot be created: {_reason(error)}.") from None

    def _overflowed(self, family: str, cause: Cause, times: int) -> None:
        if family == Catalogue.metrics_overflow.name:
            return  # It would count its own overflow, without end.
        child = self._overflows.get((family, cause))
        if child is None:
            child = self._overflows[family, cause] = self.metrics_overflow.labels(family, cause)
        child.inc(times)


_CATALOGUE = {family.name: family for family in FAMILIES}
# The suffixes that prometheus_client reserves for one metric.
_SUFFIXES = ("", "_total", "_bucket", "_count", "_sum", "_created")


@lru_cache(maxsize=8)
def _series_names(namespace: str) -> frozenset[str]:
    """Return the names of all series that the catalogue may have."""
    return frozenset(name for family in FAMILIES for name in _series_names_of(f"{namespace}_{family.name}"))


def _series_names_of(full_name: str) -> list[str]:
    name = full_name.removesuffix("_total")
    return [name + suffix for suffix in _SUFFIXES]


def _listed(values: Iterable[str]) -> list[str]:
    """Return the values as a list; a single string is one value."""
    return [values] if isinstance(values, str) else [str(value) for value in values]


def _fault(family: Family[Metric]) -> str | None:
    """Return the first fault of a family, or None."""
    if not _NAME.fullmatch(family.name):
        return "has an invalid name; expected lower case, digits and _"
    if (family.kind == "counter") != family.name.endswith("_total"):
        return "has an invalid name; the names of counters, and no others, end in _total"
    if not family.help.strip():
        return "has no help text; expected a sentence"
    if not all(_NAME.fullmatch(label) for label in family.labels) or len(set(family.labels)) < len(family.labels):
        return f"has the labels {', '.join(family.labels)}; expected different names in lower case, digits and _"
    if family.kind == "histogram" and not _is_rising(family.buckets):
        return f"has the buckets {', '.join(map(str, family.buckets))}; expected upper edges in rising order"
    return None


def _is_rising(buckets: Sequence[float]) -> bool:
    """Return whether these are different numbers in rising order; otherwise Prometheus could not read the page."""
    try:
        edges = [float(edge) for edge in buckets]
    except (TypeError, ValueError, OverflowError):
        return False
    return all(map(isfinite, edges[:-1])) and all(one < other for one, other in pairwise([-inf, *edges]))


def _reason(error: ValueError) -> str:
    """Return the error of prometheus_client as text; that of a name clash is rewritten, since it only lists names."""
    text = str(error)
    if "Duplicated" not in text:
        return text
    taken = ", ".join(sorted(re.findall(r"'(\w+)'", text)))
    return (
        f"{taken} is the name of another metric; "
        "besides its own name a counter, summary or histogram takes <name>_created"
    )


def _same(one: Family[Metric], other: Family[Metric]) -> bool:
    # The first declaration decides who changes the family, and its vocabulary.
    return replace(one, by="", vocabulary={}) == replace(other, by="", vocabulary={})


def _description(family: Family[Metric]) -> str:
    labels = f"with the labels {', '.join(family.labels)}" if family.labels else "without labels"
    edges = f" and the buckets {', '.join(f'{edge:g}' for edge in family.buckets)}" if family.buckets else ""
    return f"a {family.kind} {labels}{edges}, {family.help!r}"


__all__ = ["NAMESPACE", "Cardinality", "DependencyLatency", "Metric", "Metrics"]
