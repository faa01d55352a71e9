"""A real Prometheus with the exported rules: what each panel shows of two workers under load, and which alerts fire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ops_assets.board_queries import Query
from tests.ops_assets.exports import CHOICES
from tests.ops_assets.real_run import DATA_IF_BUSY, MUST_FIRE, NO_DATA, UNLESS_STARVED, Run, running
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.slow

# By alert: what a busy machine raises at this pace, where a `for` of minutes is one of 4 s.
OF_BUSYNESS = {
    "ServiceAbsent": "Scrapes take longer than the second that they have.",
    "ReplicaNotScraped": "Likewise.",
    "MetricsAbsent": "Likewise.",
    "PostgresDown": "Pings time out.",
    "SocketClientDrop": "Clients do not answer pings in time.",
    "StreamLagGrowing": "The consumer of the stream is slow.",
    "LogLinesDropped": "The queue of log lines is full.",
    "SpansDropped": "Exports come too late.",
    "TelemetryDropped": "Likewise: exports come too late.",
    "TraceExportStopped": "Exports time out, one after the other.",
}

# By unit: the least and the greatest value of a panel that has it.
UNITS = {
    "percentunit": (0, 1),
    "s": (0, 60),
    "reqps": (0, 10_000),
    "cps": (0, 100_000),
    "Bps": (0, 1e9),
    "short": (0, 1e6),
    "none": (0, 1),
}
AGE = (0, 10_000)
OTHER_MAGNITUDES = {
    "When did each job last succeed?": AGE,
    "How old is the last success?": AGE,
    "How long has each instance been running?": AGE,
    # A slow consumer takes long to catch up.
    "How long until each group has caught up?": (0, 1e9),
    "How much of the error budget is left?": (-1000, 1),
    "How much of the latency budget is left?": (-100, 1),
    # The greatest is all requests, by what the objective allows.
    "How fast is the error budget burned?": (0, 1000),
    "How fast is the latency budget burned?": (0, 100),
    "Did many clients disconnect at once?": (-1, 1),
    # Some are answered in a later window than they were asked for in.
    "Do clients acknowledge in time?": (0, 1000),
    "Does the lag grow or shrink?": (-100_000, 100_000),
}


def magnitude(query: Query) -> tuple[float, float]:
    return OTHER_MAGNITUDES.get(query.panel) or UNITS[query.unit]


@pytest.fixture(scope="module", params=["default", "acme"])
def run(request: pytest.FixtureRequest, redis_server: RedisServer, postgres_server: PostgresServer) -> Iterator[Run]:
    """A run of load and failures, by a Prometheus that can still be asked."""
    with running(CHOICES[request.param], redis_server, postgres_server) as run:
        yield run


def test_the_alerts_of_the_failures_fire(run: Run) -> None:
    """No others do at any time, but for those that a busy machine raises. The run has seen that they did not before."""
    assert run.failing >= MUST_FIRE - UNLESS_STARVED
    fired = run.prometheus.ever_firing(run.start, run.end)
    assert {alert for alert in fired if alert[0] not in OF_BUSYNESS} - UNLESS_STARVED == MUST_FIRE - UNLESS_STARVED


def test_every_panel_has_data(run: Run) -> None:
    """But for those that are listed, each with its reason."""
    assert {query.key for query in run.answers if not run.answers[query]} - set(DATA_IF_BUSY) == set(NO_DATA)


def test_every_value_fits_the_unit_of_its_panel(run: Run) -> None:
    """And is a number."""
    wrong = {}
    for query in run.answers:
        least, greatest = magnitude(query)
        values = run.values(query)
        if any(not least <= float(value) <= greatest for value in values):
            wrong[query.key] = query.unit, min(values, key=float), max(values, key=float)
    assert wrong == {}


def test_exemplars_lead_to_traces(run: Run) -> None:
    """Each query that shows exemplars has some, and their traces were exported, but for spans that were dropped."""
    shown = {}
    for query in run.answers:
        if query.exemplar:
            expression = query.over(run.end - run.start)
            found = run.prometheus.data("query_exemplars", query=expression, start=run.start, end=run.end)
            shown[query.key] = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert shown
    assert all(shown.values())
    traces = set().union(*shown.values())

    def missing() -> int:
        return len(traces - {span.trace_id.hex() for span in run.exported.spans()})

    run.prometheus.until(lambda: missing() <= run.prometheus.ask(run.prometheus.dropped_spans)[0])
    assert missing() < len(traces)
