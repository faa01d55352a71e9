"""Every expression of the rules uses existing series and is valid."""

from __future__ import annotations

import re

import pytest

from divan_obs_asgi.jobs import RESULTS
from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.metrics.family import Family, Metric
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series
from divan_obs_asgi.ops_assets.rules import Record, rules
from tests.ops_assets.held import problems

DEFAULT = Parameters()
ACME = Parameters("acme", "shop", 99.5, 95.0, 0.3)
WHOLE = Parameters(latency_threshold=1.0)
CHOICES = [DEFAULT, ACME, WHOLE]
NAMES = ["default", "acme", "whole"]


def recorded(parameters: Parameters) -> dict[str, frozenset[str]]:
    """Return the labels of each recording rule."""
    return {
        f"{parameters.namespace}:{rule.name}": problems(rule.expr, parameters.namespace)[1].labels or frozenset()
        for group in rules(parameters).groups
        for rule in group.rules
        if isinstance(rule, Record)
    }


@pytest.mark.parametrize("parameters", CHOICES, ids=NAMES)
def test_every_expression_fits_the_catalogue(parameters: Parameters) -> None:
    """Family, labels and type are right; rate of counters only, sums before they are divided, le kept for quantiles."""
    names = recorded(parameters)
    wrong = {
        str(rule.expr): found
        for group in rules(parameters).groups
        for rule in group.rules
        if (found := problems(rule.expr, parameters.namespace, names)[0])
    }
    assert wrong == {}


@pytest.mark.parametrize("parameters", CHOICES, ids=NAMES)
def test_an_alert_uses_only_labels_of_its_expression(parameters: Parameters) -> None:
    """A missing label would be an empty word in the notification."""
    names = recorded(parameters)
    for alert in rules(parameters).alerts:
        labels = problems(alert.expr, parameters.namespace, names)[1].labels or frozenset()
        used = re.findall(r"\$labels\.(\w+)", alert.summary + alert.description)
        assert "job" in used
        assert set(used) <= labels, alert.key


def test_every_alert_is_complete() -> None:
    """It has a severity, a summary, a description, a runbook and a dashboard."""
    for alert in rules(DEFAULT).alerts:
        assert alert.severity in ("page", "ticket")
        assert alert.summary.endswith(".")
        assert alert.description.endswith(".")
        written = alert.written(DEFAULT)
        assert isinstance(written, dict)
        assert written["annotations"]["runbook_url"].endswith(f"/{alert.name}.md")
        assert "/d/divan-" in written["annotations"]["dashboard_url"]


def test_keys_are_unique() -> None:
    """Alerts with the same name differ by a label."""
    keys = [alert.key for alert in rules(DEFAULT).alerts]
    assert len(keys) == len(set(keys))


def test_results_of_jobs_are_those_that_are_counted() -> None:
    """The alert uses an existing value of `result`."""
    asked = {match for alert in rules(DEFAULT).alerts for match in re.findall(r'result="(\w+)"', alert.expr)}
    assert asked == {"error"} <= set(RESULTS)


HTTP = "divan_http_requests_total"
BROKEN = [
    ('divan_nothing_total{job="a"}', "no family has the series divan_nothing_total"),
    ('sum by (job) (rate(divan_http_requests_total{job="a",code="500"}[5m]))', f"{HTTP} has no label code"),
    ('rate(divan_redis_up{job="a"}[5m])', "rate of what is not a counter"),
    ('deriv(divan_http_requests_total{job="a"}[5m])', "deriv of a counter"),
    ('divan_http_requests_total{job="a"} > 5', "> of a counter, before its rate"),
    ('rate(divan_http_requests_total{job="a",status="500"}[5m]) / rate(divan_http_requests_total{job="a"}[5m])',
     "/ without an aggregation on both sides"),
    (f'sum by (job) (rate({HTTP}{{job="a"}}[5m])) / sum by (job, route) (rate({HTTP}{{job="a"}}[5m]))',
     "/ between ['job'] and ['job', 'route']"),
    ('histogram_quantile(0.95, sum by (job) (rate(divan_http_request_duration_seconds_bucket{job="a"}[5m])))',
     "a quantile of what has no le"),
    ('histogram_quantile(0.95, rate(divan_http_request_duration_seconds_bucket{job="a"}[5m]))',
     "a quantile of each series by itself"),
    ('sum by (job, le) (rate(divan_http_request_duration_seconds_bucket{job="a"}[5m]))', "le is left over"),
    ('sum by (job) (rate(divan_http_request_duration_seconds_bucket{job="a",le="1"}[5m]))',
     "Prometheus 2 and 3 write le=1 differently"),
    ('sum by (job) (divan_http_requests_total{job="a"})', "sum of a counter, before its rate"),
    ('sum by (job, route) (divan_redis_up{job="a"})', "sum by ['route']"),
    ('divan_redis_up', "divan_redis_up of any job"),
    ('divan_redis_latency_seconds_bucket{job="a"}', "no family has the series divan_redis_latency_seconds_bucket"),
    ('divan_redis_up{job="a"} and on (route) divan_draining{job="a"}', "and on ['route'], which the left side has not"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "problem"), BROKEN)
def test_a_mistake_in_an_expression_is_found(expression: str, problem: str) -> None:
    """The checker finds each common mistake of dashboards and rules."""
    assert problem in problems(expression, "divan")[0]


SERIES = Series("divan", "divan")


def test_an_unknown_label_raises_an_error() -> None:
    """It is not only found by a test."""
    with pytest.raises(ValueError, match=r"^http_requests_total has no label code\.$"):
        SERIES.counter(Catalogue.http_requests, code="500")


def test_an_unknown_bucket_raises_an_error() -> None:
    """Prometheus would silently return nothing."""
    with pytest.raises(ValueError, match=r"^http_request_duration_seconds has no edge at 0\.35\.$"):
        SERIES.buckets(Catalogue.http_duration, 0.35)


@pytest.mark.parametrize(
    ("family", "name"),
    [(Catalogue.redis_up, "divan_redis_up"), (Catalogue.http_requests, "divan_http_requests_total")],
)
def test_a_family_is_named_with_its_namespace(family: Family[Metric], name: str) -> None:
    assert SERIES.name(family) == name
