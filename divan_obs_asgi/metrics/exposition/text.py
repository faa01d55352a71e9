"""
Writes all series as Prometheus reads them: what prometheus_client's `generate_latest` writes, but many times faster.

Our own metrics keep the text of each label set, and only their values are read here. What an application has registered
beside them goes through prometheus_client's own writers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import accumulate
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, Info, Summary, exposition
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from divan_obs_asgi.metrics.cardinality_limit import can_be_read
from divan_obs_asgi.metrics.exposition.collector_timeouts import CollectorTimeouts
from divan_obs_asgi.metrics.limited import LimitedMetric
from divan_obs_asgi.metrics.local import Shown
from divan_obs_asgi.metrics.multiprocess.merging import MergedFamily

_go_number: Callable[[float], str] = floatToGoString
# Below this a float is written as Python does it; from there on Go writes an exponent.
_PLAIN_BELOW = 1e6
_END = "# EOF\n"
# prometheus_client's own that call nobody: a thread for each of them would cost more than they do.
_NEVER_HANG = (Counter, Histogram, Summary, Info, GCCollector, PlatformCollector, ProcessCollector)


class Format(Enum):
    """What Prometheus reads, by its media type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render(
    collectors: Iterable[Collector | MergedFamily],
    form: Format,
    created: bool,
    failed: Callable[[Exception], object],
    callbacks: CollectorTimeouts,
) -> Iterator[bytes]:
    """
    Yield the page of all `collectors`, in slices that take about half a millisecond.

    Args:
        created: whether the series `_created` are on it.
        failed: called where a collector raises or hangs; the page is then without that one.
        callbacks: calls what the application has registered.
    """
    for collector in collectors:
        try:
            if isinstance(collector, (LimitedMetric, MergedFamily)):
                yield from map(_encoded, _Writer(collector, form, created, callbacks).slices())
            else:
                yield _encoded([_foreign(collector, form, created, callbacks)])
        except Exception as error:
            failed(error)
    if form is Format.OPENMETRICS:
        yield _END.encode()


def _encoded(lines: list[str]) -> bytes:
    # What others have registered may hold what is no UTF-8.
    return "".join(lines).encode("utf-8", "replace")


class _Writer:
    """Writes one of our own metrics, or what several workers tell of one."""

    def __init__(
        self, metric: LimitedMetric | MergedFamily, form: Format, created: bool, callbacks: CollectorTimeouts
    ) -> None:
        self._metric = metric
        self._callbacks = callbacks
        self._kind = metric.family.kind
        self._openmetrics = form is Format.OPENMETRICS
        self._created = created and self._kind != "gauge"
        self._full_name = metric.full_name
        self._name = metric.full_name.removesuffix("_total") if self._kind == "counter" else metric.full_name

    def slices(self) -> Iterator[list[str]]:
        told_name = self._name if self._openmetrics else self._full_name
        lines = self._head(told_name, self._kind)
        children = self._metric.children()
        # Of functions all, or none, where one raises.
        size = len(children) if self._has_functions(children) else _SLICE[self._kind]
        for start in range(0, len(children), size):
            _WRITE[self._kind](self, children[start : start + size], lines)
            yield lines
            lines = []
        if self._created and not self._openmetrics and children:
            lines += self._head(f"{self._name}_created", "gauge")
            lines += [self._created_line(child) for child in children]
        yield lines

    def _head(self, name: str, kind: str) -> list[str]:
        told = self._metric.family.help.replace("\\", r"\\").replace("\n", r"\n")
        if self._openmetrics:
            told = told.replace('"', r"\"")
        return [f"# HELP {name} {told}\n# TYPE {name} {kind}\n"]

    def _created_line(self, child: Any) -> str:
        return f"{self._name}_created{_labels(child)} {_go_number(child._created)}\n"

    def _counters(self, children: list[Any], lines: list[str]) -> None:
        name = f"{self._name}_total"
        exemplar = _exemplar if self._openmetrics else _no_exemplar
        # A read of a float needs no lock; ten thousand locks are a third of a scrape.
        values = [(child.label_text or _labels(child), child._value, child._value._value) for child in children]
        written = [
            f"{name}{labels} {repr(now) if now < _PLAIN_BELOW else _number(now)}{exemplar(value)}\n"
            for labels, value, now in values
        ]
        if self._created and self._openmetrics:
            written = [f"{line}{self._created_line(child)}" for child, line in zip(children, written, strict=True)]
        lines += written

    def _gauges(self, children: list[Any], lines: list[str]) -> None:
        def from_functions() -> list[float]:
            return [sample.value for child in children for sample in child._child_samples()]

        if self._has_functions(children):
            told = self._callbacks.call(self._metric, f"A function of {self._name}", from_functions)
        else:
            told = [child._value.get() for child in children]
        lines += [f"{self._name}{_labels(child)} {_number(now)}\n" for child, now in zip(children, told, strict=True)]

    def _has_functions(self, children: list[Any]) -> bool:
        return self._kind == "gauge" and any(getattr(child, "has_function", False) for child in children)

    def _summaries(self, children: list[Any], lines: list[str]) -> None:
        for child in children:
            labels = _labels(child)
            lines.append(f"{self._name}_count{labels} {_number(child._count.get())}\n")
            lines.append(f"{self._name}_sum{labels} {_number(child._sum.get())}\n")
            if self._created and self._openmetrics:
                lines.append(self._created_line(child))

    def _histograms(self, children: list[Any], lines: list[str]) -> None:
        # Labels are sorted by name, and `le` stands among them.
        edges = [f'le="{_go_number(edge)}"' for edge in self._metric.edges]
        name = f"{self._name}_bucket{{"
        for child in children:
            before, after = _around_le(child)
            start, end = f"{name}{before}", f"{after}}} "
            buckets = child._buckets
            counts = list(accumulate([value._value for value in buckets]))
            # These are whole numbers, and a whole number is made text in half the time of a float.
            told = [f"{int(now)}.0" for now in counts] if counts[-1] < _PLAIN_BELOW else list(map(_number, counts))
            if self._openmetrics and any(value._exemplar for value in buckets):
                lines += [
                    f"{start}{edge}{end}{count}{_exemplar(value)}\n"
                    for edge, count, value in zip(edges, told, buckets, strict=True)
                ]
            else:
                lines += [f"{start}{edge}{end}{count}\n" for edge, count in zip(edges, told, strict=True)]
            labels = _labels(child)
            lines.append(f"{self._name}_count{labels} {told[-1]}\n")
            if self._metric.edges[0] >= 0:  # Of negative observations a sum is no counter.
                lines.append(f"{self._name}_sum{labels} {_number(child._sum.get())}\n")
            if self._created and self._openmetrics:
                lines.append(self._created_line(child))


# Children that are written in about half a millisecond.
_SLICE = {"counter": 500, "gauge": 500, "summary": 250, "histogram": 50}
_WRITE: dict[str, Callable[[_Writer, list[Any], list[str]], None]] = {
    "counter": _Writer._counters,
    "gauge": _Writer._gauges,
    "summary": _Writer._summaries,
    "histogram": _Writer._histograms,
}


def _number(value: float) -> str:
    return repr(value) if -_PLAIN_BELOW < value < _PLAIN_BELOW else _go_number(value)


def _labels(child: Any) -> str:
    """Return `{a="b",c="d"}`, made once for each child; nothing where there are no labels."""
    text: str | None = child.label_text
    if text is None:
        pairs = ",".join(_pairs(child))
        text = child.label_text = f"{{{pairs}}}" if pairs else ""
    return text


def _around_le(child: Any) -> tuple[str, str]:
    """Return what stands before and after `le="1.0"`, made once for each child."""
    around: tuple[str, str] | None = child.around_le
    if around is None:
        pairs = _pairs(child)
        before = [pair for pair in pairs if pair < "le"]
        after = pairs[len(before) :]
        around = child.around_le = "".join(f"{pair}," for pair in before), "".join(f",{pair}" for pair in after)
    return around


def _pairs(child: Any) -> list[str]:
    return [
        f'{name}="{_escaped(value)}"' for name, value in sorted(zip(child._labelnames, child._labelvalues, strict=True))
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _exemplar(value: Any) -> str:
    exemplar = value._exemplar
    if exemplar is None:
        return ""
    if type(exemplar) is tuple:  # Of a LocalValue, as it was noted.
        exemplar = value.get_exemplar()
    return getattr(exemplar, "text", None) or _written(exemplar)


def _written(exemplar: Exemplar) -> str:
    pairs = ",".join(f'{name}="{_escaped(told)}"' for name, told in sorted(exemplar.labels.items()))
    text = f" # {{{pairs}}} {_go_number(exemplar.value)} {exemplar.timestamp}"
    if isinstance(exemplar, Shown):
        exemplar.text = text
    return text


def _no_exemplar(value: Any) -> str:
    return ""


class _One:
    """A registry of one collector, without `_created` where they are not wanted, and exemplars that nobody reads."""

    def __init__(self, collector: Collector, created: bool) -> None:
        self._collector = collector
        self._created = created

    def collect(self) -> Iterable[Samples]:
        for family in self._collector.collect():
            if not self._created and family.type in ("counter", "histogram", "summary"):
                name = f"{family.name}_created"
                family.samples = [sample for sample in family.samples if sample.name != name]
            if any(sample.exemplar and not can_be_read(sample.exemplar.labels) for sample in family.samples):
                family.samples = [_readable(sample) for sample in family.samples]
            yield family


def _readable(sample: Sample) -> Sample:
    exemplar = sample.exemplar
    return sample if exemplar is None or can_be_read(exemplar.labels) else sample._replace(exemplar=None)


def _foreign(collector: Collector, form: Format, created: bool, callbacks: CollectorTimeouts) -> str:
    one = _One(collector, created)

    def write() -> str:
        if form is Format.TEXT:
            return exposition.generate_latest(one).decode()
        page: bytes = openmetrics.generate_latest(one)  # type: ignore[no-untyped-call]
        return page.decode().removesuffix(_END)

    if type(collector) in _NEVER_HANG or (type(collector) is Gauge and not _has_functions(collector)):
        return write()
    return callbacks.call(collector, f"The collector {type(collector).__qualname__}", write)


def _has_functions(gauge: Gauge) -> bool:
    """Tell whether a gauge of prometheus_client's asks a function: that is put in the place of a method."""
    children = tuple(gauge._metrics.values()) if gauge._labelnames else (gauge,)
    return any("_child_samples" in vars(child) for child in children)


__all__ = ["Format", "render"]
