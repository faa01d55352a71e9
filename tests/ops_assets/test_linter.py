"""Every board passes the 17 rules of Grafana's dashboard-linter, without an exception."""

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
    """Whatever a team has chosen."""
    assert {name: found for name, board in boards(parameters).items() if (found := broken(board))} == {}


def variable(name: str, **other: object) -> Callable[[Json], None]:
    """Return what changes a variable."""

    def change(board: Json) -> None:
        next(one for one in board["templating"]["list"] if one["name"] == name).update(other)

    return change


def panel(**other: object) -> Callable[[Json], None]:
    """Return what changes a panel, a stat with one query and no mappings."""
    return lambda board: board["panels"][1].update(other)


def expression(expr: str) -> Callable[[Json], None]:
    """Return what changes a query."""
    return lambda board: board["panels"][1]["targets"][0].update(expr=expr)


def unit(name: str) -> Callable[[Json], None]:
    return lambda board: board["panels"][1]["fieldConfig"]["defaults"].update(unit=name)


def logs(expr: str) -> Callable[[Json], None]:
    """Return what makes the board one of logs, with one query that differs."""

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
def test_a_board_that_breaks_a_rule_breaks_just_that_one(rule: str, change: Callable[[Json], None]) -> None:
    """The rules themselves: each finds its own fault, and no other one."""
    board = copy.deepcopy(OVERVIEW)
    change(board)
    assert list(broken(board)) == [rule]


def test_every_rule_has_a_board_that_breaks_it() -> None:
    """All 17 of them."""
    assert len(RULES) == 17
    assert {rule for rule, _ in FAULTS} == set(RULES)


@pytest.mark.parametrize("expr", ['{app="divan"} |= "}"', 'sum by (level) (count_over_time({app="divan"}[$__auto]))'])
def test_a_board_of_logs_can_pass(expr: str) -> None:
    """The rules for logs let through what is right."""
    board = copy.deepcopy(OVERVIEW)
    logs(expr)(board)
    assert broken(board) == {}


def test_a_board_without_a_data_source_to_choose_is_found() -> None:
    """And then no panel has one that was chosen."""
    board = copy.deepcopy(OVERVIEW)
    board["templating"]["list"] = board["templating"]["list"][1:]
    assert set(broken(board)) == {"template-datasource-rule", "panel-datasource-rule"}
