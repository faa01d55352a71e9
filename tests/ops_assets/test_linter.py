"""Every dashboard passes all 17 rules of Grafana's dashboard-linter."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from divan_obs_asgi.ops_assets.dashboards import boards
from divan_obs_asgi.ops_assets.parameters import Parameters
from tests.ops_assets.linter import RULES, Json, broken
from tests.ops_assets.test_expressions import CHOICES, NAMES

OVERVIEW = boards(Parameters())["backend-overview"]
SELECTED = '{job=~"$job",instance=~"$instance"}'


@pytest.mark.parametrize("parameters", CHOICES, ids=NAMES)
def test_every_board_passes_every_rule(parameters: Parameters) -> None:
    """With every set of parameters."""
    assert {name: found for name, board in boards(parameters).items() if (found := broken(board))} == {}


def variable(name: str, **other: object) -> Callable[[Json], None]:
    """Return a function that changes a variable."""

    def change(board: Json) -> None:
        next(one for one in board["templating"]["list"] if one["name"] == name).update(other)

    return change


def panel(**other: object) -> Callable[[Json], None]:
    """Return a function that changes a panel, a stat with one query and no mappings."""
    return lambda board: board["panels"][1].update(other)


def expression(expr: str) -> Callable[[Json], None]:
    """Return a function that changes a query."""
    return lambda board: board["panels"][1]["targets"][0].update(expr=expr)


def unit(name: str) -> Callable[[Json], None]:
    return lambda board: board["panels"][1]["fieldConfig"]["defaults"].update(unit=name)


def logs(expr: str) -> Callable[[Json], None]:
    """Return a function that makes a dashboard of log queries, with one different query."""

    def change(board: Json) -> None:
        variable("datasource", query="loki")(board)
        for shown in board["panels"]:
            for target in shown["targets"]:
                target["expr"] = 'sum(rate({app="divan"} |= "a)" [$__auto]))'
        expression(expr)(board)

    return change


FAULTS: list[tuple[str, Callable[[Json], None]]] = [
    ("template-datasource-rule", variable("datasource", label="Prometheus")),
    ("template-job-rule", variable("job", multi=False)),
    ("template-job-rule", variable("job", allValue=".*")),
    ("template-job-rule", variable("job", label="Service")),
    ("template-job-rule", variable("job", datasource={"type": "prometheus", "uid": "P1"})),
    ("template-instance-rule", variable("instance", allValue="")),
    ("template-label-promql-rule", variable("job", query={"query": "label_values(a b, job)", "refId": "job"})),
    ("template-label-promql-rule", variable("job", query={"query": "values(up, job)", "refId": "job"})),
    ("template-on-time-change-reload-rule", variable("instance", refresh=1)),
    ("panel-datasource-rule", panel(datasource={"type": "prometheus", "uid": "${DS_PROMETHEUS}"})),
    ("panel-title-description-rule", panel(description="")),
    ("panel-title-description-rule", panel(title="")),
    ("panel-units-rule", unit("furlongs")),
    ("panel-units-rule", unit("")),
    ("panel-no-targets-rule", panel(targets=[])),
    ("target-logql-rule", logs('{app="divan"')),
    ("target-logql-auto-rule", logs('sum(rate({app="divan"}[5m]))')),
    ("target-promql-rule", expression(f"sum(rate(a{SELECTED}[$__rate_interval])")),
    ("target-promql-rule", expression("")),
    ("target-rate-interval-rule", expression(f"sum(rate(a{SELECTED}[1m]))")),
    ("target-rate-interval-rule", expression(f"sum(irate(a{SELECTED}[$__range]))")),
    ("target-job-rule", expression('up{job="divan",instance=~"$instance"}')),
    ("target-job-rule", expression(f'up{SELECTED} * on (instance) up{{instance=~"$instance"}}')),
    ("target-instance-rule", expression('up{job=~"$job"}')),
    ("target-counter-agg-rule", expression(f"sum(a_total{SELECTED})")),
    ("target-counter-agg-rule", expression(f"delta(a_total{SELECTED}[$__rate_interval])")),
    ("uneditable-dashboard", lambda board: board.update(editable=True)),
]


@pytest.mark.parametrize(("rule", "change"), FAULTS, ids=[rule for rule, _ in FAULTS])
def test_a_faulty_dashboard_breaks_exactly_one_rule(rule: str, change: Callable[[Json], None]) -> None:
    """Each rule finds only its own fault."""
    board = copy.deepcopy(OVERVIEW)
    change(board)
    assert list(broken(board)) == [rule]


def test_every_rule_has_a_board_that_breaks_it() -> None:
    """All 17 rules are tested."""
    assert len(RULES) == 17
    assert {rule for rule, _ in FAULTS} == set(RULES)


@pytest.mark.parametrize("expr", ['{app="divan"} |= "}"', 'sum by (level) (count_over_time({app="divan"}[$__auto]))'])
def test_a_board_of_logs_can_pass(expr: str) -> None:
    """The rules for logs accept valid queries."""
    board = copy.deepcopy(OVERVIEW)
    logs(expr)(board)
    assert broken(board) == {}


def test_a_missing_variable_for_the_data_source_is_found() -> None:
    """Then no panel uses the selected data source either."""
    board = copy.deepcopy(OVERVIEW)
    board["templating"]["list"] = board["templating"]["list"][1:]
    assert set(broken(board)) == {"template-datasource-rule", "panel-datasource-rule"}
