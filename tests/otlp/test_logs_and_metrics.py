"""Log lines and metrics are delivered as spans are: over TLS, from the disk, and by each forked worker."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics

import divan_obs_asgi as obs
from divan_obs_asgi.otlp.answers import DROP_REASONS
from tests.logs.root_logger import root_logger_kept
from tests.logs.test_line_export import LOGS, log
from tests.otlp.preloaded import run_preloaded
from tests.otlp.test_metrics import METRICS, ask, metrics_of, samples, shop
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.otlp import OtlpReceiver
from tests.servers.otlp_http import Answer, OtlpHttpReceiver
from tests.servers.process import free_port
from tests.stacks import Observed

OTLP = "OTEL_EXPORTER_OTLP"
BOTH = {**LOGS, **METRICS, "OTEL_METRIC_EXPORT_INTERVAL": "86400000"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def records_of(receiver: OtlpReceiver | OtlpHttpReceiver) -> list[LogRecord]:
    parts = [part for request in receiver.logs for part in request.resource_logs]
    return [record for part in parts for scope in part.scope_logs for record in scope.log_records]


def exports_of(receiver: OtlpReceiver | OtlpHttpReceiver) -> list[ResourceMetrics]:
    if isinstance(receiver, OtlpHttpReceiver):
        return list(receiver.metrics)
    return [part for request in receiver.metrics for part in request.resource_metrics]


def requests_in(export: ResourceMetrics) -> float:
    found = samples(metrics_of(export))
    return sum(value for key, value in found.items() if key[0] == "divan_http_requests_total")


def lost(observed: Observed) -> float:
    return sum(
        observed.value("divan_otlp_dropped_total", signal=signal, reason=reason)
        for signal in ("logs", "metrics")
        for reason in DROP_REASONS
    )


def serve(observed: Observed, times: int) -> None:
    anyio.run(ask, obs.build_stack(shop, observed.obs), times)


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["general", "of the signal"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_tls_with_certificates_on_both_sides(protocol: str, scope: str, certificates: Certificates) -> None:
    """By the general variables and by those of the signals; without a certificate nothing is delivered."""
    files = {"CERTIFICATE": certificates.ca, "CLIENT_CERTIFICATE": certificates.client}
    files["CLIENT_KEY"] = certificates.client_key
    signals = ("",) if scope == "general" else ("LOGS_", "METRICS_")
    flags = {f"{OTLP}_{signal}{name}": str(path) for signal in signals for name, path in files.items()}
    receiver: Any = (OtlpReceiver if protocol == "grpc" else OtlpHttpReceiver)(tls=certificates)
    with receiver:
        endpoint = f"https://localhost:{receiver.port}"
        given = {**BOTH, f"{OTLP}_ENDPOINT": endpoint, f"{OTLP}_PROTOCOL": protocol, f"{OTLP}_TIMEOUT": "20"}
        trusted = Observed({**given, **flags})
        serve(trusted, 3)
        trusted.obs.flush()
        assert len(records_of(receiver)) == len(trusted.lines()) == 3
        assert [requests_in(export) for export in exports_of(receiver)] == [3]
        for missing in (["CERTIFICATE"], ["CLIENT_CERTIFICATE", "CLIENT_KEY"]):
            names = [f"{OTLP}_{signal}{name}" for signal in signals for name in missing]
            hurry = {f"{OTLP}_TIMEOUT": "2", "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "5"}
            untrusted = Observed({**given, **flags, **hurry, **dict.fromkeys(names, "")})
            serve(untrusted, 1)
            untrusted.obs.flush()
        assert len(records_of(receiver)) == 3
        assert len(exports_of(receiver)) == 1


def waiting(directory: Path, port: int, **flags: str) -> Observed:
    """Return a service whose log lines and metrics can wait in `directory`."""
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    return Observed({**BOTH, **endpoint, "OBS_TELEMETRY_DIR": str(directory), **flags})


def end(observed: Observed) -> None:
    """End the exports as the end of the process does."""
    for export in observed.obs.exports._exports:
        export.shutdown()


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_they_wait_on_the_disk_for_the_next_service(temporality: str, tmp_path: Path) -> None:
    """The collector was down all the time; no line is lost although the queue has room for 4 only, and no count."""
    port = free_port()
    flags = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality, "LOG_SAMPLING_RATE_INFO": "1"}
    first = waiting(tmp_path, port, OTEL_BLRP_MAX_QUEUE_SIZE="4", **flags)
    for _ in range(3):
        serve(first, 3)
        first.obs.flush()
    end(first)
    assert lost(first) == 0
    files = [file for signal in ("logs", "metrics") for file in (tmp_path / signal).iterdir()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    with OtlpHttpReceiver(port) as receiver:
        second = waiting(tmp_path, port, **flags)
        serve(second, 1)
        second.obs.flush()
        assert len(receiver.wait_for_lines(10)) == 10
        # Its own export goes first. The end of the first process has exported once more.
        of_the_second, *of_the_first = map(requests_in, receiver.wait_for_metrics(5))
        assert of_the_first == ([3, 6, 9, 9] if temporality == "cumulative" else [3, 3, 3, 0])
        assert of_the_second == 1
        end(second)
    assert lost(second) == 0
    assert [file for signal in ("logs", "metrics") for file in (tmp_path / signal).iterdir()] == []


def test_a_hanging_collector_leaves_them_on_the_disk(tmp_path: Path) -> None:
    """The end of the process does not wait for it, and loses nothing."""
    with OtlpHttpReceiver() as receiver:
        receiver.script.extend([Answer(hangs=True)] * 9)
        service = waiting(tmp_path, receiver.port, OBS_TRACING_SHUTDOWN_TIMEOUT_S="2")
        serve(service, 4)
        end(service)
        assert lost(service) == 0
    counts = {
        signal: [file.name.split(".")[1] for file in (tmp_path / signal).iterdir()] for signal in ("logs", "metrics")
    }
    assert counts == {"logs": ["4"], "metrics": ["1"]}


def test_what_is_on_the_disk_is_redacted(tmp_path: Path) -> None:
    """The files contain what the collector would have got."""
    service = waiting(tmp_path, free_port())
    service.obs.metrics.counter("logins_total", "Logins.", ["who"]).labels("ada@shop.example").inc()
    with root_logger_kept():
        service.obs.log.install()
        serve(service, 1)
        log.warning("%s has left", "ada@shop.example")
    service.obs.flush()
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*.otlp"))
    assert b"divan_http_requests_total" in content
    assert b"has left" in content
    assert b"ada@" not in content
    end(service)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "alone"])
@pytest.mark.parametrize(
    ("protocol", "serves_before"),
    # gRPC supports no fork of a process that has used it (its doc/fork_support.md): a child may still hang, if rarely.
    [("grpc", False), ("http/protobuf", False), ("http/protobuf", True)],
)
def test_every_worker_of_a_preloaded_application_exports_its_own(
    protocol: str, serves_before: bool, shared: bool, tmp_path: Path
) -> None:
    """Each line once, also if the parent exports during the fork; workers with a shared directory add up."""
    receiver: Any = OtlpReceiver() if protocol == "grpc" else OtlpHttpReceiver()
    with receiver:
        environ = {
            **BOTH,
            f"{OTLP}_PROTOCOL": protocol,
            f"{OTLP}_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
            "OTEL_BLRP_SCHEDULE_DELAY": "1",
            **({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if shared else {}),
        }
        run_preloaded(environ, serves_before=serves_before)
        expected = 3 + serves_before
        ids = Counter(_request_id(record) for record in records_of(receiver))
        assert (len(ids), set(ids.values())) == (expected, {1})
        counts = [requests_in(export) for export in exports_of(receiver)]
        if shared:
            assert max(counts) == expected
        else:
            assert counts[-1] == 1 + serves_before
            assert len(counts) == 3


def _request_id(record: LogRecord) -> str:
    (found,) = [pair.value.string_value for pair in record.attributes if pair.key == "divan.request_id"]
    return found
