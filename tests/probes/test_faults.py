"""A real Redis and a real PostgreSQL meet with everything that befalls them, while a service is asked all along."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.probes.faults import DEPENDENCIES, FAULTS, Dependency, Watched, course_of, watched
from tests.servers.proxy import Proxy

INTERVAL_S = 0.2
RENEW_S = 0.4
# How long a fault lasts after it was told: some four checks.
LASTS_S = 1.0
# A busy machine.
SLACK_S = 0.7
# Half of the shortest timeout of a probe: who waited for a dependency would be later.
PROMPT_S = 0.1
PATIENCE_S = 10.0


@pytest.fixture(scope="module", params=DEPENDENCIES, ids=["redis", "postgres"])
def dependency(request: pytest.FixtureRequest) -> Iterator[Dependency]:
    dependency: Dependency = request.param()
    yield dependency
    dependency.server.close()


@pytest.mark.parametrize("name", FAULTS)
def test_readiness_tells_a_fault_and_its_end_in_time(dependency: Dependency, name: str) -> None:
    """
    With the probe's reason, within seconds that are known beforehand; all else goes on as if nothing were.

    Liveness never fails, no request and no health answer waits for the dependency, and what the probe has open does
    not grow, in the application or at the server.
    """
    fault = FAULTS[name]
    with Proxy(dependency.server.port) as proxy:
        port = proxy.port if fault.by_proxy else dependency.server.port
        with watched(dependency, port, {"HEALTH_INTERVAL_S": str(INTERVAL_S)}, RENEW_S) as service:
            course = course_of(service, fault.breaks(dependency, proxy), LASTS_S, PATIENCE_S)
            until_one(dependency.connections)

            assert course.reason == fault.reason
            assert course.told_s < told_within(service.timeout_s, fault.reason)
            assert course.recovered_s < recovered_within(service.timeout_s)
            # A check may be under way at one moment and not at the other; the proxy's sockets are this process's too.
            spare = {"sockets": 100 if fault.by_proxy else 1}
            assert [name for name, more in course.grown.items() if more > spare.get(name, 0)] == []
            assert_all_else_went_on(service, course.broken_at)


def told_within(timeout_s: float, reason: str) -> float:
    """
    Two checks in a row: the next one begins after an interval, give or take a tenth, and the second one a quarter of
    that later. A password is asked for when the connection is made anew.
    """
    renewed_s = RENEW_S if reason == "auth" else 0.0
    return renewed_s + 1.25 * 1.1 * INTERVAL_S + 2 * timeout_s + SLACK_S


def recovered_within(timeout_s: float) -> float:
    """One check that passes, after the one under way, which may fail."""
    return timeout_s + 1.1 * INTERVAL_S + timeout_s + SLACK_S


def assert_all_else_went_on(service: Watched, since: float) -> None:
    assert [asker.failures for asker in service.askers] == [[], [], []]
    assert {(answer.status, answer.body) for answer in service.live.told} == {(200, b'{"status":"ok"}')}
    assert {answer.status for answer in service.work.told} == {200}
    for asker in service.askers:
        # Of a hundred and more; what holds up these is the machine.
        assert sum(answer.took_s >= PROMPT_S for answer in asker.since(since)) <= 5


def until_one(connections: Callable[[], int]) -> None:
    """Wait until the server has no more connections than the probe needs."""
    until = time.monotonic() + PATIENCE_S
    while (found := connections()) != 1:
        assert time.monotonic() < until, f"{found} connections, and 1 is the probe's"
        time.sleep(0.05)
