"""`divan-obs metrics list`: the catalogue as it is read."""

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
    """Its name with the labels, its type, and what it tells."""
    lines = listed().output.splitlines()
    assert len(lines) == len(FAMILIES)
    assert lines[0].split(maxsplit=2) == [
        "divan_http_requests_total{route,method,status}",
        "counter",
        "HTTP requests, by their end.",
    ]


def test_json_tells_all_of_a_family() -> None:
    """A program finds the buckets of a histogram, the mode of a gauge and the values that a label may take."""
    families = {family["name"]: family for family in orjson.loads(listed("--format", "json").output)}
    assert len(families) == len(FAMILIES)
    assert families["divan_http_request_duration_seconds"] == {
        "name": "divan_http_request_duration_seconds",
        "type": "histogram",
        "labels": ["route", "method"],
        "help": "Seconds from the request to the end of its response.",
        "changed_by": "MetricsMiddleware",
        "buckets": list(DURATION_BUCKETS_S),
    }
    assert families["divan_probe_up"]["mode"] == "livemin"
    assert "500" in families["divan_proximity_queries_total"]["vocabulary"]["radius"]


def test_markdown_is_a_table() -> None:
    """What stands in the README; a name between underscores is not printed bold."""
    head, rule, *rows = listed("--format", "markdown").output.splitlines()
    assert (head.count("|"), rule.count("|")) == (5, 5)
    assert [row.count("|") for row in rows] == [5] * len(FAMILIES)
    assert any("told as `__overflow__`" in row for row in rows)


def test_the_names_follow_the_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they will be scraped from a service with the same environment."""
    monkeypatch.setenv("OBS_NAMESPACE", "shop")
    assert all(line.startswith("shop_") for line in listed().output.splitlines())


def test_a_bad_flag_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the service's start."""
    monkeypatch.setenv("OBS_NAMESPACE", "no name")
    done = listed()
    assert done.exit_code == 1
    assert "OBS_NAMESPACE" in done.output
