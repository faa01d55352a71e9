"""Compares the expressions of rules and boards with the metrics that are exposed."""

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
# Labels that Prometheus, its operator and Kubernetes usually add to each series.
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
# Variables of Grafana: as a duration, and in strings.
_DURATION = re.compile(r"(\[|offset\s+|:)\s*\$(?:\w+|\{\w+[^}]*\})")
_VARIABLE = re.compile(r"\$(?:\w|\{)")


@dataclass(frozen=True, slots=True)
class ExposedSeries:
    """A series that is exposed: the kind of its family, and its labels."""

    kind: Kind
    grows: bool
    labels: frozenset[str]
    edges: tuple[float, ...] = ()


def series_of(families: Iterable[Family[Metric]], prefix: str) -> dict[str, ExposedSeries]:
    """Return every series of the families by its full name, which begins with `prefix`."""
    series = {}
    for family in families:
        name, labels = f"{prefix}{family.name}", frozenset(family.labels)
        if family.kind in ("counter", "gauge"):
            series[name] = ExposedSeries(family.kind, family.kind == "counter", labels)
            continue
        series[f"{name}_sum"] = series[f"{name}_count"] = ExposedSeries(family.kind, True, labels)
        if family.kind == "histogram":
            series[f"{name}_bucket"] = ExposedSeries(family.kind, True, labels | {"le"}, family.buckets)
    return series


def faults(
    expression: str, series: Mapping[str, ExposedSeries], recorded: Iterable[str], namespace: str, *, is_sure: bool
) -> Iterator[tuple[Fault, str]]:
    """Yield the mistakes of an expression that are about series of the namespace."""
    promql = installed("promql_parser")
    try:
        tree = promql.parse(_DURATION.sub(r"\g<1>5m", expression))
    except ValueError as error:
        if is_sure and not _VARIABLE.search(expression):
            yield "syntax", f"it is not valid PromQL: {error}"
        return
    expression_check = _ExpressionCheck(promql, series, frozenset(recorded), namespace)
    yield from dict.fromkeys(expression_check.faults(tree, ""))


@dataclass(frozen=True, slots=True)
class _ExpressionCheck:
    promql: Any
    series: Mapping[str, ExposedSeries]
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
            # A subquery and brackets have the values of the expression inside.
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
            # It may belong to another service; usually the file was exported for the default namespace.
            if ours != name and (ours in self.series or ours in self.recorded):
                yield "namespace", f"{name} does not belong to this service; did you mean {ours}?"
            return
        if function in OF_COUNTERS and not known.grows:
            yield "gauge", f"{name} is a gauge; it has no {function}"
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
            return "slip", f"{name} does not exist; did you mean {' or '.join(of_family or near)}?"
        return "unknown", f"{name} does not exist"

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
        """Yield the selectors whose labels are those of the series."""
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
    # A variable of Grafana can have any value.
    if text == "+Inf" or _VARIABLE.search(text):
        return True
    try:
        return float(text) in edges
    except ValueError:
        return False


__all__ = ["OF_COUNTERS", "TARGET_LABELS", "ExposedSeries", "Fault", "faults", "series_of"]
