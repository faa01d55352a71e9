"""The metrics of one `Observability`: an own Prometheus registry, filled from the catalogue."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
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
from divan_obs_asgi.metrics.cardinality import Cardinality, size_of, size_of_stranger
from divan_obs_asgi.metrics.cardinality_limit import MAX_SERIES, CardinalityLimit, Cause
from divan_obs_asgi.metrics.catalogue import DOMAIN, FAMILIES, Catalogue
from divan_obs_asgi.metrics.domain import Domain
from divan_obs_asgi.metrics.exposition.collector_timeouts import PATIENCE_S, CollectorTimeouts
from divan_obs_asgi.metrics.exposition.text import Format, render
from divan_obs_asgi.metrics.family import Declared, Family, GaugeMode, M_co, Metric
from divan_obs_asgi.metrics.limited import LimitedMetric, governed
from divan_obs_asgi.metrics.multiprocess.merging import MergedFamily
from divan_obs_asgi.metrics.multiprocess.workers import VARIABLE, Workers
from divan_obs_asgi.redaction import RedactionPolicy

NAMESPACE = "divan"

# Prometheus, "Metric names and labels": what every version of it, and every client, understands.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


# What prometheus_client makes of these is unknown to the ledgers of workers.
_UNSHARED = (Counter, Gauge, Histogram, Summary)


def _ignore(error: Exception) -> None: ...


@dataclass(frozen=True, slots=True)
class DependencyLatency:
    """The summary that SPEC names, and its twin with buckets."""

    summary: Summary
    histogram: Histogram

    def observe(self, seconds: float) -> None:
        self.summary.observe(seconds)
        self.histogram.observe(seconds)


class Registry(CollectorRegistry):
    """
    A registry that tells its collectors, in the order in which they came.

    Args:
        shared: whether its page tells of several workers.

    Attributes:
        before: called before the metrics are read, in any thread, but in one at a time: who counts elsewhere, where
            that is cheaper, tells what was counted.
        failed: called where one of these raises; the others are called all the same.
    """

    failed: Callable[[Exception], object]

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__(auto_describe=True)
        self._shared = shared
        self._in_order: dict[Collector, None] = {}
        self.before: list[Callable[[], object]] = []
        self.failed = _ignore
        self._asking = threading.Lock()
        # Held where metrics are made, whoever makes them.
        self.adding = threading.RLock()
        self._later: deque[Callable[[], object]] = deque()
        self._reserved: frozenset[str] = frozenset()

    def register(self, collector: Collector) -> None:
        """
        Have a collector be on the page.

        Raises:
            ImproperlyConfigured: where the page tells of several workers, and this counts in one.
        """
        if self._shared and isinstance(collector, _UNSHARED) and not isinstance(collector, LimitedMetric):
            raise ImproperlyConfigured(
                f"{collector} counts in one worker, and {VARIABLE} has the page tell of all of them: "
                "make it by observability.metrics.counter, gauge, histogram or summary."
            )
        if self._later and self._may_clash(collector):
            self.complete()
        super().register(collector)
        self._in_order[collector] = None

    def _may_clash(self, collector: Collector) -> bool:
        """Tell whether one that is made later may have the name of a series of this one."""
        if not isinstance(collector, LimitedMetric):
            return True
        family = collector.family
        if isinstance(family, Declared) and family.attribute:
            return False
        return not self._reserved.isdisjoint(_series_names_of(collector.full_name))

    def later(self, make: Callable[[], object], names: Iterable[str] = ()) -> None:
        """
        Have `make` register its collectors when somebody reads the registry, and not before.

        A bundle has seventy collectors, and most bundles are made for a test that looks at none of them. Where several
        workers serve, it is done at once: the others read what this one has, and cannot ask for it.

        Args:
            names: what nobody else may register until then.
        """
        self._later.append(make)
        self._reserved |= frozenset(names)
        if self._shared:
            self.complete()

    @property
    def is_incomplete(self) -> bool:
        """Whether something is still to be made."""
        return bool(self._later)

    def complete(self) -> None:
        """Make what is made later."""
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
        """Have these, of what is registered, be told before all others."""
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
        """Return what is registered; of that what is in `only`, where that is given."""
        if only is None:
            self.complete()
        self.ask()
        registered = tuple(self._in_order)
        return registered if only is None else tuple(one for one in registered if one in only)

    def strangers(self) -> list[MetricWrapperBase]:
        """Return prometheus_client's own metrics, which no governor bounds."""
        self.complete()
        metrics = [one for one in tuple(self._in_order) if isinstance(one, MetricWrapperBase)]
        return [metric for metric in metrics if not isinstance(metric, LimitedMetric)]

    def collect(self) -> Iterable[Samples]:
        self.complete()
        self.ask()
        return super().collect()

    def ask(self) -> None:
        """Have all that is counted elsewhere be told."""
        failures = []
        with self._asking:
            for tell in tuple(self.before):
                try:
                    tell()
                except Exception as error:
                    failures.append(error)
        for failure in failures:
            self.failed(failure)


class Metrics(Catalogue):
    """
    Every family of the catalogue, and those that the application adds.

    Label values and exemplars go through the redaction policy, and a family has at most `max_series` label sets. The
    registry is not prometheus_client's global one: a second `Observability` (tests, a reload) starts at zero and
    collides with nothing. A family of the catalogue is made when it is first used, or the first page is.

    Args:
        created: whether the page has the series `_created`, which double it.
        directory: where several workers serve as one: what all of them keep their series in.
        patience_s: how long a page waits for what the application has registered.

    Attributes:
        workers: None where this process is the only one.

    Raises:
        ImproperlyConfigured: where the directory cannot be used.
    """

    def __init__(
        self,
        policy: RedactionPolicy | None = None,
        namespace: str = NAMESPACE,
        max_series: int = MAX_SERIES,
        *,
        created: bool = False,
        directory: Path | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.namespace = namespace
        self._created = created
        self._callbacks = CollectorTimeouts(patience_s)
        self.workers = None if directory is None else Workers(directory, namespace, max_series)
        self.registry = Registry(shared=self.workers is not None)
        self._metrics: dict[str, Metric] = {}
        self._families: dict[str, Family[Metric]] = {}
        self._overflows: dict[tuple[str, Cause], Counter] = {}
        counting = self.counting(policy or RedactionPolicy(), "metrics")
        self._governor = CardinalityLimit(counting, self._overflowed, max_series)
        self.registry.later(self._make_catalogue, _series_names(namespace))

    @cached_property
    def domain(self) -> Domain:
        """The events of a campus chat, a method each. Their families are on the page from the first use of this on."""
        with self.registry.adding:
            domain = Domain(self)
            if not self.registry.is_incomplete:
                self._put_first()
            return domain

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """
        Return the counter `<namespace>_<name>`, made at the first call; `name` ends in `_total`.

        Raises:
            ImproperlyConfigured: where a metric of that name is something else, or the name is none.
        """
        return self.of(families.counter(name, _listed(labels), help, families.APPLICATION))

    def gauge(self, name: str, help: str, labels: Sequence[str] = (), mode: GaugeMode = "livesum") -> Gauge:
        """
        Return the gauge `<namespace>_<name>`, made at the first call.

        Args:
            mode: how several processes are told as one: their sum, the smallest, ...

        Raises:
            ImproperlyConfigured: where a metric of that name is something else, or the name is none.
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
        Return the histogram `<namespace>_<name>`, made at the first call; `buckets` are upper edges.

        Raises:
            ImproperlyConfigured: where a metric of that name is something else, or name or buckets are none.
        """
        return self.of(families.histogram(name, _listed(labels), help, families.APPLICATION, buckets))

    def summary(self, name: str, help: str, labels: Sequence[str] = ()) -> Summary:
        """
        Return the summary `<namespace>_<name>`, made at the first call: count and sum, no quantiles.

        Raises:
            ImproperlyConfigured: where a metric of that name is something else, or the name is none.
        """
        return self.of(families.summary(name, _listed(labels), help, families.APPLICATION))

    def of(self, family: Family[M_co]) -> M_co:
        """Return the metric of a family, made at the first call."""
        with self.registry.adding:
            known = self._families.get(family.name)
            if known is None:
                # The catalogue's has the name also where it is not made yet.
                known = _CATALOGUE.get(family.name, family)
                self._make(known)
            if known is not family and not _same(known, family):
                raise ImproperlyConfigured(
                    f"The metric {family.name!r} is {_described(known)} already; asked for {_described(family)}."
                )
            return cast(M_co, self._metrics[family.name])

    @property
    def families(self) -> tuple[Family[Metric], ...]:
        """The families that have been made, the application's own among them."""
        return tuple(self._families.values())

    def declare(self, label: str, values: Iterable[str]) -> None:
        """
        Say which values a label takes in what the application counts; all others are told as `__overflow__`.

        Raises:
            ImproperlyConfigured: where there are none.
        """
        listed = _listed(values)
        if not listed:
            raise ImproperlyConfigured(f"The label {label!r} was declared without values.")
        self._governor.declare(label, listed)
        for metric in tuple(self._metrics.values()):
            cast(LimitedMetric, metric).forget_judgements()

    def start_at_zero(self, metric: Metric, **values: Iterable[str]) -> None:
        """
        Have the series of all combinations of `values` exist before something happens.

        A rate over a series that begins with its first event does not see that event. At most half of the label sets
        that a family may have are made in this way.

        Raises:
            ImproperlyConfigured: where these are not the labels of the metric.
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
            if own.label_sets >= self._governor.max_series // 2:
                return
            metric.labels(*combination)

    def forget(self, gauge: Gauge, *values: str) -> None:
        """Have the series of a label set be absent, until it is asked for again."""
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
        """Return the `up` gauge and the latency of the probes that SPEC names, None for others."""
        if probe == "redis":
            return self.redis_up, DependencyLatency(self.redis_latency, self.redis_ping_duration)
        if probe == "postgres":
            return self.postgres_up, DependencyLatency(self.postgres_latency, self.postgres_ping_duration)
        return None

    @property
    def max_series(self) -> int:
        """How many label sets a family has at most."""
        return self._governor.max_series

    def label_sets(self) -> Mapping[str, int]:
        """Return how many label sets each family has, by its name without the namespace."""
        self.registry.complete()
        self.registry.ask()
        return {name: cast(LimitedMetric, metric).label_sets for name, metric in tuple(self._metrics.items())}

    def cardinality(self) -> list[Cardinality]:
        """Return how large each family is, and each metric of prometheus_client that is registered beside them."""
        self.registry.complete()
        self.registry.ask()
        own = [
            size_of(
                cast(LimitedMetric, metric), self._overflow_of(name, "limit"), self._overflow_of(name, "vocabulary")
            )
            for name, metric in tuple(self._metrics.items())
        ]
        return [*own, *map(size_of_stranger, self.registry.strangers())]

    def _overflow_of(self, family: str, cause: Cause) -> int:
        child = self._overflows.get((family, cause))
        return 0 if child is None else int(child._value.get())

    def render(self, form: Format = Format.TEXT, failed: Callable[[Exception], object] = lambda error: None) -> bytes:
        """
        Return all series, of all workers.

        Args:
            failed: called where a collector that the application has registered raises or hangs; its series are missing
                then.
        """
        return b"".join(self.slices(form, failed))

    def slices(
        self, form: Format, failed: Callable[[Exception], object], only: Container[Collector] | None = None
    ) -> Iterator[bytes]:
        """
        Yield all series in parts, each made in half a millisecond, for a thread that lets others go on in between.

        Args:
            failed: as for `render`.
            only: the metrics whose series are wanted, as this worker knows them; None for all.
        """
        collectors = self.registry.collectors(only)
        if only is not None or self.workers is None:
            yield from self._written(collectors, form, failed)
        else:
            with self.workers.read(collectors, failed):
                yield from (b"" for _ in self.workers.settling())
                merged = self.workers.in_place_of(collectors, exemplars=form is Format.OPENMETRICS)
                yield from self._written(merged, form, failed)

    def _written(
        self, collectors: Iterable[Collector | MergedFamily], form: Format, failed: Callable[[Exception], object]
    ) -> Iterator[bytes]:
        return render(collectors, form, self._created, failed, self._callbacks)

    def _make_catalogue(self) -> None:
        for family in FAMILIES:
            if family not in DOMAIN:
                self.of(family)
        self._put_first()

    def _put_first(self) -> None:
        """Have the families of the catalogue, of what was made, be told in its order."""
        made = [self._metrics[family.name] for family in FAMILIES if family.name in self._metrics]
        self.registry.put_first(cast(Collector, metric) for metric in made)

    def _make(self, family: Family[M_co]) -> None:
        metric = self._metrics[family.name] = self._made(family)
        self._families[family.name] = family
        if isinstance(family, Declared) and family.attribute:
            # From now on the attribute is the metric itself, and `Declared.__get__` is not asked.
            setattr(self, family.attribute, metric)

    def _made(self, family: Family[M_co]) -> Metric:
        wrong = _wrong(family)
        if wrong is not None:
            raise ImproperlyConfigured(f"The metric {family.name!r} {wrong}.")
        ledger = None if self.workers is None else self.workers.ledger
        try:
            return governed(family, self.namespace, self.registry, self._governor, ledger)
        except ValueError as error:
            raise ImproperlyConfigured(f"The metric {family.name!r} cannot be made: {_reason(error)}.") from None

    def _overflowed(self, family: str, cause: Cause, times: int) -> None:
        if family == Catalogue.metrics_overflow.name:
            return  # It would never come to an end.
        child = self._overflows.get((family, cause))
        if child is None:
            child = self._overflows[family, cause] = self.metrics_overflow.labels(family, cause)
        child.inc(times)


_CATALOGUE = {family.name: family for family in FAMILIES}
# What prometheus_client takes for one metric.
_SUFFIXES = ("", "_total", "_bucket", "_count", "_sum", "_created")


@lru_cache(maxsize=8)
def _series_names(namespace: str) -> frozenset[str]:
    """Return the names of the series of the catalogue, and some more."""
    return frozenset(name for family in FAMILIES for name in _series_names_of(f"{namespace}_{family.name}"))


def _series_names_of(full_name: str) -> list[str]:
    name = full_name.removesuffix("_total")
    return [name + suffix for suffix in _SUFFIXES]


def _listed(values: Iterable[str]) -> list[str]:
    """Return them as a list; a text is one of them, and not its letters."""
    return [values] if isinstance(values, str) else [str(value) for value in values]


def _wrong(family: Family[Metric]) -> str | None:
    """Return what is wrong with a family, if anything."""
    if not _NAME.fullmatch(family.name):
        return "is named badly; expected lower case, digits and _"
    if (family.kind == "counter") != family.name.endswith("_total"):
        return "is named badly; the name of a counter ends in _total, and of nothing else"
    if not family.help.strip():
        return "has no help; expected a sentence"
    if not all(_NAME.fullmatch(label) for label in family.labels) or len(set(family.labels)) < len(family.labels):
        return f"has the labels {', '.join(family.labels)}; expected different names in lower case, digits and _"
    if family.kind == "histogram" and not _rise(family.buckets):
        return f"has the buckets {', '.join(map(str, family.buckets))}; expected upper edges, each above the one before"
    return None


def _rise(buckets: Sequence[float]) -> bool:
    """Tell whether these are edges: of two that are equal, or that are none, Prometheus could not read the page."""
    try:
        edges = [float(edge) for edge in buckets]
    except (TypeError, ValueError, OverflowError):
        return False
    return all(map(isfinite, edges[:-1])) and all(one < other for one, other in pairwise([-inf, *edges]))


def _reason(error: ValueError) -> str:
    """Return what prometheus_client says, but for a clash, of which it says only between which texts it is."""
    text = str(error)
    if "Duplicated" not in text:
        return text
    taken = ", ".join(sorted(re.findall(r"'(\w+)'", text)))
    return (
        f"{taken} is the name of another metric; "
        "besides its own name a counter, summary or histogram takes <name>_created"
    )


def _same(one: Family[Metric], other: Family[Metric]) -> bool:
    # Who increments it, and with which values, is told by whoever came first.
    return replace(one, by="", vocabulary={}) == replace(other, by="", vocabulary={})


def _described(family: Family[Metric]) -> str:
    labels = f"with the labels {', '.join(family.labels)}" if family.labels else "without labels"
    edges = f" and the buckets {', '.join(f'{edge:g}' for edge in family.buckets)}" if family.buckets else ""
    return f"a {family.kind} {labels}{edges}, {family.help!r}"


__all__ = ["NAMESPACE", "Cardinality", "DependencyLatency", "Metric", "Metrics"]
