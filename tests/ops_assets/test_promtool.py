"""`promtool check rules` accepts the rules, with several sets of parameters."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.resources import as_file
from importlib.resources import files as resources
from pathlib import Path

import pytest

from divan_obs_asgi.ops_assets.dashboards import all_boards
from divan_obs_asgi.ops_assets.files import files
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.yaml_text import Value, dump
from tests.servers.promtool import promtools

RULES = "prometheus/rules-phase8.yml"
CHOICES = {
    "acme": Parameters("acme", "shop", 99.5, 95.0, 0.3),
    "whole edge": Parameters(latency_threshold=1.0),
    "low": Parameters(objective=70, latency_objective=50),
    "strange job": Parameters(job='a "b" \\ {c} $d', job_max_age=90),
}


def check(promtool: str, path: Path) -> tuple[int, str]:
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("promtool", promtools())
def test_the_committed_rules_can_be_loaded(promtool: Callable[[], str]) -> None:
    """This is the file in the wheel."""
    with as_file(resources("divan_obs_asgi.ops_assets") / RULES) as path:
        code, said = check(promtool(), path)
    assert code == 0, said
    assert "57 rules found" in said


@pytest.mark.parametrize("promtool", promtools())
@pytest.mark.parametrize("parameters", CHOICES.values(), ids=CHOICES)
def test_rules_with_other_parameters_can_be_loaded(
    promtool: Callable[[], str], parameters: Parameters, tmp_path: Path
) -> None:
    """With every set of parameters."""
    path = tmp_path / "rules.yml"
    path.write_text(files(parameters)[RULES])
    code, said = check(promtool(), path)
    assert code == 0, said


@pytest.mark.parametrize("promtool", promtools())
def test_prometheus_reads_every_query_of_a_dashboard(promtool: Callable[[], str], tmp_path: Path) -> None:
    """As rules, which it checks: the oldest supported one has fewer functions than the parser of the other tests."""
    queries = [
        query.expr.replace("$__rate_interval", "1m").replace("$__range", "1h")
        for board in all_boards(Parameters())
        for panel in board.panels
        for query in panel.queries
    ]
    records: list[Value] = [{"record": f"query:{at}", "expr": query} for at, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(dump({"groups": [{"name": "dashboards", "rules": records}]}))
    code, said = check(promtool(), path)
    assert code == 0, said
    assert f"{len(queries)} rules found" in said
