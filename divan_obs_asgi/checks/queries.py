"""Rules and boards that ask for what is not there."""

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


@check("obs.E050", "A rule or a board asks for a metric that is not there.", docs="docs/metrics.md", subject="queries")
def missing_metric(deployment: Deployment) -> Iterator[Finding]:
    hint = "`divan-obs metrics list` prints every family; OBS_NAMESPACE is the first word of their names."
    yield from _faults(deployment, "slip", hint)
    if deployment.app is not None:
        yield from _faults(
            deployment, "unknown", f"{hint} It is not among those that the application has made, either."
        )


@check(
    "obs.W051", "A rule or a board asks for a metric that nobody here knows.", docs="docs/metrics.md", subject="queries"
)
def unknown_metric(deployment: Deployment) -> Iterator[Finding]:
    hint = (
        "OBS_NAMESPACE is the first word of their names; `divan-obs assets export --namespace` writes files with yours."
    )
    yield from _faults(deployment, "namespace", hint)
    if deployment.app is None:
        hint = "If it is the application's own, name that with --app; if a rule records it, name its file with --rules."
        yield from _faults(deployment, "unknown", hint)


@check("obs.E052", "A rule or a board takes the rate of a gauge.", docs="docs/metrics.md", subject="queries")
def rate_of_gauge(deployment: Deployment) -> Iterator[Finding]:
    yield from _faults(deployment, "gauge", "Use deriv or delta, or the counter of that family.")


@check("obs.E053", "A threshold is not an edge of its histogram.", docs="docs/metrics.md", subject="queries")
def off_edge(deployment: Deployment) -> Iterator[Finding]:
    yield from _faults(deployment, "edge", "Ask for one of the edges: any other selects nothing.")


@check(
    "obs.W054",
    "A rule or a board asks for a label that a metric does not have.",
    docs="docs/metrics.md",
    subject="queries",
)
def unknown_label(deployment: Deployment) -> Iterator[Finding]:
    yield from _faults(
        deployment, "label", "Unless your Prometheus adds that label to its targets, it selects nothing."
    )


@check("obs.E055", "The expression of a rule or a board cannot be parsed.", docs="docs/alerts.md", subject="queries")
def not_promql(deployment: Deployment) -> Iterator[Finding]:
    yield from _faults(deployment, "syntax", "Correct the expression; Prometheus refuses it.")


def _faults(deployment: Deployment, kind: Fault, hint: str) -> Iterator[Finding]:
    assert deployment.queries is not None, "checks of queries are run with some"
    namespace = deployment.settings.metrics.namespace
    obs = deployment.app.obs if deployment.app is not None else None
    own = () if obs is None else obs.metrics.families
    series = series_of([*FAMILIES, *own], f"{namespace}_")
    ours = {f"{namespace}:{rule.name}" for rule in _recorded(namespace)}
    recorded = deployment.queries.recorded | ours
    for query in deployment.queries.all:
        for found, told in faults(query.expr, series, recorded, namespace, is_sure=query.is_sure):
            if found == kind:
                yield Finding(f"{query.where}: {told}{'' if told.endswith('?') else '.'}", hint, query.file)


def _recorded(namespace: str) -> Iterator[Record]:
    for group in rules(Parameters(namespace=namespace)).groups:
        yield from (rule for rule in group.rules if isinstance(rule, Record))


__all__ = ["missing_metric", "not_promql", "off_edge", "rate_of_gauge", "unknown_label", "unknown_metric"]
