"""Label values and exemplars are redacted, and every redaction is counted with its rule and its sink."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from prometheus_client.openmetrics.exposition import generate_latest

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.probes.base import Group
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.testing import assert_no_secret
from tests.stacks import Observed

TOKEN = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"
USES: dict[str, Callable[[Metrics], Any]] = {
    "counter": lambda metrics: metrics.counter("things_total", "Things.", ["by"]).labels(f"by {TOKEN}").inc(),
    "gauge": lambda metrics: metrics.gauge("things", "Things.", ["by"]).labels(f"by {TOKEN}").set(1),
    "histogram": lambda metrics: metrics.histogram("s", "Seconds.", ["by"]).labels(f"by {TOKEN}").observe(1),
    "by name": lambda metrics: metrics.counter("things_total", "Things.", ["by"]).labels(by=f"by {TOKEN}").inc(),
    "no text": lambda metrics: metrics.counter("things_total", "Things.", ["by"]).labels([TOKEN]).inc(),
    "exemplar of a counter": lambda metrics: (
        metrics.counter("things_total", "Things.", ["by"]).labels("a").inc(exemplar={"by": TOKEN})
    ),
    "exemplar of a histogram": lambda metrics: metrics.histogram("s", "Seconds.").observe(1, {"by": TOKEN}),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_no_series_holds_a_secret(use: Callable[[Metrics], Any]) -> None:
    """In labels and exemplars of every kind of metric, in both formats."""
    metrics = Metrics()
    use(metrics)
    exposed = generate_latest(metrics.registry)  # type: ignore[no-untyped-call]
    assert_no_secret([metrics.render(), exposed], [TOKEN])
    assert b"[redacted:github_token]" in exposed


@pytest.mark.parametrize("by_name", [False, True])
def test_a_labels_name_can_give_its_value_away(by_name: bool) -> None:
    """A label is a key like any other."""
    metrics = Metrics(RedactionPolicy(ip="truncate"))
    calls = metrics.counter("calls_total", "Calls.", ["email", "client_ip", "colour"])
    values = {"email": "ada at mine", "client_ip": "192.0.2.7", "colour": "blue7"}
    (calls.labels(**values) if by_name else calls.labels(*values.values())).inc()
    labels = {"email": "[redacted:email]", "client_ip": "192.0.2.0", "colour": "blue7"}
    assert metrics.registry.get_sample_value("divan_calls_total", labels) == 1


@pytest.mark.parametrize("values", [(), ("a",), ("a", "b", "c")])
def test_a_wrong_number_of_labels_is_still_refused(values: tuple[str, ...]) -> None:
    """As prometheus_client does."""
    with pytest.raises(ValueError, match="Incorrect label count"):
        Metrics().counter("calls_total", "Calls.", ["x", "y"]).labels(*values)


class LeakyProbe:
    """A probe that reports a token."""

    name = "leaky"
    timeout = 1.0
    critical = True
    group: Group = "ready"

    async def check(self) -> Mapping[str, object]:
        return {"note": TOKEN}


def test_each_sink_counts_what_it_was_given() -> None:
    """`divan_redactions_total{rule,sink}` shows which rule redacted, and in which sink."""
    observed = Observed()

    def counted(sink: str) -> float:
        return observed.value("divan_redactions_total", rule="github_token", sink=sink)

    before = {sink: counted(sink) for sink in ("log", "metrics", "health", "application")}
    record = logging.LogRecord("a", logging.WARNING, __file__, 1, "with %s and %s", (TOKEN, TOKEN), None)
    observed.obs.log.application(record)
    observed.obs.metrics.counter("calls_total", "Calls.", ["by"]).labels(TOKEN).inc()
    observed.obs.probes.register(LeakyProbe())
    report = anyio.run(observed.obs.probes.ask, "ready")
    observed.obs.redaction.redact({"a": [TOKEN], "b": TOKEN, "c": TOKEN})
    after = {sink: counted(sink) - before[sink] for sink in before}
    assert after == {"log": 2, "metrics": 1, "health": 1, "application": 3}
    assert_no_secret([observed.stream.getvalue(), observed.obs.metrics.render(), report.as_json()], [TOKEN])


def test_values_without_secrets_are_not_counted() -> None:
    """Zero means that a service had nothing to redact."""
    observed = Observed()
    observed.obs.log.application(logging.LogRecord("a", logging.WARNING, __file__, 1, "hello", (), None))
    observed.obs.redaction.redact({"a": 1, "password": None, "note": "[redacted:email]"})
    assert observed.samples("divan_redactions_total") == {}
