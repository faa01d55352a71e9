"""A real Redis and a real PostgreSQL break in many ways, while a service gets requests all the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.patience import PATIENCE_S
from tests.probes.faults import DEPENDENCIES, FAULTS, Dependency, PolledService, course_of, polled_service
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.slow

INTERVAL_S = 0.2
# For checks that time out. A busy machine must not be so slow that a result expires, after three of these.
CALM_INTERVAL_S = 2.0
RENEW_S = 0.4
# The timeout of a check that is meant to time out.
TIMEOUT_S = 0.5
# Responses that each client gets during the fault. If each waited for the dependency, they would take 40 s.
ANSWERS = 80


@pytest.fixture(scope="module", params=DEPENDENCIES, ids=["redis", "postgres"])
def dependency(request: pytest.FixtureRequest) -> Iterator[Dependency]:
    dependency: Dependency = request.param()
    yield dependency
    dependency.server.close()


@pytest.mark.parametrize("name", FAULTS)
def test_readiness_follows_a_fault_and_its_end(dependency: Dependency, name: str) -> None:
    """
    It fails with the probe's reason after two failed checks in a row.

    Liveness never fails, and no request waits for the dependency. Tasks, sockets and connections do not grow, in the
    application or at the server. The table of docs/health.md shows the seconds.
    """
    fault = FAULTS[name]
    with Proxy(dependency.server.port) as proxy:
        port = proxy.port if fault.by_proxy else dependency.server.port
        flags = {"HEALTH_INTERVAL_S": str(CALM_INTERVAL_S if fault.reason == "timeout" else INTERVAL_S)}
        with polled_service(dependency, port, flags, RENEW_S, timeout_s=PATIENCE_S) as service:

            def lasts() -> None:
                service.until_responses(ANSWERS, PATIENCE_S)
                # The repaired dependency gets all the time it needs.
                service.probe.timeout = PATIENCE_S

            if fault.reason == "timeout":
                service.probe.timeout = TIMEOUT_S
                service.until_responses(1, PATIENCE_S)
            course = course_of(service, fault.breaks(dependency, proxy), lasts, 2 * PATIENCE_S)
            until_one(dependency.connections)

            assert course.reason == fault.reason
            # A check may run in one sample and not in the other. The proxy's sockets belong to this process too.
            spare = {"sockets": 100 if fault.by_proxy else 1}
            assert [name for name, more in course.grown.items() if more > spare.get(name, 0)] == []
            assert_all_else_went_on(service)


def assert_all_else_went_on(service: PolledService) -> None:
    assert [client.failures for client in service.clients] == [[], [], []]
    assert {(answer.status, answer.body) for answer in service.live.responses} == {(200, b'{"status":"ok"}')}
    assert {answer.status for answer in service.work.responses} == {200}


def until_one(connections: Callable[[], int]) -> None:
    """Wait until the server has only the connections that the probe needs."""
    until = time.monotonic() + PATIENCE_S
    while (found := connections()) != 1:
        assert time.monotonic() < until, f"{found} connections, and 1 is the probe's"
        time.sleep(0.05)
