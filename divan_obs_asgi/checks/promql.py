"""What an expression asks for, held against the metrics that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from divan_obs_asgi.checks.files import installed
from divan_obs_asgi.metrics import NAMESPACE
from divan_obs_asgi.metrics.family import Family, Kind, Metric

Fault: TypeAlias = Literal["syntax", "namespace", "unknown", "slip", "gauge", "edge", "label"]
# What Prometheus, its operator and Kubernetes add to each series; others can be added, too.
TARGET_LABELS = frozenset(
    (
        *("job", "instance", "namespace", "pod", "container", "node", "service", "endpoint", "cluster", "environment"),
        *("env", "region", "zone", "app", "prometheus", "prometheus_replica", "replica", "deployment", "team", "host"),
        *("hostname", "datacenter", "dc", "az", "component", "release", "version"),
    )
)
OF_COUNTERS = ("rate", "irate", "increase", "resets")
_SUFFIXES = ("_total", "_bucket", "_sum", "_count")
_SLIP = 0.9
# Grafana's variables: in the place of a duration, and as they stand in strings.
_DURATION = re.compile(r"(\[|offset\s+|:)\s*\$(?:\w+|\{\w+[^}]*\})")
_VARIABLE = re.compile(r"\$(?:\w|\{)")


@dataclass(frozen=True, slots=True)
class Known:
    """A series that is exposed: what kind of family it is of, and its labels."""

    kind: Kind
    grows: bool
    labels: frozenset[str]
    edges: tuple[float, ...] = ()


def series_of(families: Iterable[Family[Metric]], prefix: str) -> dict[str, Known]:
    """Return every series of the families, by its full name; `prefix` stands before each."""
    series = {}
    for family in families:
        name, labels = f"{prefix}{family.name}", frozenset(family.labels)
        if family.kind in ("counter", "gauge"):
            series[name] = Known(family.kind, family.kind == "counter", labels)
            continue
        series[f"{name}_sum"] = series[f"{name}_count"] = Known(family.kind, True, labels)
        if family.kind == "histogram":
            series[f"{name}_bucket"] = Known(family.kind, True, labels | {"le"}, family.buckets)
    return series


def faults(
    expression: str, series: Mapping[str, Known], recorded: Iterable[str], namespace: str, *, is_sure: bool
) -> Iterator[tuple[Fault, str]]:
    """Yield what is wrong with an expression, as far as it is about series of the namespace."""
    promql = installed("promql_parser")
    try:
        tree = promql.parse(_DURATION.sub(r"\g<1>5m", expression))
    except ValueError as error:
        if is_sure and not _VARIABLE.search(expression):
            yield "syntax", f"it is not PromQL: {error}"
        return
    reading = _Reading(promql, series, frozenset(recorded), namespace)
    yield from dict.fromkeys(reading.faults(tree, ""))


@dataclass(frozen=True, slots=True)
class _Reading:
    promql: Any
    series: Mapping[str, Known]
    recorded: frozenset[str]
    namespace: str

    def faults(self, node: Any, function: str) -> Iterator[tuple[Fault, str]]:
        promql = self.promql
        if isinstance(node, promql.VectorSelector):
            yield from self._selected(node, function)
        elif isinstance(node, promql.MatrixSelector):
            yield from self._selected(node.vector_selector, function)
        elif isinstance(node, promql.Call):
            for argument in node.args:
                yield from self.faults(argument, node.func.name)
        else:
            if isinstance(node, promql.AggregateExpr):
                yield from self._grouped(node)
            if isinstance(node, promql.BinaryExpr):
                yield from self._matched(node)
            # A subquery, like brackets, has the values of what stands in it.
            around = function if isinstance(node, promql.SubqueryExpr | promql.ParenExpr) else ""
            for child in self._below(node):
                yield from self.faults(child, around)

    def _below(self, node: Any) -> list[Any]:
        children = [getattr(node, name, None) for name in ("expr", "lhs", "rhs")]
        return [child for child in children if child is not None]

    def _selected(self, node: Any, function: str) -> Iterator[tuple[Fault, str]]:
        matchers = node.matchers.matchers
        equal = self.promql.MatchOp.Equal
        name = node.name or next((m.value for m in matchers if m.name == "__name__" and m.op == equal), "")
        known = self.series.get(name)
        if known is None:
            if name.startswith((f"{self.namespace}_", f"{self.namespace}:")) and name not in self.recorded:
                yield self._unknown(name)
            ours = re.sub(f"^{NAMESPACE}(?=[_:])", self.namespace, name)
            # Another service may have it; most often a file was exported for the default.
            if ours != name and (ours in self.series or ours in self.recorded):
                yield "namespace", f"{name} is not of this service; did you mean {ours}?"
            return
        if function in OF_COUNTERS and not known.grows:
            yield "gauge", f"{function} of {name}, which is a gauge"
        for matcher in matchers:
            if matcher.name not in known.labels | TARGET_LABELS | {"__name__"}:
                yield "label", f"{name} has no label {matcher.name}; it has {_listed(known.labels)}"
            if (
                matcher.name == "le"
                and matcher.op == equal
                and known.edges
                and not _is_edge(matcher.value, known.edges)
            ):
                edges = ", ".join(f"{edge:g}" for edge in known.edges)
                yield "edge", f"{name} has no edge at {matcher.value}; it has {edges}"

    def _unknown(self, name: str) -> tuple[Fault, str]:
        near = get_close_matches(name, [*self.series, *self.recorded], 1, _SLIP)
        base = re.sub(f"(?:{'|'.join(_SUFFIXES)})$", "", name)
        of_family = [one for one in self.series if re.sub(f"(?:{'|'.join(_SUFFIXES)})$", "", one) == base]
        if of_family or near:
            return "slip", f"there is no {name}; did you mean {' or '.join(of_family or near)}?"
        return "unknown", f"there is no {name}"

    def _grouped(self, node: Any) -> Iterator[tuple[Fault, str]]:
        if node.modifier is not None and node.modifier.type == self.promql.AggModifierType.By:
            yield from self._without(node.modifier.labels, node.expr)

    def _matched(self, node: Any) -> Iterator[tuple[Fault, str]]:
        matching = node.modifier.matching if node.modifier else None
        if matching is not None and matching.type == self.promql.LabelModifierType.Include:
            for side in (node.lhs, node.rhs):
                yield from self._without(matching.labels, side)

    def _without(self, labels: Iterable[str], node: Any) -> Iterator[tuple[Fault, str]]:
        for selector in self._direct(node):
            known = self.series.get(selector.name or "")
            if known is not None:
                for label in labels:
                    if label not in known.labels | TARGET_LABELS:
                        yield "label", f"{selector.name} has no label {label}; it has {_listed(known.labels)}"

    def _direct(self, node: Any) -> Iterator[Any]:
        """Yield the selectors whose labels are still those of the series."""
        promql = self.promql
        if isinstance(node, promql.VectorSelector):
            yield node
        elif isinstance(node, promql.MatrixSelector):
            yield node.vector_selector
        elif isinstance(node, promql.Call) and not node.func.name.startswith("label_"):
            for argument in node.args:
                yield from self._direct(argument)
        elif isinstance(node, promql.ParenExpr | promql.SubqueryExpr | promql.UnaryExpr):
            yield from self._direct(node.expr)


def _listed(labels: frozenset[str]) -> str:
    return ", ".join(sorted(labels)) or "none"


def _is_edge(text: str, edges: tuple[float, ...]) -> bool:
    # A variable of Grafana's may be anything.
    if text == "+Inf" or _VARIABLE.search(text):
        return True
    try:
        return float(text) in edges
    except ValueError:
        return False


__all__ = ["OF_COUNTERS", "TARGET_LABELS", "Fault", "Known", "faults", "series_of"]
