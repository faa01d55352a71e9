"""Parsers of the variables of OpenTelemetry's OTLP exporters."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from divan_obs_asgi.settings.parsers import directory

EXPORTERS = ("otlp", "console")
_SCHEMES = ("grpc", "grpcs", "http", "https")
# gRPC's own form of an address; OTEL_EXPORTER_OTLP_INSECURE says whether it is plaintext.
_HOST_AND_PORT = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
# RFC 9110, section 5.6.2, after percent-decoding.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
# RFC 9110, section 5.5: a control character would end the header.
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}")
# Nobody waits 17 minutes for an export.
_MILLISECONDS = 1000.0


def endpoint(text: str) -> str | None:
    """Read a collector's address; `grpc` means plaintext, `grpcs` means TLS."""
    value = text.strip()
    if not value:
        return None
    expected = "a URL like grpc://otel-collector:4317 (grpc, grpcs, http or https)"
    try:
        parts = urlsplit(f"//{value}" if _HOST_AND_PORT.fullmatch(value) else value)
        parts.port  # noqa: B018 - raises ValueError for an invalid port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("", *_SCHEMES) or not parts.hostname or (not parts.scheme and value.startswith("//")):
        raise ValueError(expected)
    return value


def exporter_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of exporters; `none` is a list of its own."""
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    if names == ("none",):
        return ()
    if not names or not set(names) <= set(EXPORTERS):
        raise ValueError("otlp, console, both separated by a comma, or none")
    return names


def metric_exporter_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of exporters of metrics; `prometheus` is /metrics, which is served in any case."""
    names = [part for part in text.split(",") if part.strip().lower() != "prometheus"]
    return exporter_names(",".join(names)) if "".join(names).strip() else ()


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """
    Read `name=value` pairs, percent-encoded, separated by commas.

    Values with blanks (`Authorization=Basic abc`) are accepted too, as OpenTelemetry's SDKs do. The error never shows
    the text, which is a secret.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, value = (each.strip() for each in part.partition("="))
        name, value = unquote(name).strip().lower(), unquote(value).strip()
        if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("name=value pairs, percent-encoded, separated by commas: x-tenant=shop,x-key=a%20b")
        found[name] = value
    return tuple(found.items())


def timeout(text: str) -> float:
    """
    Return seconds.

    The variable is milliseconds by the specification and in most languages (10000), and seconds in OpenTelemetry's SDK
    for Python (10). A value from 1000 on is milliseconds.
    """
    value = text.strip()
    if not _NUMBER.fullmatch(value) or float(value) <= 0.0:
        raise ValueError("a number of seconds above 0, or of milliseconds from 1000")
    number = float(value)
    return number / 1000 if number >= _MILLISECONDS else number


def file_path(text: str) -> str | None:
    """Read the path of a file, which the exporter opens."""
    return text.strip() or None


def directory_or_none(text: str) -> str | None:
    """Read the absolute path of a directory; an empty text means that it is not set."""
    return directory(text) if text.strip() else None


__all__ = [
    "EXPORTERS",
    "directory_or_none",
    "endpoint",
    "exporter_names",
    "file_path",
    "headers",
    "metric_exporter_names",
    "timeout",
]
