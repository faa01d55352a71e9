"""Checks PromQL against the catalogue of metrics: series must exist, and functions must fit their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import promql_parser as promql

from divan_obs_asgi.checks.promql import OF_COUNTERS, ExposedSeries, series_of
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.ops_assets.promql import FOREIGN, TARGET_LABELS

_OF_GAUGES = {"deriv", "delta", "idelta", "predict_linear", "changes", "quantile_over_time"}
_OF_GAUGES |= {f"{what}_over_time" for what in ("max", "min", "avg", "sum", "last", "stddev")}
# Whether there is a series at all can be asked of every one.
_OF_ALL = {"absent", "absent_over_time", "present_over_time", "count_over_time"}
_SETS = {"and", "or", "unless"}
_COMPARED = {"==", "!=", ">", "<", ">=", "<="}


@dataclass(frozen=True, slots=True)
class Shape:
    """
    What an expression returns.

    Attributes:
        labels: those of each series; None of a number.
        aggregated: whether the labels are chosen, and not those of whatever there is.
        grows: whether it is a counter's raw value.
        buckets: whether `le` distinguishes the buckets of a histogram.
    """

    labels: frozenset[str] | None = None
    aggregated: bool = True
    grows: bool = False
    buckets: bool = False


@dataclass
class Held:
    """
    Reads expressions, and notes what is wrong with them.

    Args:
        recorded: the labels of each recording rule, by its full name.
    """

    namespace: str
    recorded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @cached_property
    def _series(self) -> dict[str, ExposedSeries]:
        return {**series_of(FAMILIES, f"{self.namespace}_"), **series_of(FOREIGN, "")}

    def read(self, expression: str) -> Shape:
        """Return the shape of an expression; `problems` has what is wrong."""
        shape = self._of(promql.parse(expression))
        self._expect(not shape.grows, "the value of a counter says nothing without rate")
        self._expect(not shape.buckets, "le is left over")
        return shape

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)

    def _of(self, node: object) -> Shape:
        match node:
            case promql.ParenExpr() | promql.UnaryExpr():
                return self._of(node.expr)
            case promql.NumberLiteral() | promql.StringLiteral():
                return Shape()
            case promql.VectorSelector():
                return self._selected(node)
            case promql.AggregateExpr():
                return self._aggregated(node)
            case promql.Call():
                return self._called(node)
            case promql.BinaryExpr():
                return self._joined(node)
        self.problems.append(f"{type(node).__name__} is not expected")
        return Shape()

    def _selected(self, node: promql.VectorSelector) -> Shape:
        name = node.name or ""
        if name in self.recorded:
            shape = Shape(self.recorded[name])
        else:
            known = self._series.get(name)
            if known is None:
                self.problems.append(f"no family has the series {name}")
                return Shape(frozenset(TARGET_LABELS))
            labels = known.labels | set(TARGET_LABELS)
            shape = Shape(labels, aggregated=False, grows=known.grows, buckets="le" in known.labels)
        matchers = node.matchers.matchers
        self._expect(any(matcher.name == "job" for matcher in matchers), f"{name} of any job")
        for matcher in matchers:
            self._expect(matcher.name in (shape.labels or ()), f"{name} has no label {matcher.name}")
            if matcher.name == "le":
                whole = matcher.op == promql.MatchOp.Equal and float(matcher.value).is_integer()
                self._expect(not whole, f"Prometheus 2 and 3 write le={matcher.value} differently")
        if any(matcher.name == "le" for matcher in matchers):
            return Shape((shape.labels or frozenset()) - {"le"}, aggregated=False, grows=shape.grows)
        return shape

    def _aggregated(self, node: promql.AggregateExpr) -> Shape:
        inner = self._of(node.expr)
        self._expect(not inner.grows, f"{node.op} of a counter, before its rate")
        by = frozenset(node.modifier.labels) if node.modifier else frozenset()
        self._expect("without" not in str(node.modifier), "`without` keeps labels that are not named")
        self._expect(by <= (inner.labels or frozenset()), f"{node.op} by {sorted(by - (inner.labels or frozenset()))}")
        return Shape(by, buckets=inner.buckets and "le" in by)

    def _called(self, node: promql.Call) -> Shape:
        name = node.func.name
        if name == "histogram_quantile":
            inner = self._of(node.args[1])
            self._expect(inner.buckets, "a quantile of what has no le")
            self._expect(inner.aggregated, "a quantile of each series by itself")
            return Shape((inner.labels or frozenset()) - {"le"})
        if name in ("time", "vector", "scalar"):
            return Shape()
        shapes = [
            self._of(argument.vector_selector if isinstance(argument, promql.MatrixSelector) else argument)
            for argument in node.args
        ]
        inner = next((shape for shape in shapes if shape.labels is not None), Shape())
        if name in OF_COUNTERS:
            self._expect(inner.grows, f"{name} of what is not a counter")
        elif name in _OF_GAUGES:
            self._expect(not inner.grows, f"{name} of a counter")
        elif name in _OF_ALL:
            return Shape(frozenset({"job"}) if name == "absent" else inner.labels, aggregated=False)
        else:
            self.problems.append(f"{name} is a function that this checker does not know")
        return Shape(inner.labels, aggregated=inner.aggregated, buckets=inner.buckets)

    def _joined(self, node: promql.BinaryExpr) -> Shape:
        op, left, right = str(node.op), self._of(node.lhs), self._of(node.rhs)
        self._expect(not left.grows and not (right.grows and op not in _SETS), f"{op} of a counter, before its rate")
        if left.labels is None or right.labels is None:
            return right if left.labels is None else left
        matching = node.modifier.matching if node.modifier else None
        if matching is None:
            self._expect(left.labels == right.labels, f"{op} between {sorted(left.labels)} and {sorted(right.labels)}")
            if op not in _SETS | _COMPARED:
                self._expect(left.aggregated and right.aggregated, f"{op} without an aggregation on both sides")
        else:
            on = frozenset(matching.labels)
            self._expect(on <= left.labels, f"{op} on {sorted(on - left.labels)}, which the left side has not")
            self._expect(on <= right.labels, f"{op} on {sorted(on - right.labels)}, which the right side has not")
        return Shape(left.labels, aggregated=left.aggregated, buckets=left.buckets)


def problems(
    expression: str, namespace: str, recorded: Mapping[str, frozenset[str]] | None = None
) -> tuple[list[str], Shape]:
    """Return the problems of an expression, and the shape of its result."""
    held = Held(namespace, recorded or {})
    shape = held.read(expression)
    return held.problems, shape
