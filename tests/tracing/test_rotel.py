"""A receiver that is not ours takes our spans: rotel, a collector in a wheel."""

from __future__ import annotations

import pytest

from divan_obs_asgi.otlp.answers import DROP_REASONS
from tests.servers.process import free_port
from tests.servers.rotel import needs_rotel, rotel
from tests.tracing.test_collector_faults import Service

pytestmark = [pytest.mark.slow, needs_rotel]
OTLP = "OTEL_EXPORTER_OTLP"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_that_waited_for_it_arrive(protocol: str, compression: str) -> None:
    """The collector starts after more attempts than would once have lost the batch; nothing is lost."""
    ports = {"grpc": free_port(), "http/protobuf": free_port()}
    traced = Service(
        ports[protocol],
        **{
            f"{OTLP}_ENDPOINT": f"http://127.0.0.1:{ports[protocol]}",
            f"{OTLP}_PROTOCOL": protocol,
            f"{OTLP}_COMPRESSION": compression,
            "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "20",
        },
    )
    traced.ask(8)
    for _ in range(4):
        assert not traced.flush()
    with rotel(ports["grpc"], ports["http/protobuf"]) as collector:
        assert traced.flush()
        collector.wait_for("spans=8")
        traced.shut_down()
    assert traced.lost(*DROP_REASONS) == 0
