"""What carries encoded batches to a collector, whatever the signal; over gRPC or HTTP."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias
from urllib.parse import SplitResult, urlsplit

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.otlp.answers import Result
from divan_obs_asgi.version import __version__

Signal: TypeAlias = Literal["traces", "logs", "metrics"]
USER_AGENT = f"divan-obs-asgi/{__version__}"
_PLAINTEXT = ("grpc", "http")


@dataclass(frozen=True, slots=True)
class OtlpOptions:
    """
    Where one signal goes, and how.

    Attributes:
        endpoint: a URL. Over HTTP the whole URL, with the path of the signal.
        headers: sent with every request; their values may be secrets and are never shown.
        certificate: a file with the certificates that the collector's is checked against; None for the system's.
        client_certificate: a file with our own certificate, and `client_key` with its key; None if the first has both.
    """

    endpoint: str
    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout_s: float = 10.0
    gzip: bool = False
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.endpoint)

    @property
    def is_secure(self) -> bool:
        return self.parts.scheme not in _PLAINTEXT

    @property
    def host(self) -> str:
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """The port, or the usual one of the scheme; plaintext gRPC has none but the collector's."""
        if self.parts.port is not None:
            return self.parts.port
        if self.parts.scheme == "https":
            return 443
        return 80 if self.protocol == "http/protobuf" else 4317


class OtlpTransport(Protocol):
    """Sends encoded Export...ServiceRequest messages. Used by one thread; `close` may come from another one."""

    def send(self, signal: Signal, payload: bytes) -> Result:
        """Send one message and return what became of it. Raises nothing that the network can cause."""
        ...

    def close(self) -> None:
        """End the connection, and with it a `send` that hangs."""
        ...


def check_files(options: OtlpOptions) -> None:
    """
    Read the certificates once, so that a wrong path is an error at start-up.

    Raises:
        ImproperlyConfigured: if a file is missing or is not what it should be, or a key has no certificate.
    """
    if options.is_secure and options.client_key is not None and options.client_certificate is None:
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_CLIENT_KEY is set without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE; "
            "set both (or those of the signal), or neither."
        )
    try:
        if options.is_secure:
            tls_context(options)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ImproperlyConfigured(
            f"The certificates for the OTLP exporter cannot be read ({type(error).__name__}); "
            "check OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and _CLIENT_KEY."
        ) from None


def tls_context(options: OtlpOptions) -> ssl.SSLContext:
    """Return the context for TLS with the collector."""
    context = ssl.create_default_context(cafile=options.certificate)
    if options.client_certificate is not None:
        # Without a password: an encrypted key would otherwise ask for one on the terminal.
        context.load_cert_chain(options.client_certificate, options.client_key, password="")
    return context


def content_of(path: str | None) -> bytes | None:
    """Return a file's bytes; None without a path."""
    return None if path is None else Path(path).read_bytes()


__all__ = [
    "USER_AGENT",
    "OtlpOptions",
    "OtlpTransport",
    "Signal",
    "check_files",
    "content_of",
    "tls_context",
]
