"""The parameters of an export, and the errors for invalid ones."""

from __future__ import annotations

from typing import Any

import pytest

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.ops_assets.files import warnings
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"namespace": "9lives"}, "namespace is '9lives'; expected lower case letters, digits and _, like 'shop'."),
    ({"namespace": "a:b"}, "namespace is 'a:b'; expected lower case letters, digits and _, like 'shop'."),
    ({"job": ""}, "job is ''; expected the name of a scrape job in Prometheus."),
    ({"objective": 100}, "objective is 100; expected a percentage between 0 and 100, like 99.9."),
    (
        {"latency_objective": float("nan")},
        "latency_objective is nan; expected a percentage between 0 and 100, like 99.9.",
    ),
    (
        {"latency_threshold": 0.35},
        "latency_threshold is 0.35; expected an edge of the latency histogram:"
        " 0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5, 1, 2.5, 5.",
    ),
    ({"job_max_age": 0}, "job_max_age is 0; expected at least 1 second."),
    ({"runbook_url": ""}, "runbook_url is ''; expected an address like https://example.com/path."),
    (
        {"dashboard_url": "javascript:alert(1)"},
        "dashboard_url is 'javascript:alert(1)'; expected an address like https://example.com/path.",
    ),
    ({"trace_url": "http://x\n"}, "trace_url is 'http://x\\n'; expected an address like https://example.com/path."),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_an_error_says_what_was_expected(arguments: dict[str, Any], message: str) -> None:
    """The error for an invalid threshold lists the buckets."""
    with pytest.raises(ImproperlyConfigured) as raised:
        Parameters(**arguments)
    assert str(raised.value) == message


def test_all_errors_are_reported_at_once() -> None:
    """One exception names each invalid parameter."""
    with pytest.raises(ImproperlyConfigured) as raised:
        Parameters(namespace="", objective=0, latency_threshold=7)
    assert [line.split()[0] for line in str(raised.value).splitlines()] == [
        "namespace",
        "objective",
        "latency_threshold",
    ]


def keys(parameters: Parameters, name: str) -> list[str]:
    return [alert.key for alert in rules(parameters).alerts if alert.name == name]


def test_an_alert_that_cannot_fire_is_left_out_with_a_warning() -> None:
    """With 90 % and a burn rate of 14.4, 144 % of the requests would have to fail."""
    parameters = Parameters(objective=90, latency_objective=80)
    assert keys(parameters, "ErrorBudgetBurn") == ["ErrorBudgetBurn/6h", "ErrorBudgetBurn/1d", "ErrorBudgetBurn/3d"]
    assert keys(parameters, "LatencyBudgetBurn") == ["LatencyBudgetBurn/1d", "LatencyBudgetBurn/3d"]
    assert warnings(parameters) == (
        "ErrorBudgetBurn over 1h is left out: with an objective of 90 % it fires only if 144 % of the requests failed.",
        "LatencyBudgetBurn over 1h is left out: with a latency objective of 80 % it fires only if 288 % of the"
        " requests took longer than 400 ms.",
        "LatencyBudgetBurn over 6h is left out: with a latency objective of 80 % it fires only if 120 % of the"
        " requests took longer than 400 ms.",
    )


def test_an_alert_at_the_limit_is_left_out() -> None:
    """A ratio is never above 1, so an alert with a threshold of 1 cannot fire."""
    assert "ErrorBudgetBurn/6h" in keys(Parameters(objective=83.4), "ErrorBudgetBurn")
    assert "ErrorBudgetBurn/1d" in keys(Parameters(objective=66.7), "ErrorBudgetBurn")
    assert "ErrorBudgetBurn/1d" not in keys(Parameters(objective=66.6), "ErrorBudgetBurn")
    # 6 * (1 - 0.75) is 1.5, 1 * (1 - 0.001) is below 1.
    assert keys(Parameters(objective=0.1), "ErrorBudgetBurn") == ["ErrorBudgetBurn/3d"]
    assert warnings(Parameters()) == ()


def test_links_follow_the_parameters() -> None:
    """A runbook is named after its alert, a dashboard after its file and the namespace."""
    parameters = Parameters(
        namespace="acme",
        job="shop api",
        runbook_url="https://wiki.example/run/",
        dashboard_url="https://grafana.example/d",
    )
    assert parameters.runbook("RedisDown") == "https://wiki.example/run/RedisDown.md"
    assert parameters.dashboard("slo") == "https://grafana.example/d/acme-slo?var-job=shop%20api"
