"""OTLP over HTTP: what is sent, and what each answer of a collector means."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.otlp.answers import DROP_REASONS, LONGEST_RETRY_AFTER_S, seconds_of
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.otlp import OtlpReceiver
from tests.servers.otlp_http import Answer, OtlpHttpReceiver, partial
from tests.stacks import Observed
from tests.tracing.test_collector_faults import Service

SECRET = "kYw8-fh2-secret-key"
OTLP = "OTEL_EXPORTER_OTLP"


@pytest.fixture
def receiver() -> Iterator[OtlpHttpReceiver]:
    with OtlpHttpReceiver() as running:
        yield running


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def service(receiver: OtlpHttpReceiver, **flags: str) -> Service:
    return Service(
        receiver.port,
        **{
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            f"{OTLP}_PROTOCOL": "http/protobuf",
            "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "20",
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            **flags,
        },
    )


def test_spans_arrive(receiver: OtlpHttpReceiver) -> None:
    """One connection is kept; headers are sent as they were set."""
    traced = service(receiver, OTEL_EXPORTER_OTLP_HEADERS=f"x-tenant=shop,Authorization=Bearer%20{SECRET}")
    for _ in range(2):
        traced.ask(2)
        assert traced.flush()
    assert receiver.wait_for(4) == ["GET __unmatched__"] * 4
    assert receiver.connections == 1
    _, headers, _ = receiver.requests[0]
    assert (headers["x-tenant"], headers["authorization"]) == ("shop", f"Bearer {SECRET}")
    assert "content-encoding" not in headers
    traced.shut_down()


def test_gzip_makes_requests_smaller(receiver: OtlpHttpReceiver) -> None:
    """The receiver reads the same spans from fewer bytes."""
    for compression in ("none", "gzip"):
        traced = service(receiver, OTEL_EXPORTER_OTLP_COMPRESSION=compression)
        traced.ask(8)
        assert traced.flush()
        traced.shut_down()
    assert len(receiver.wait_for(16)) == 16
    (_, _, plain), (_, headers, small) = receiver.requests
    assert headers["content-encoding"] == "gzip"
    assert small < plain / 2


@pytest.mark.parametrize(
    ("name", "path", "asked"),
    [
        ("ENDPOINT", "", "/v1/traces"),
        ("ENDPOINT", "/", "/v1/traces"),
        ("ENDPOINT", "/otlp/", "/otlp/v1/traces"),
        ("TRACES_ENDPOINT", "/v1/traces", "/v1/traces"),
        ("TRACES_ENDPOINT", "", "/"),
        ("TRACES_ENDPOINT", "/a?b=c", "/a?b=c"),
    ],
)
def test_the_path_is_added_to_a_general_endpoint_only(
    receiver: OtlpHttpReceiver, name: str, path: str, asked: str
) -> None:
    """As the specification says; a path of its own is kept."""
    traced = service(receiver, **{"OTEL_EXPORTER_OTLP_ENDPOINT": "", f"{OTLP}_{name}": receiver.endpoint + path})
    traced.ask(1)
    traced.flush()
    assert receiver.requests[0][0] == asked
    traced.shut_down()


@pytest.mark.parametrize(
    ("answer", "reason", "lost"),
    [
        (Answer(400), "export_failed", 4),
        (Answer(401), "export_failed", 4),
        (Answer(404, b"<html>not here</html>", {"Content-Type": "text/html"}), "export_failed", 4),
        (Answer(500), "export_failed", 4),
        (Answer(413), "too_large", 4),
        (Answer(200, b"<html>log in</html>", {"Content-Type": "text/html"}), "invalid_response", 4),
        (Answer(200, b"\xff\x00garbage", {"Content-Type": "application/x-protobuf"}), "invalid_response", 4),
        (Answer(307, headers={"Location": "http://127.0.0.1:1/v1/traces"}), "invalid_response", 4),
        (partial(3, f"too old, you sent {SECRET}"), "rejected", 3),
    ],
)
def test_what_the_collector_does_not_take_is_counted_once(
    receiver: OtlpHttpReceiver, caplog: pytest.LogCaptureFixture, answer: Answer, reason: str, lost: int
) -> None:
    """It is not sent again; one line says why, without the secret that the collector repeats."""
    caplog.set_level(logging.INFO, "divan_obs_asgi.tracing")
    traced = service(receiver, OTEL_EXPORTER_OTLP_HEADERS=f"Authorization=Bearer {SECRET}")
    receiver.script.extend([answer, answer])
    for _ in range(2):
        traced.ask(4)
        traced.flush()
    assert traced.lost(reason) == traced.lost(*DROP_REASONS) == 2 * lost
    assert len(receiver.requests) == 2
    lines = [record.getMessage() for record in caplog.records if record.name == "divan_obs_asgi.tracing"]
    assert len(lines) == 1, lines
    assert SECRET not in caplog.text
    traced.ask(4)
    assert traced.flush()
    traced.shut_down()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(429),
        Answer(502),
        Answer(503, headers={"Retry-After": "1"}),
        Answer(504),
        Answer(resets=True),
        Answer(hangs=True),
    ],
)
def test_what_the_collector_may_take_later_waits(
    receiver: OtlpHttpReceiver, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    """Five failures lose nothing, and make one line."""
    caplog.set_level(logging.INFO, "divan_obs_asgi.tracing")
    traced = service(receiver, OTEL_EXPORTER_OTLP_TIMEOUT="0.2" if answer.hangs else "20")
    receiver.script.extend([answer] * 5)
    traced.ask(4)
    for _ in range(5):
        assert not traced.flush()
    assert traced.flush()
    assert len(receiver.wait_for(4)) == 4
    assert traced.lost(*DROP_REASONS) == 0
    lines = [record.getMessage() for record in caplog.records if record.name == "divan_obs_asgi.tracing"]
    assert [line.partition(":")[0] for line in lines] == ["Spans are not exported", "Spans are exported again."]
    traced.shut_down()


def test_a_retry_after_is_seconds_or_a_date() -> None:
    """An invalid or past one is nothing, and an hour the most."""
    assert seconds_of("7") == 7.0
    assert 50.0 < seconds_of(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)) <= 60.0
    assert seconds_of("999999999") == LONGEST_RETRY_AFTER_S
    past = format_datetime(datetime.now(UTC) - timedelta(days=2), usegmt=True)
    assert [seconds_of(text) for text in (None, "", "-1", "soon", "1e9", past, "\u0663")] == [0.0] * 7


def test_tls_with_certificates_on_both_sides(certificates: Certificates) -> None:
    """The collector checks ours, and we check the collector's."""
    files = {
        f"{OTLP}_CERTIFICATE": str(certificates.ca),
        f"{OTLP}_CLIENT_CERTIFICATE": str(certificates.client),
        f"{OTLP}_CLIENT_KEY": str(certificates.client_key),
    }
    with OtlpHttpReceiver(tls=certificates) as receiver:
        traced = service(receiver, **files)
        traced.ask(3)
        assert traced.flush()
        assert len(receiver.wait_for(3)) == 3
        traced.shut_down()
        for missing in ([f"{OTLP}_CERTIFICATE"], [f"{OTLP}_CLIENT_CERTIFICATE", f"{OTLP}_CLIENT_KEY"]):
            untrusted = service(receiver, **{**files, **dict.fromkeys(missing, "")})
            untrusted.ask(3)
            assert not untrusted.flush()
            untrusted.shut_down()
        assert len(receiver.spans) == 3


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("signal", ["TRACES", "LOGS", "METRICS"])
def test_a_client_key_without_its_certificate_is_an_error(
    signal: str, protocol: str, certificates: Certificates
) -> None:
    """gRPC aborts the process at the first export with such a pair."""
    flags = {
        "OBS_TRACING_ENABLED": "true",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        f"{OTLP}_ENDPOINT": "https://127.0.0.1:1",
        f"{OTLP}_PROTOCOL": protocol,
    }
    with pytest.raises(ImproperlyConfigured, match="CLIENT_KEY is set without"):
        Observed({**flags, f"{OTLP}_{signal}_CLIENT_KEY": str(certificates.client_key)})
    # Without TLS neither is read.
    plain = {**flags, f"{OTLP}_ENDPOINT": "http://127.0.0.1:1"}
    Observed({**plain, f"{OTLP}_{signal}_CLIENT_KEY": str(certificates.client_key)})


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_one_file_may_have_certificate_and_key(protocol: str, certificates: Certificates, tmp_path: Path) -> None:
    """As Python's own TLS allows."""
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.client.read_bytes() + certificates.client_key.read_bytes())
    receiver = (OtlpReceiver if protocol == "grpc" else OtlpHttpReceiver)(tls=certificates)
    with receiver:
        traced = Service(
            receiver.port,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"https://localhost:{receiver.port}",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificates.ca),
            OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(both),
        )
        traced.ask(3)
        assert traced.flush()
        assert len(receiver.wait_for(3)) == 3
        traced.shut_down()


def test_tls_over_grpc(certificates: Certificates) -> None:
    """With the same variables."""
    files = {
        f"{OTLP}_CERTIFICATE": str(certificates.ca),
        f"{OTLP}_CLIENT_CERTIFICATE": str(certificates.client),
        f"{OTLP}_CLIENT_KEY": str(certificates.client_key),
    }
    with OtlpReceiver(tls=certificates) as receiver:
        for sent, endpoint in ((3, f"grpcs://127.0.0.1:{receiver.port}"), (6, f"localhost:{receiver.port}")):
            traced = Service(receiver.port, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **files)
            traced.ask(3)
            assert traced.flush()
            assert len(receiver.wait_for(sent)) == sent
            traced.shut_down()
        anonymous = Service(
            receiver.port,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"grpcs://localhost:{receiver.port}",
            OTEL_EXPORTER_OTLP_TIMEOUT="5",
        )
        anonymous.ask(3)
        assert not anonymous.flush()
        anonymous.shut_down()
        assert len(receiver.spans()) == 6


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_certificate_that_cannot_be_read_is_an_error_at_start_up(tmp_path: Path, protocol: str) -> None:
    """The error names the variables, not the contents."""
    (tmp_path / "broken.pem").write_text(SECRET)
    for path in (tmp_path / "missing.pem", tmp_path / "broken.pem"):
        with pytest.raises(ImproperlyConfigured, match="OTEL_EXPORTER_OTLP_CERTIFICATE") as raised:
            Observed(
                {
                    "OBS_TRACING_ENABLED": "true",
                    f"{OTLP}_ENDPOINT": "https://127.0.0.1:1",
                    f"{OTLP}_PROTOCOL": protocol,
                    f"{OTLP}_CERTIFICATE": str(path),
                }
            )
        assert SECRET not in str(raised.value)


def test_a_proxy_of_the_environment_is_used(receiver: OtlpHttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Except for the hosts of NO_PROXY."""
    monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{receiver.port}")
    monkeypatch.setenv("no_proxy", "")
    traced = service(receiver, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.invalid:4318")
    traced.ask(1)
    traced.flush()
    traced.shut_down()
    path, headers, _ = receiver.requests[0]
    assert path == "http://collector.invalid:4318/v1/traces"
    assert (headers["host"], headers["proxy-authorization"]) == ("collector.invalid:4318", "Basic dXNlcjp3b3Jk")
