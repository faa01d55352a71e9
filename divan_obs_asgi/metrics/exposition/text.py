"""
Writes all series in Prometheus's formats: the same text as prometheus_client's `generate_latest`, many times faster.

The metrics of this library cache the text of each label set, so that only values are read here. Collectors of the
application are written by prometheus_client.
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

from divan_obs_asgi.metrics.cardinality_limit import is_valid_exemplar
from divan_obs_asgi.metrics.exposition.collector_timeouts import CollectorTimeouts
from divan_obs_asgi.metrics.limited import LimitedMetric
from divan_obs_asgi.metrics.local import TraceExemplar
from divan_obs_asgi.metrics.multiprocess.merging import MergedFamily

_go_number: Callable[[float], str] = floatToGoString
# Smaller floats have the same text in Python and in Go; Go writes larger ones with an exponent.
_PLAIN_BELOW = 1e6
_END = "# EOF\n"
# Collectors of prometheus_client that call no other code. A thread for each of them would cost more than they do.
_NEVER_HANG = (Counter, Histogram, Summary, Info, GCCollector, PlatformCollector, ProcessCollector)


class Format(Enum):
    """A format of the page, by its media type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render(
    collectors: Iterable[Collector | MergedFamily],
    form: Format,
    created: bool,
    failed: Callable[[Exception], object],
    timeouts: CollectorTimeouts,
) -> Iterator[bytes]:
    """
    Yield the page of all `collectors`, in slices that take about half a millisecond.

    Args:
        created: whether the page has the series `_created`.
        failed: called if a collector raises or hangs; the page is then without its series.
        timeouts: calls the collectors of the application.
    """
    for collector in collectors:
        try:
            if isinstance(collector, (LimitedMetric, MergedFamily)):
                yield from map(_encoded, _Writer(collector, form, created, timeouts).slices())
            else:
                yield _encoded([_foreign(collector, form, created, timeouts)])
        except Exception as error:
            failed(error)
    if form is Format.OPENMETRICS:
        yield _END.encode()


def _encoded(lines: list[str]) -> bytes:
    # Collectors of the application may return lone surrogates.
    return "".join(lines).encode("utf-8", "replace")


class _Writer:
    """Writes a metric of this library, or a merged family of several workers."""

    def __init__(
        self, metric: LimitedMetric | MergedFamily, form: Format, created: bool, timeouts: CollectorTimeouts
    ) -> None:
        self._metric = metric
        self._timeouts = timeouts
        self._kind = metric.family.kind
        self._openmetrics = form is Format.OPENMETRICS
        self._created = created and self._kind != "gauge"
        self._full_name = metric.full_name
        self._name = metric.full_name.removesuffix("_total") if self._kind == "counter" else metric.full_name

    def slices(self) -> Iterator[list[str]]:
        lines = self._head(self._name if self._openmetrics else self._full_name, self._kind)
        children = self._metric.children()
        # A gauge with functions is one slice: if a function raises, the whole metric is left out.
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
        help = self._metric.family.help.replace("\\", r"\\").replace("\n", r"\n")
        if self._openmetrics:
            help = help.replace('"', r"\"")
        return [f"# HELP {name} {help}\n# TYPE {name} {kind}\n"]

    def _created_line(self, child: Any) -> str:
        return f"{self._name}_created{_labels(child)} {_go_number(child._created)}\n"

    def _counters(self, children: list[Any], lines: list[str]) -> None:
        name = f"{self._name}_total"
        exemplar = _exemplar if self._openmetrics else _no_exemplar
        # Reading a float needs no lock; ten thousand locks would take a third of a scrape.
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
            values = self._timeouts.call(self._metric, f"A function of {self._name}", from_functions)
        else:
            values = [child._value.get() for child in children]
        lines += [f"{self._name}{_labels(child)} {_number(now)}\n" for child, now in zip(children, values, strict=True)]

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
        # Labels are sorted by name, including `le`.
        edges = [f'le="{_go_number(edge)}"' for edge in self._metric.edges]
        name = f"{self._name}_bucket{{"
        for child in children:
            before, after = _around_le(child)
            start, end = f"{name}{before}", f"{after}}} "
            buckets = child._buckets
            counts = list(accumulate([value._value for value in buckets]))
            # The counts are whole numbers, and formatting an int takes half the time of a float.
            texts = [f"{int(now)}.0" for now in counts] if counts[-1] < _PLAIN_BELOW else list(map(_number, counts))
            if self._openmetrics and any(value._exemplar for value in buckets):
                lines += [
                    f"{start}{edge}{end}{count}{_exemplar(value)}\n"
                    for edge, count, value in zip(edges, texts, buckets, strict=True)
                ]
            else:
                lines += [f"{start}{edge}{end}{count}\n" for edge, count in zip(edges, texts, strict=True)]
            labels = _labels(child)
            lines.append(f"{self._name}_count{labels} {texts[-1]}\n")
            if self._metric.edges[0] >= 0:  # A sum of negative observations would decrease.
                lines.append(f"{self._name}_sum{labels} {_number(child._sum.get())}\n")
            if self._created and self._openmetrics:
                lines.append(self._created_line(child))


# The number of children that take about half a millisecond.
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
    """Return `{a="b",c="d"}`, cached in the child; an empty text without labels."""
    text: str | None = child.label_text
    if text is None:
        pairs = ",".join(_pairs(child))
        text = child.label_text = f"{{{pairs}}}" if pairs else ""
    return text


def _around_le(child: Any) -> tuple[str, str]:
    """Return the labels before and after `le="1.0"`, cached in the child."""
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
    if type(exemplar) is tuple:  # `FastBuckets` stores a tuple in a `LocalValue`.
        exemplar = value.get_exemplar()
    return getattr(exemplar, "text", None) or _written(exemplar)


def _written(exemplar: Exemplar) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(exemplar.labels.items()))
    text = f" # {{{pairs}}} {_go_number(exemplar.value)} {exemplar.timestamp}"
    if isinstance(exemplar, TraceExemplar):
        exemplar.text = text
    return text


def _no_exemplar(value: Any) -> str:
    return ""


class _SingleRegistry:
    """A registry of one collector. It removes invalid exemplars, and `_created` series unless `created` is set."""

    def __init__(self, collector: Collector, created: bool) -> None:
        self._collector = collector
        self._created = created

    def collect(self) -> Iterable[Samples]:
        for family in self._collector.collect():
            if not self._created and family.type in ("counter", "histogram", "summary"):
                name = f"{family.name}_created"
                family.samples = [sample for sample in family.samples if sample.name != name]
            if any(sample.exemplar and not is_valid_exemplar(sample.exemplar.labels) for sample in family.samples):
                family.samples = [_with_valid_exemplar(sample) for sample in family.samples]
            yield family


def _with_valid_exemplar(sample: Sample) -> Sample:
    exemplar = sample.exemplar
    return sample if exemplar is None or is_valid_exemplar(exemplar.labels) else sample._replace(exemplar=None)


def _foreign(collector: Collector, form: Format, created: bool, timeouts: CollectorTimeouts) -> str:
    """Return the text of a collector of the application."""
    registry = _SingleRegistry(collector, created)

    def write() -> str:
        if form is Format.TEXT:
            return exposition.generate_latest(registry).decode()
        page: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return page.decode().removesuffix(_END)

    if type(collector) in _NEVER_HANG or (type(collector) is Gauge and not _has_functions(collector)):
        return write()
    return timeouts.call(collector, f"The collector {type(collector).__qualname__}", write)


def _has_functions(gauge: Gauge) -> bool:
    """Return whether a gauge of prometheus_client calls a function: `set_function` replaces a method."""
    children = tuple(gauge._metrics.values()) if gauge._labelnames else (gauge,)
    return any("_child_samples" in vars(child) for child in children)


__all__ = ["Format", "render"]
