"""Rule files, boards and Alertmanager's configuration: for each check one with the fault, and one without."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import divan_obs_asgi
from tests.checks.asked import findings, ids, invoke

ASSETS = Path(divan_obs_asgi.__file__).parent / "ops_assets"
HTTP = "divan_http_request"
BUCKETS = f"{HTTP}_duration_seconds_bucket"
EXPRESSIONS = [
    ("obs.E050", f"rate({HTTP}_total[5m])", f"rate({HTTP}s_total[5m])"),
    ("obs.E050", f"rate({HTTP}s[5m])", "rate(shop_request_total[5m])"),
    ("obs.E050", "rate(divan_redis_latency_seconds_bucket[5m])", "rate(divan_redis_latency_seconds_sum[5m])"),
    ("obs.W051", "divan_coffees_total", "shop_coffees_total"),
    ("obs.W051", "divan:coffees:rate5m", "divan:http_errors:ratio_rate5m"),
    ("obs.E052", "rate(divan_redis_up[5m])", "min_over_time(divan_redis_up[5m])"),
    ("obs.E052", "sum(increase(divan_jobs_last_success_timestamp_seconds[1h]))", "up == 0"),
    ("obs.E052", "rate(divan_redis_up[5m:1m])", "rate(max(divan_redis_up)[5m:1m])"),
    ("obs.E053", f'rate({BUCKETS}{{le="0.35"}}[5m])', f'rate({BUCKETS}{{le="0.4"}}[5m])'),
    ("obs.W054", f'rate({HTTP}s_total{{code="500"}}[5m])', f'rate({HTTP}s_total{{status="500",cluster="eu"}}[5m])'),
    ("obs.W054", f"sum by (path) (rate({HTTP}s_total[5m]))", f"sum by (route, job) (rate({HTTP}s_total[5m]))"),
    ("obs.W054", f"rate({HTTP}s_total[5m]) / on (path) rate({HTTP}s_total[5m])",
     f"rate({HTTP}s_total[5m]) / on (route) rate({HTTP}s_total[5m]) * ignoring (path) rate({HTTP}s_total[5m])"),
    ("obs.E055", f"sum(rate({HTTP}s_total[5m])", f"sum(rate({HTTP}s_total[5m]))"),
]  # fmt: skip


def rules(folder: Path, *expressions: str) -> str:
    """Write a rule file; JSON is YAML."""
    listed = [{"alert": f"Alert{number}", "expr": expr} for number, expr in enumerate(expressions)]
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "shop", "rules": listed}]}))
    return str(folder / "rules.yml")


def boards(folder: Path, expression: str, datasource: str = "prometheus") -> str:
    """Write a board whose panel is in a row."""
    target = {"expr": expression, "datasource": {"type": datasource, "uid": "x"}}
    panel = {"title": "Requests", "targets": [target]}
    (folder / "boards").mkdir(exist_ok=True)
    (folder / "boards" / "board.json").write_text(json.dumps({"panels": [{"type": "row", "panels": [panel]}]}))
    return str(folder / "boards")


@pytest.mark.parametrize(("id", "faulty", "fine"), EXPRESSIONS)
def test_a_fault_of_an_expression_is_found(id: str, faulty: str, fine: str, tmp_path: Path) -> None:
    """In a rule and in a board."""
    assert ids("--rules", rules(tmp_path, faulty)) == {id}
    assert ids("--dashboards", boards(tmp_path, faulty)) == {id}
    assert ids("--rules", rules(tmp_path, fine), "--dashboards", boards(tmp_path, fine)) == set()


def test_a_finding_names_the_file_and_the_alert(tmp_path: Path) -> None:
    file = rules(tmp_path, "rate(divan_redis_up[5m])")
    (finding,) = findings("--rules", file)
    assert finding["file"] == file
    assert finding["message"] == "Alert0: divan_redis_up is a gauge; it has no rate."


def test_a_file_for_another_namespace_is_noticed(tmp_path: Path) -> None:
    """A warning: another service may have that one."""
    file = rules(tmp_path, "rate(divan_http_requests_total[5m])", "divan:http_errors:ratio_rate5m")
    (first, second) = findings("--rules", file, environ={"OBS_NAMESPACE": "shop"})
    assert (first["id"], second["id"]) == ("obs.W051", "obs.W051")
    assert first["message"].endswith("does not belong to this service; did you mean shop_http_requests_total?")


def test_variables_of_grafana_are_no_fault(tmp_path: Path) -> None:
    """As durations, in strings, and where PromQL has none."""
    for expr in (
        f'sum by (route) (rate({HTTP}s_total{{job=~"$job"}}[$__rate_interval]))',
        f"sum by ($by) (rate({HTTP}s_total[${{window}}]))",
        "max_over_time(divan_redis_up[1h:$__interval])",
    ):
        assert ids("--dashboards", boards(tmp_path, expr)) == set()


def test_the_language_of_loki_is_not_judged(tmp_path: Path) -> None:
    assert ids("--dashboards", boards(tmp_path, '{app="shop"} |= "error" | json', "loki")) == set()


def test_what_a_rule_records_is_there(tmp_path: Path) -> None:
    recording = {"record": "divan:coffees:rate5m", "expr": "rate(shop_coffees_total[5m])"}
    alert = {"alert": "NoCoffee", "expr": "divan:coffees:rate5m == 0"}
    rule_file = {"apiVersion": "monitoring.coreos.com/v1", "spec": {"groups": [{"rules": [recording, alert]}]}}
    (tmp_path / "crd.yml").write_text(json.dumps(rule_file))
    assert ids("--rules", str(tmp_path / "crd.yml")) == set()


def test_our_own_files_have_no_fault() -> None:
    """As they are exported: only the receivers of the alerts are placeholders."""
    arguments = ["--rules", str(ASSETS / "prometheus" / "rules-phase8.yml")]
    arguments += ["--rules", str(ASSETS / "kubernetes" / "prometheusrule.yml")]
    arguments += ["--dashboards", str(ASSETS / "grafana" / "dashboards")]
    arguments += ["--alertmanager", str(ASSETS / "alertmanager" / "alertmanager.yml")]
    assert ids(*arguments) == {"obs.W058"}


CALLS = {"name": "calls", "webhook_configs": [{"url": "https://calls.shop.io/"}]}
FILES_TICKETS = {"name": "tickets", "webhook_configs": [{"url": "https://tickets.shop.io/"}]}
NOWHERE = {"name": "calls", "webhook_configs": [{"url": "http://page.invalid/"}]}
EMPTY = {"name": "nobody"}
PAGE = {"receiver": "calls", "matchers": ['severity="page"']}
FINE = {"route": {"receiver": "tickets", "routes": [PAGE]}, "receivers": [CALLS, FILES_TICKETS]}
OLD = {"receiver": "calls", "match_re": {"severity": "page|critical"}}
TEAMS = {"receiver": "tickets", "matchers": ['{team="shop", severity=~"page|critical"}'], "continue": True}


@pytest.mark.parametrize(
    ("id", "faulty", "fine"),
    [
        ("obs.E056", {"route": {"receiver": "nobody", "routes": []}, "receivers": [EMPTY]}, FINE),
        ("obs.E056", {"route": {"receiver": "tickets", "routes": [PAGE]}, "receivers": [FILES_TICKETS]}, FINE),
        ("obs.W057", {"route": {"receiver": "calls"}, "receivers": [CALLS]}, FINE),
        ("obs.W057", {"route": {"receiver": "tickets", "routes": [{**PAGE, "matchers": ["severity=paging"]}]},
                      "receivers": [CALLS, FILES_TICKETS]},
         {"route": {"receiver": "tickets", "routes": [TEAMS, OLD]}, "receivers": [CALLS, FILES_TICKETS]}),
        ("obs.W058", {**FINE, "receivers": [NOWHERE]}, FINE),
    ],
)  # fmt: skip
def test_a_page_reaches_somebody(id: str, faulty: object, fine: object, tmp_path: Path) -> None:
    for config, expected in ((faulty, True), (fine, False)):
        (tmp_path / "alertmanager.yml").write_text(json.dumps(config))
        assert (id in ids("--alertmanager", str(tmp_path / "alertmanager.yml"))) is expected


@pytest.mark.parametrize(
    ("option", "text", "told"),
    [
        ("--rules", "groups: [", "is not YAML: line 1."),
        ("--rules", "a: 1", "has no rules; expected a Prometheus rule file, or a PrometheusRule."),
        ("--rules", None, "cannot be read: No such file or directory."),
        (
            "--rules",
            "groups: [null, {rules: [1]}]",
            "has no rules; expected a Prometheus rule file, or a PrometheusRule.",
        ),
        ("--alertmanager", "route: {routes: [1]}", "has a route or a receiver that Alertmanager cannot read."),
        ("--alertmanager", "route: {}\nreceivers: [1]", "has a route or a receiver that Alertmanager cannot read."),
        ("--alertmanager", "a: 1", "has no route; expected an Alertmanager configuration."),
        ("--dashboards", "", "is not a directory."),
        ("--rules", "at: 2026-99-99", "is not YAML."),
        ("--rules", "[" * 5000, "is nested too deeply."),
    ],
)
def test_what_cannot_be_read_is_status_two(option: str, text: str | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yml"
    if text is not None:
        file.write_text(text)
    result = invoke(option, str(file))
    assert (result.exit_code, result.stderr) == (2, f"Error: {file} {told}\n")


@pytest.mark.parametrize(("text", "told"), [("{", "is not JSON."), ("[" * 100_000, "is nested too deeply.")])
def test_a_board_that_cannot_be_read_is_status_two(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "board.json").write_text(text)
    result = invoke("--dashboards", str(tmp_path))
    assert (result.exit_code, result.stderr) == (2, f"Error: {tmp_path / 'board.json'} {told}\n")


@pytest.mark.parametrize("module", ["yaml", "promql_parser"])
def test_without_the_extra_it_says_what_to_install(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = invoke("--rules", rules(tmp_path, "up"))
    expected = "Error: Checks of files need the extra check: pip install 'divan-obs-asgi[check]'.\n"
    assert (result.exit_code, result.stderr) == (2, expected)
