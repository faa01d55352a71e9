"""Flags of the export of traces, logs and metrics by OTLP: each for all signals, and for one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.otlp_parsers import (
    directory_or_none,
    endpoint,
    exporter_names,
    file_path,
    headers,
    metric_exporter_names,
    timeout,
)
from divan_obs_asgi.settings.parsers import boolean, one_of, positive_integer

PROTOCOLS = ("grpc", "http/protobuf")
COMPRESSIONS = ("none", "gzip")
DEFAULT_TIMEOUT_S = 10.0
# The specification's default endpoints. They are used only where OTEL_TRACES_EXPORTER=otlp asks for an export by name.
_DEFAULT_ENDPOINTS = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}
_PREFIX = "OTEL_EXPORTER_OTLP_"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSignal:
    """
    How one signal is exported: its own variable, else the general one, else the default.

    Attributes:
        exporters: `otlp`, `console`, both, or none of them.
        endpoint: the collector's address; None if nothing is exported by OTLP.
        endpoint_is_general: whether the address is for all signals, so that `/v1/traces` is added to it for HTTP.
        protocol: `grpc` or `http/protobuf`.
        headers: sent with each export, names in lower case; secrets.
        timeout_s: maximum time of one export.
        compression: `none` or `gzip`.
        certificate: path of the certificates that the collector's one is verified with.
        client_key: path of the key of the client certificate.
        client_certificate: path of the client certificate.
        insecure: whether an address without a scheme is plaintext.
    """

    exporters: tuple[str, ...]
    endpoint: str | None
    endpoint_is_general: bool
    protocol: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    timeout_s: float
    compression: str
    certificate: str | None
    client_key: str | None
    client_certificate: str | None
    insecure: bool


def _misfit(name: str, signal: OtlpSignal) -> str | None:
    """Return the variable of the endpoint if it is not an address for the protocol."""
    if signal.protocol == "grpc" or signal.endpoint is None or signal.endpoint.startswith(("http://", "https://")):
        return None
    return f"{_PREFIX}ENDPOINT" if signal.endpoint_is_general else f"{_prefix(name)}ENDPOINT"


def _exporter(
    signal: str, default: str, parse: Callable[[str], tuple[str, ...]] = exporter_names
) -> tuple[str, ...] | None:
    name = f"OTEL_{signal.upper()}_EXPORTER"
    return flag(name, parse, None, f"Exporters of {signal}: otlp, console, both, or none. {default}")


def _endpoint(signal: str = "") -> str | None:
    return flag(
        f"{_prefix(signal)}ENDPOINT", endpoint, None, _doc("OTLP endpoint", signal, "grpc://otel-collector:4317")
    )


def _protocol(signal: str = "") -> str | None:
    return flag(
        f"{_prefix(signal)}PROTOCOL", one_of(*PROTOCOLS), None, _doc("Protocol", signal, "grpc or http/protobuf")
    )


def _headers(signal: str = "") -> tuple[tuple[str, str], ...] | None:
    doc = _doc("Headers of each export", signal, "name=value pairs, percent-encoded, separated by commas")
    return flag(f"{_prefix(signal)}HEADERS", headers, None, doc, secret=True)


def _timeout(signal: str = "") -> float | None:
    doc = _doc("Maximum time of an export", signal, "seconds, from 1000 on milliseconds; default 10 s")
    return flag(f"{_prefix(signal)}TIMEOUT", timeout, None, doc)


def _compression(signal: str = "") -> str | None:
    return flag(
        f"{_prefix(signal)}COMPRESSION", one_of(*COMPRESSIONS), None, _doc("Compression", signal, "none or gzip")
    )


def _file(suffix: str, what: str, signal: str = "") -> str | None:
    return flag(f"{_prefix(signal)}{suffix}", file_path, None, _doc(what, signal, "a PEM file"))


def _insecure(signal: str = "") -> bool | None:
    doc = _doc("Plaintext", signal, "true or false; for an endpoint without a scheme")
    return flag(f"{_prefix(signal)}INSECURE", boolean, None, doc)


def _prefix(signal: str) -> str:
    return f"{_PREFIX}{signal.upper()}_" if signal else _PREFIX


def _doc(what: str, signal: str, form: str) -> str:
    return f"{what} for {signal}; overrides the general flag." if signal else f"{what}: {form}."


_CERTIFICATE = ("CERTIFICATE", "Certificates that the collector is verified with")
_KEY = ("CLIENT_KEY", "Key of the client certificate")
_CLIENT = ("CLIENT_CERTIFICATE", "Client certificate")


@dataclass(frozen=True, kw_only=True)
class OtlpSettings:
    """Where each signal is exported to, and how. `traces`, `logs` and `metrics` are the resolved values."""

    traces_exporter: tuple[str, ...] | None = _exporter("traces", "Default: otlp if an endpoint is set.")
    logs_exporter: tuple[str, ...] | None = _exporter("logs", "Default: none.")
    metrics_exporter: tuple[str, ...] | None = _exporter("metrics", "Default: none.", metric_exporter_names)

    endpoint: str | None = _endpoint()
    protocol: str | None = _protocol()
    headers: tuple[tuple[str, str], ...] | None = _headers()
    timeout_s: float | None = _timeout()
    compression: str | None = _compression()
    certificate: str | None = _file(*_CERTIFICATE)
    client_key: str | None = _file(*_KEY)
    client_certificate: str | None = _file(*_CLIENT)
    insecure: bool | None = _insecure()

    traces_endpoint: str | None = _endpoint("traces")
    traces_protocol: str | None = _protocol("traces")
    traces_headers: tuple[tuple[str, str], ...] | None = _headers("traces")
    traces_timeout_s: float | None = _timeout("traces")
    traces_compression: str | None = _compression("traces")
    traces_certificate: str | None = _file(*_CERTIFICATE, "traces")
    traces_client_key: str | None = _file(*_KEY, "traces")
    traces_client_certificate: str | None = _file(*_CLIENT, "traces")
    traces_insecure: bool | None = _insecure("traces")

    logs_endpoint: str | None = _endpoint("logs")
    logs_protocol: str | None = _protocol("logs")
    logs_headers: tuple[tuple[str, str], ...] | None = _headers("logs")
    logs_timeout_s: float | None = _timeout("logs")
    logs_compression: str | None = _compression("logs")
    logs_certificate: str | None = _file(*_CERTIFICATE, "logs")
    logs_client_key: str | None = _file(*_KEY, "logs")
    logs_client_certificate: str | None = _file(*_CLIENT, "logs")
    logs_insecure: bool | None = _insecure("logs")

    metrics_endpoint: str | None = _endpoint("metrics")
    metrics_protocol: str | None = _protocol("metrics")
    metrics_headers: tuple[tuple[str, str], ...] | None = _headers("metrics")
    metrics_timeout_s: float | None = _timeout("metrics")
    metrics_compression: str | None = _compression("metrics")
    metrics_certificate: str | None = _file(*_CERTIFICATE, "metrics")
    metrics_client_key: str | None = _file(*_KEY, "metrics")
    metrics_client_certificate: str | None = _file(*_CLIENT, "metrics")
    metrics_insecure: bool | None = _insecure("metrics")

    directory: str | None = flag(
        "OBS_TELEMETRY_DIR", directory_or_none, None, "Directory where telemetry waits for a collector that is down."
    )
    directory_mb: int = flag(
        "OBS_TELEMETRY_DIR_MB", positive_integer, 64, "Maximum size of each signal in OBS_TELEMETRY_DIR, in MiB."
    )

    @property
    def traces(self) -> OtlpSignal:
        """The export of spans; it needs an endpoint, or OTEL_TRACES_EXPORTER."""
        return self._signal("traces", ("otlp",) if self.traces_endpoint or self.endpoint else ())

    @property
    def logs(self) -> OtlpSignal:
        """The export of log lines; it needs OTEL_LOGS_EXPORTER."""
        return self._signal("logs", ())

    @property
    def metrics(self) -> OtlpSignal:
        """The export of metrics; it needs OTEL_METRICS_EXPORTER."""
        return self._signal("metrics", ())

    @property
    def endpoints_of_traces(self) -> list[str]:
        """The variables that name an endpoint for traces, unless another signal is exported to the general one."""
        general = None if self.logs.endpoint or self.metrics.endpoint else self.endpoint
        named = {f"{_PREFIX}TRACES_ENDPOINT": self.traces_endpoint, f"{_PREFIX}ENDPOINT": general}
        return [name for name, endpoint in named.items() if endpoint]

    def contradictions(self) -> list[str]:
        """Return a sentence for each address that is not one for the protocol of a signal that is sent there."""
        names = (_misfit(name, getattr(self, name)) for name in ("traces", "logs", "metrics"))
        # The address may contain credentials.
        return [
            f"{name} is not an http or https URL, which the protocol http/protobuf needs: http://otel-collector:4318."
            for name in dict.fromkeys(filter(None, names))
        ]

    def _signal(self, signal: str, default: tuple[str, ...]) -> OtlpSignal:
        def resolved(name: str) -> object:
            own = getattr(self, f"{signal}_{name}")
            return getattr(self, name) if own is None else own

        named: tuple[str, ...] | None = getattr(self, f"{signal}_exporter")
        exporters = default if named is None else named
        protocol = str(resolved("protocol") or PROTOCOLS[0])
        address = resolved("endpoint") or _DEFAULT_ENDPOINTS[protocol]
        values = {name: resolved(name) for name in ("certificate", "client_key", "client_certificate")}
        return OtlpSignal(
            exporters=exporters,
            endpoint=str(address) if "otlp" in exporters else None,
            endpoint_is_general=getattr(self, f"{signal}_endpoint") is None,
            protocol=protocol,
            headers=getattr(self, f"{signal}_headers") or self.headers or (),
            timeout_s=getattr(self, f"{signal}_timeout_s") or self.timeout_s or DEFAULT_TIMEOUT_S,
            compression=str(resolved("compression") or "none"),
            insecure=bool(resolved("insecure")),
            **{name: None if path is None else str(path) for name, path in values.items()},
        )


__all__ = ["COMPRESSIONS", "DEFAULT_TIMEOUT_S", "PROTOCOLS", "OtlpSettings", "OtlpSignal"]
