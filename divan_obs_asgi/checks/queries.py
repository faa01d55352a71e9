"""Checks of the queries in rules and boards."""

from __future__ import annotations

from collections.abc import Iterator

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding
from divan_obs_asgi.checks.promql import Fault, faults, series_of
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.ops_assets.rules.rule import Record


@check("obs.E050", "A rule or a board queries a metric that does not exist.", docs="docs/metrics.md", subject="queries")
def missing_metric(deployment: Deployment) -> Iterator[Finding]:
    hint = "`divan-obs metrics list` prints every family; their names begin with OBS_NAMESPACE."
    yield from _faults(deployment, "slip", hint)
    if deployment.app is not None:
        yield from _faults(deployment, "unknown", f"{hint} The application does not create it either.")


@check("obs.W051", "A rule or a board queries an unknown metric.", docs="docs/metrics.md", subject="queries")
def unknown_metric(deployment: Deployment) -> Iterator[Finding]:
    hint = "Names begin with OBS_NAMESPACE; `divan-obs assets export --namespace` writes files with your namespace."
    yield from _faults(deployment, "namespace", hint)
    if deployment.app is None:
        hint = "If the application creates it, pass --app; if a rule records it, pass the rule file with --rules."
        yield from _faults(deployment, "unknown", hint)


@check("obs.E052", "A rule or a board takes the rate of a gauge.", docs="docs/metrics.md", subject="queries")
def rate_of_gauge(deployment: Deployment) -> Iterator[Finding]:
    yield from _faults(deployment, "gauge", "Use deriv or delta, or a counter.")


@check("obs.E053", "A threshold is not an edge of its histogram.", docs="docs/metrics.md", subject="queries")
def off_edge(deployment: Deployment) -> Iterator[Finding]:
    yield from _faults(deployment, "edge", "Query one of the edges; any other value selects nothing.")


@check(
    "obs.W054",
    "A rule or a board queries a label that the metric does not have.",
    docs="docs/metrics.md",
    subject="queries",
)
def unknown_label(deployment: Deployment) -> Iterator[Finding]:
    yield from _faults(
        deployment, "label", "It selects nothing, unless your Prometheus adds this label to its targets."
    )


@check("obs.E055", "The expression of a rule or a board cannot be parsed.", docs="docs/alerts.md", subject="queries")
def not_promql(deployment: Deployment) -> Iterator[Finding]:
    yield from _faults(deployment, "syntax", "Correct the expression; Prometheus rejects it.")


def _faults(deployment: Deployment, kind: Fault, hint: str) -> Iterator[Finding]:
    assert deployment.queries is not None, "these checks run only with queries"
    namespace = deployment.settings.metrics.namespace
    obs = deployment.app.obs if deployment.app is not None else None
    own = () if obs is None else obs.metrics.families
    series = series_of([*FAMILIES, *own], f"{namespace}_")
    ours = {f"{namespace}:{rule.name}" for rule in _recorded(namespace)}
    recorded = deployment.queries.recorded | ours
    for query in deployment.queries.all:
        for found, message in faults(query.expr, series, recorded, namespace, is_sure=query.is_sure):
            if found == kind:
                yield Finding(f"{query.where}: {message}{'' if message.endswith('?') else '.'}", hint, query.file)


def _recorded(namespace: str) -> Iterator[Record]:
    for group in rules(Parameters(namespace=namespace)).groups:
        yield from (rule for rule in group.rules if isinstance(rule, Record))


__all__ = ["missing_metric", "not_promql", "off_edge", "rate_of_gauge", "unknown_label", "unknown_metric"]
