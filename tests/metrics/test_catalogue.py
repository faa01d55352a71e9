"""`divan-obs metrics list`: the catalogue in its three output formats."""

from __future__ import annotations

import orjson
import pytest
from click.testing import CliRunner, Result

from divan_obs_asgi.cli import main as cli
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.metrics.family import DURATION_BUCKETS_S


def listed(*options: str) -> Result:
    return CliRunner().invoke(cli.main, ["metrics", "list", *options])


def test_the_list_has_a_line_for_each_family() -> None:
    """The name with its labels, the type and the help text."""
    lines = listed().output.splitlines()
    assert len(lines) == len(FAMILIES)
    assert lines[0].split(maxsplit=2) == [
        "divan_http_requests_total{route,method,status}",
        "counter",
        "Finished HTTP requests, by route, method and status; status 0: no response was started.",
    ]


def test_json_has_all_properties_of_a_family() -> None:
    """A program can read a histogram's buckets, a gauge's mode and the allowed values of a label."""
    families = {family["name"]: family for family in orjson.loads(listed("--format", "json").output)}
    assert len(families) == len(FAMILIES)
    assert families["divan_http_request_duration_seconds"] == {
        "name": "divan_http_request_duration_seconds",
        "type": "histogram",
        "labels": ["route", "method"],
        "help": "Seconds from the start of an HTTP request to the end of its response; excludes long polls.",
        "changed_by": "MetricsMiddleware",
        "on_request": False,
        "buckets": list(DURATION_BUCKETS_S),
    }
    assert families["divan_probe_up"]["mode"] == "livemin"
    assert families["divan_proximity_queries_total"]["on_request"] is True
    assert "500" in families["divan_proximity_queries_total"]["vocabulary"]["radius"]


def test_markdown_is_a_table() -> None:
    """The documentation includes it; a name between double underscores is not printed in bold."""
    head, rule, *rows = listed("--format", "markdown").output.splitlines()
    assert (head.count("|"), rule.count("|")) == (5, 5)
    assert [row.count("|") for row in rows] == [5] * len(FAMILIES)
    assert any("replaced by `__overflow__`" in row for row in rows)


def test_the_names_follow_the_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are those that a service with the same environment exposes."""
    monkeypatch.setenv("OBS_NAMESPACE", "shop")
    assert all(line.startswith("shop_") for line in listed().output.splitlines())


def test_a_bad_flag_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reports a bad flag as the service does at its start."""
    monkeypatch.setenv("OBS_NAMESPACE", "no name")
    done = listed()
    assert done.exit_code == 1
    assert "OBS_NAMESPACE" in done.output
