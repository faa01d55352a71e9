"""How one signal is exported: its own variable, else the general one, else the default."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi import Settings
from divan_obs_asgi.settings import OtlpSettings, OtlpSignal

PREFIX = "OTEL_EXPORTER_OTLP_"


def traces(**environ: str) -> OtlpSignal:
    return Settings.from_env(environ).otlp.traces


def test_nothing_is_exported_by_default() -> None:
    """Each signal needs an endpoint, or its exporter by name."""
    otlp = OtlpSettings()
    for signal in (otlp.traces, otlp.logs, otlp.metrics):
        assert (signal.exporters, signal.endpoint) == ((), None)
        assert (signal.protocol, signal.headers, signal.timeout_s, signal.compression) == ("grpc", (), 10.0, "none")


def test_an_endpoint_exports_traces_only() -> None:
    """Logs and metrics are exported if their variable asks for it."""
    otlp = Settings.from_env({f"{PREFIX}ENDPOINT": "http://otel:4317"}).otlp
    assert otlp.traces.exporters == ("otlp",)
    assert otlp.logs.exporters == otlp.metrics.exporters == ()


@pytest.mark.parametrize(
    ("protocol", "endpoint"), [("grpc", "http://localhost:4317"), ("http/protobuf", "http://localhost:4318")]
)
def test_an_exporter_by_name_has_the_specifications_endpoint(protocol: str, endpoint: str) -> None:
    """`OTEL_LOGS_EXPORTER=otlp` alone exports to a collector on the same host."""
    signal = Settings.from_env({"OTEL_LOGS_EXPORTER": "otlp", f"{PREFIX}PROTOCOL": protocol}).otlp.logs
    assert (signal.endpoint, signal.endpoint_is_general) == (endpoint, True)


def test_none_exports_nothing_in_spite_of_an_endpoint() -> None:
    """`none` is stronger than an endpoint."""
    signal = traces(OTEL_TRACES_EXPORTER="none", OTEL_EXPORTER_OTLP_ENDPOINT="http://otel:4317")
    assert (signal.exporters, signal.endpoint) == ((), None)


def test_a_signals_own_variable_overrides_the_general_one() -> None:
    """Headers are not merged: the specification replaces them."""
    general = {
        f"{PREFIX}ENDPOINT": "http://otel:4318",
        f"{PREFIX}PROTOCOL": "http/protobuf",
        f"{PREFIX}HEADERS": "a=1,b=2",
        f"{PREFIX}TIMEOUT": "3",
        f"{PREFIX}COMPRESSION": "gzip",
        f"{PREFIX}CERTIFICATE": "ca.pem",
        f"{PREFIX}CLIENT_KEY": "client.key",
        f"{PREFIX}CLIENT_CERTIFICATE": "client.pem",
        f"{PREFIX}INSECURE": "true",
    }
    own = {
        f"{PREFIX}TRACES_ENDPOINT": "http://traces:4317",
        f"{PREFIX}TRACES_PROTOCOL": "grpc",
        f"{PREFIX}TRACES_HEADERS": "c=3",
        f"{PREFIX}TRACES_TIMEOUT": "4",
        f"{PREFIX}TRACES_COMPRESSION": "none",
        f"{PREFIX}TRACES_CERTIFICATE": "traces-ca.pem",
        f"{PREFIX}TRACES_CLIENT_KEY": "traces.key",
        f"{PREFIX}TRACES_CLIENT_CERTIFICATE": "traces.pem",
        f"{PREFIX}TRACES_INSECURE": "false",
    }
    assert traces(**general) == OtlpSignal(
        exporters=("otlp",),
        endpoint="http://otel:4318",
        endpoint_is_general=True,
        protocol="http/protobuf",
        headers=(("a", "1"), ("b", "2")),
        timeout_s=3.0,
        compression="gzip",
        certificate="ca.pem",
        client_key="client.key",
        client_certificate="client.pem",
        insecure=True,
    )
    assert traces(**general, **own) == OtlpSignal(
        exporters=("otlp",),
        endpoint="http://traces:4317",
        endpoint_is_general=False,
        protocol="grpc",
        headers=(("c", "3"),),
        timeout_s=4.0,
        compression="none",
        certificate="traces-ca.pem",
        client_key="traces.key",
        client_certificate="traces.pem",
        insecure=False,
    )


def test_headers_are_never_shown() -> None:
    """They carry the key of the collector."""
    settings = Settings.from_env({f"{PREFIX}HEADERS": "api-key=hunter2", f"{PREFIX}LOGS_HEADERS": "api-key=hunter3"})
    assert "hunter" not in repr(settings) + repr(settings.otlp.traces) + repr(settings.otlp.logs)


@given(st.text(alphabet="ab=,% \r\n\x00:é", max_size=30).map(lambda text: f"hunter2{text}"))
def test_an_error_never_shows_a_header(text: str) -> None:
    """Whatever is malformed in it."""
    environ = {f"{PREFIX}HEADERS": text}
    readable, _, wrong = Settings.readable(environ)
    assert "hunter" not in "".join(wrong)
    pairs = readable.otlp.traces.headers
    assert not {"\r", "\n", "\x00"} & {character for pair in pairs for part in pair for character in part}
