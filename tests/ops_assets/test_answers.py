"""The results of panels, evaluated by promtool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from divan_obs_asgi.ops_assets.dashboards import all_boards
from divan_obs_asgi.ops_assets.files import files
from divan_obs_asgi.ops_assets.parameters import Parameters
from tests.ops_assets.promtool import Expected, run
from tests.ops_assets.worlds import World, content_is_seen, flat, grows, latency, share, slow_share, traffic
from tests.servers.promtool import promtools

RULES = files(Parameters())["prometheus/rules-phase8.yml"]


def asked(title: str, at: int = 0) -> str:
    """Return a query of a panel, for all jobs and instances."""
    queries = {panel.title: panel.queries for board in all_boards(Parameters()) for panel in board.panels}
    expr = queries[title][at].expr.replace("$__rate_interval", "5m").replace("$__range", "1h")
    return expr.replace('"$job"', '".+"').replace('"$instance"', '".+"')


def rounded(title: str, at: int = 0) -> str:
    return f"round(sum({asked(title, at)}), 0.001)"


def how_many(title: str, at: int = 0) -> str:
    return f"count({asked(title, at)}) or vector(0)"


FAILED_BUDGET = "How much of the error budget is left?"
SLOW_BUDGET = "How much of the latency budget is left?"
FAILED_BURN = "How fast is the error budget burned?"
IN_TIME = "How many page loads have a good LCP?"
BOTH: World = {**share(2, 90, 1), **slow_share(5, 90, 1)}

ANSWERS: list[tuple[str, World, dict[str, float]]] = [
    # 2 % where 0.1 % are allowed, 5 % where 1 % is.
    (
        "both budgets are overspent",
        BOTH,
        {
            rounded(FAILED_BURN): 20,
            rounded(FAILED_BURN, 3): 20,
            rounded(FAILED_BUDGET): -19,
            rounded(SLOW_BUDGET): -4,
            rounded("How many requests succeeded?"): 0.98,
            rounded("How many requests were fast enough?"): 0.95,
            rounded("How many requests fail?"): 0.02,
            rounded("Which routes fail?"): 1200,
            rounded("Which routes fail?", 1): 0.02,
            # The threshold is where the buckets begin to differ: 95 % take up to 0.4 s.
            rounded("How high is the p95 latency?"): 0.4,
            rounded("Is the cause the service or a dependency?"): 1,
        },
    ),
    (
        "one in ten fails",
        share(10, 90, 1),
        {rounded("Is the cause the service or a dependency?"): 0, rounded("How many requests fail?"): 0.1},
    ),
    (
        "no series of failures",
        dict([*share(0, 90, 1).items()][:1]),
        {
            rounded(FAILED_BUDGET): 1,
            rounded("How many requests succeeded?"): 1,
            how_many("Which routes fail?"): 0,
        },
    ),
    # Neither 0 % nor 100 %, and no NaN.
    (
        "no requests",
        {**traffic(flat(7, 61), flat(7, 61)), **latency(flat(7, 61), flat(9, 61))},
        {
            how_many(title): 0
            for title in (
                FAILED_BUDGET,
                SLOW_BUDGET,
                "How many requests fail?",
                "How high is the p95 latency?",
                "Which routes are slow?",
                "Which routes fail?",
                "Is the cause the service or a dependency?",
            )
        },
    ),
    (
        "three of four pages are good",
        content_is_seen(grows(0, 75, 61), grows(0, 100, 61)),
        {
            rounded(IN_TIME): 0.75,
            rounded("Which routes show their content late (LCP)?"): 2.5,
            rounded("Which pages are slow?"): 2.5,
        },
    ),
    ("no page is good", content_is_seen(flat(0, 61), grows(0, 100, 61)), {rounded(IN_TIME): 0}),
    (
        "no page is measured",
        content_is_seen(flat(7, 61), flat(9, 61)),
        {
            how_many(title): 0
            for title in (IN_TIME, "Which routes show their content late (LCP)?", "Which pages are slow?")
        },
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("promtool", promtools())
def test_panels_show_what_happened(promtool: Callable[[], str], tmp_path: Path) -> None:
    """Shares, budgets and percentiles are correct; without requests there is no result."""
    tests = [
        Expected(name, RULES, world, {(60, expr): number for expr, number in numbers.items()})
        for name, world, numbers in ANSWERS
    ]
    assert run(promtool(), tests, tmp_path, Parameters()) == {}
