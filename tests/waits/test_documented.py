"""The example of docs/logs.md is a real line."""

from __future__ import annotations

import orjson

from divan_obs_asgi.connection.gc_pauses import pauses
from divan_obs_asgi.connection.measured import measured_request
from divan_obs_asgi.connection.operations import Operations
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.testing import http_scope
from tests.stacks import Observed
from tests.test_docs import blocks


def test_the_documented_line_is_written() -> None:
    """With a clock of its own: seven queries, a held loop, a collection, some work."""
    now = [100.0]
    observed = Observed()
    routes = RouteTemplates(None, Operations(None))
    record = measured_request(0.5)(http_scope("/rooms/7"), routes, observed.obs.faults, lambda: now[0])
    record.paused_s = before = pauses.total_s
    record.declare_route("/rooms/{id}")
    record.add_finisher("access_log", observed.obs.log.access)
    waited = record.waited

    now[0] += 0.012
    for _ in range(7):
        waited.begin("sql")
        waited.suspend()
        now[0] += 0.116
        waited.resume()
        waited.end("sql")
    waited.suspend()
    waited.begin("loop")
    now[0] += 0.04
    waited.end("loop")
    now[0] += 0.003
    try:
        pauses.total_s += 0.035
        now[0] += 0.035
        waited.resume()
    finally:
        pauses.total_s = before
    waited._paused_s = before
    record.sent("http.response.start", {"type": "http.response.start", "status": 200})
    record.sent("http.response.body", {"type": "http.response.body", "body": b"x"})

    (documented,) = [one for one in map(orjson.loads, blocks("logs.md", "json")) if "waited" in one]
    (line,) = observed.lines()
    assert {name: line[name] for name in documented} == documented
