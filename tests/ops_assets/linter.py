"""
The 17 rules of Grafana's dashboard-linter (github.com/grafana/dashboard-linter), which is written in Go.

The linter skips panel types that it does not know; these rules check all panels. A rule yields the problems.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import promql_parser as promql

Json: TypeAlias = dict[str, Any]
Rule: TypeAlias = Callable[[Json], Iterator[str]]

RULES: dict[str, Rule] = {}

# Unusual durations, so that a range can be recognized after its variable was replaced.
_RATE_INTERVAL = timedelta(milliseconds=8_869_997)
_VARIABLES = {
    "__rate_interval": "8869997ms",
    "__interval": "4867851ms",
    "__range": "6069779ms",
    "__range_s": "6069",
    "__auto": "12345ms",
}
# The units of Grafana that a service can need.
_UNITS = frozenset({
    "none", "string", "short", "percent", "percentunit", "bytes", "decbytes", "bits", "Bps", "binBps", "bps",
    "pps", "ns", "µs", "ms", "s", "m", "h", "d", "dtdurations", "dateTimeAsIso", "hertz", "cps", "ops", "reqps",
    "rps", "wps", "iops", "cpm", "opm", "rpm", "wpm", "bool", "bool_yes_no", "bool_on_off",
})  # fmt: skip
_IN_USE = ("$datasource", "${datasource}", "$prometheus_datasource", "${prometheus_datasource}")


def rule(name: str) -> Callable[[Rule], Rule]:
    """Register a rule under its name in dashboard-linter."""

    def add(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return add


def broken(board: Json) -> dict[str, list[str]]:
    """Return the problems of a dashboard, by rule."""
    return {name: found for name, check in RULES.items() if (found := list(check(board)))}


def variables(board: Json, kind: str) -> list[Json]:
    return [variable for variable in board["templating"]["list"] if variable["type"] == kind]


def source_kind(board: Json) -> str:
    """Return the type of the first data source variable: prometheus or loki."""
    sources = variables(board, "datasource")
    return str(sources[0]["query"]) if sources else ""


def targets(board: Json) -> Iterator[Json]:
    yield from (target for panel in board["panels"] for target in panel.get("targets", []))


def expanded(expression: str) -> str:
    """Replace variables outside quotes, where they are not valid PromQL."""
    parts = expression.split('"')
    for at in range(0, len(parts), 2):
        parts[at] = re.sub(
            r"\$(\w+)|\$\{(\w+)[^}]*\}",
            lambda found: _VARIABLES.get(found[1] or found[2], found[1] or found[2]),
            parts[at],
        )
    return '"'.join(parts)


def parsed(expression: str) -> promql.Expr | None:
    """Return the tree of an expression, or None if it is invalid, which another rule reports."""
    try:
        return promql.parse(expanded(expression))
    except ValueError:
        return None


def nodes(node: Any, *parents: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield a node and all its descendants, each with its ancestors, the nearest first."""
    yield node, parents
    below = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    for child in [*below, *getattr(node, "args", [])]:
        if child is not None:
            yield from nodes(child, node, *parents)


def trees(board: Json) -> Iterator[tuple[Json, promql.Expr]]:
    for target in targets(board):
        if (tree := parsed(target["expr"])) is not None:
            yield target, tree


@rule("template-datasource-rule")
def template_datasource(board: Json) -> Iterator[str]:
    """The data source is a variable with the usual name and label."""
    sources = variables(board, "datasource")
    if not sources:
        yield "no variable for the data source"
    for source in sources:
        kind = source["query"]
        names, labels = {f"{kind}_datasource"}, {f"{kind.title()} data source"}
        if len(sources) == 1:
            names, labels = names | {"datasource"}, labels | {"Data source"}
        if source["name"] not in names:
            yield f"the data source is called {source['name']}"
        if source.get("label") not in labels:
            yield f"the data source is labelled {source.get('label')}"


def _template(board: Json, name: str) -> Iterator[str]:
    if source_kind(board) != "prometheus":
        return
    variable = next((one for one in board["templating"]["list"] if one["name"] == name), None)
    if variable is None:
        yield f"no variable {name}"
        return
    if variable.get("datasource", {}).get("uid") not in _IN_USE:
        yield f"{name} does not ask the data source that is chosen"
    if variable["type"] != "query":
        yield f"{name} is not a query"
    if variable.get("label") != name.title():
        yield f"{name} is labelled {variable.get('label')}"
    if not variable.get("multi"):
        yield f"of {name} one value only can be chosen"
    if variable.get("allValue") != ".+":
        yield f"all of {name} is {variable.get('allValue')}"


@rule("template-job-rule")
def template_job(board: Json) -> Iterator[str]:
    """The job is a variable."""
    yield from _template(board, "job")


@rule("template-instance-rule")
def template_instance(board: Json) -> Iterator[str]:
    """The instance is a variable."""
    yield from _template(board, "instance")


@rule("template-label-promql-rule")
def template_label_promql(board: Json) -> Iterator[str]:
    """The values of a variable come from a function of the data source, with valid PromQL."""
    if source_kind(board) != "prometheus":
        return
    for variable in variables(board, "query"):
        asked = variable["query"]["query"] if isinstance(variable["query"], dict) else variable["query"]
        found = re.fullmatch(r"(label_names|label_values|metrics|query_result)\((.+?)(?:, *\w+)?\)", asked)
        if found is None or parsed(found[2]) is None:
            yield f"{variable['name']} asks for {asked}"


@rule("template-on-time-change-reload-rule")
def template_on_time_change_reload(board: Json) -> Iterator[str]:
    """Variables are refreshed when the time range changes."""
    yield from (f"{one['name']} is not refreshed" for one in variables(board, "query") if one.get("refresh") != 2)


@rule("panel-datasource-rule")
def panel_datasource(board: Json) -> Iterator[str]:
    """Each panel uses the selected data source."""
    names = [source["name"] for source in variables(board, "datasource")]
    uids = {uid for name in names for uid in (f"${name}", f"${{{name}}}")}
    yield from (panel["title"] for panel in board["panels"] if panel["datasource"]["uid"] not in uids)


@rule("panel-title-description-rule")
def panel_title_description(board: Json) -> Iterator[str]:
    """Each panel has a title and a description."""
    for panel in board["panels"]:
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel['id']}"


@rule("panel-units-rule")
def panel_units(board: Json) -> Iterator[str]:
    """Each panel has a known unit, or maps its values to texts."""
    for panel in board["panels"]:
        fields = panel["fieldConfig"]
        of_columns = [one for override in fields["overrides"] for one in override["properties"] if one["id"] == "unit"]
        units = [one["value"] for one in of_columns] or [fields["defaults"].get("unit")]
        if "mappings" not in fields["defaults"] and not _UNITS.issuperset(units):
            yield f"{panel['title']} {units}"


@rule("panel-no-targets-rule")
def panel_no_targets(board: Json) -> Iterator[str]:
    """Each panel has a query."""
    yield from (panel["title"] for panel in board["panels"] if not panel.get("targets"))


def _logql(board: Json) -> Iterator[str]:
    for target in targets(board):
        of_loki = source_kind(board) == "loki" or target["datasource"].get("type") == "loki"
        if of_loki and not target.get("hide"):
            yield target["expr"]


def _is_logql(expression: str) -> bool:
    # There is no parser of LogQL for Python: check for a stream selector and for balanced brackets.
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|`[^`]*`', "", expression)
    while (less := re.sub(r"\([^(){}\[\]]*\)|\{[^(){}\[\]]*\}|\[[^(){}\[\]]*\]", "", bare)) != bare:
        bare = less
    return "{" in expression and not re.search(r"[][(){}\"`]", bare)


@rule("target-logql-rule")
def target_logql(board: Json) -> Iterator[str]:
    """Each log query is valid LogQL."""
    yield from (expression for expression in _logql(board) if not _is_logql(expression))


@rule("target-logql-auto-rule")
def target_logql_auto(board: Json) -> Iterator[str]:
    """The range of a log query follows the resolution of the panel."""
    for expression in _logql(board):
        if _is_logql(expression) and re.search(r"\[\d\w*\]", expression) and "$__auto" not in expression:
            yield expression


@rule("target-promql-rule")
def target_promql(board: Json) -> Iterator[str]:
    """Each query is valid PromQL."""
    if source_kind(board) == "prometheus":
        yield from (target["expr"] for target in targets(board) if parsed(target["expr"]) is None)


@rule("target-rate-interval-rule")
def target_rate_interval(board: Json) -> Iterator[str]:
    """A rate is taken over $__rate_interval: a fixed window is too short at one zoom and too long at another."""
    if source_kind(board) != "prometheus":
        return
    for target, tree in trees(board):
        for node, parents in nodes(tree):
            if isinstance(node, promql.MatrixSelector) and node.range != _RATE_INTERVAL and parents:
                call = parents[0]
                if not isinstance(call, promql.Call) or call.func.name in ("rate", "irate"):
                    yield target["expr"]


def _matcher(board: Json, name: str) -> Iterator[str]:
    if source_kind(board) != "prometheus":
        return
    for target, tree in trees(board):
        for node, _ in nodes(tree):
            if isinstance(node, promql.VectorSelector) and not any(
                (one.name, one.op, one.value) == (name, promql.MatchOp.Re, f"${name}") for one in node.matchers.matchers
            ):
                yield target["expr"]


@rule("target-job-rule")
def target_job(board: Json) -> Iterator[str]:
    """Each query is limited to the selected jobs."""
    yield from _matcher(board, "job")


@rule("target-instance-rule")
def target_instance(board: Json) -> Iterator[str]:
    """Each query is limited to the selected instances."""
    yield from _matcher(board, "instance")


@rule("target-counter-agg-rule")
def target_counter_agg(board: Json) -> Iterator[str]:
    """A counter is used with rate or increase; its plain value depends on the age of the process."""
    for target, tree in trees(board):
        for node, parents in nodes(tree):
            if isinstance(node, promql.VectorSelector) and (node.name or "").endswith("_total"):
                call = parents[1] if len(parents) > 1 and isinstance(parents[0], promql.MatrixSelector) else None
                if not isinstance(call, promql.Call) or call.func.name not in ("rate", "irate", "increase"):
                    yield target["expr"]


@rule("uneditable-dashboard")
def uneditable(board: Json) -> Iterator[str]:
    """A provisioned dashboard is not editable: the next deployment would undo the edits."""
    if board.get("editable", False):
        yield "editable"
