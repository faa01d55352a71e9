"""Probe: a URL responds."""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self, Unpack
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dns import NameResolver

# RFC 9112, section 4: HTTP-version SP status-code SP.
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_STATUS_LINE_BYTES = 4096
# RFC 9110, section 5.6.2: a token; and the characters that a value must not contain.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")
_DEFAULTS = {"user-agent": "divan-obs", "accept": "*/*"}
# These requests have no body. Without a length a server may answer 411 (RFC 9110, section 8.6).
_LENGTH = {method: {"content-length": "0"} for method in ("POST", "PUT", "PATCH")}
_PORTS = {"http": 80, "https": 443}
# Interim responses come before the final one (RFC 9110, section 15.2).
_INTERIM = range(100, 200)


@dataclass(frozen=True)
class _Target:
    """The address of a request, and its bytes."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    request: bytes

    @classmethod
    def of(cls, url: str, method: str, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> Self:
        """
        Parse `url`.

        Raises:
            ImproperlyConfigured: without the URL in its text, because that can contain a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            raise ImproperlyConfigured("The URL of a probe is invalid; expected http:// or https://.") from None
        if not parts.hostname or not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
            raise ImproperlyConfigured("The URL of a probe has no host, or a character that must be escaped.")
        if "@" in parts.netloc:
            raise ImproperlyConfigured("The URL of a probe has a user; send headers={'authorization': ...} instead.")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = host if port == _PORTS[parts.scheme] else f"{host}:{port}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = _request(method, path, {"host": authority, **_DEFAULTS, **_lower(headers), **_LENGTH.get(method, {})})
        if parts.scheme == "http":
            return cls(parts.hostname, port, None, request)
        return cls(parts.hostname, port, tls or ssl.create_default_context(), request)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    # A header must not be there twice: servers refuse a second `host` (RFC 9112, section 3.2).
    return {name.lower(): value for name, value in headers.items()}


def _request(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _BAD_VALUE.search(value):
            raise ImproperlyConfigured(f"A probe cannot send the header {name!r}: its name or value is invalid.")
    if not _NAME.fullmatch(method):
        raise ImproperlyConfigured(f"A probe cannot send {method!r}; expected a method like GET.")
    headers = {**headers, "connection": "close"}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class HttpProbe(NamedProbe):
    """
    Readiness: a URL answers with an accepted status.

    The request goes to the host of the URL only. The probe follows no redirects (3xx is a status like any other), uses
    no proxy, and reads no body.

    Args:
        url: http:// or https://, without a user.
        headers: sent with each request. Their values are never logged or published.
        accept: the statuses that pass; by default 2xx.
        tls: instead of the system's certificates.

    Raises:
        ImproperlyConfigured: if the URL, a header or the method is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = range(200, 300),
        tls: ssl.SSLContext | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(name, **options)
        self._target = _Target.of(url, method, headers or {}, tls)
        self._accept = accept
        self._resolver = NameResolver()

    async def check(self) -> Mapping[str, object]:
        try:
            await self._resolver.look_up(self._target.host)
            status = await _status(self._target)
        except ssl.SSLError:
            raise ProbeFailed(
                "error"
            ) from None  # Also an OSError: the server is there, but its certificate is invalid.
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):
            raise ProbeFailed("refused") from None
        if status not in self._accept:
            raise ProbeFailed("auth" if status in (401, 403) else "error", status=status)
        return {}


async def _status(target: _Target) -> int:
    stream = await _connected(target)
    try:
        await stream.send(target.request)
        return await _first_status(stream)
    finally:
        # A graceful close would wait for the server.
        await anyio.aclose_forcefully(stream)


async def _connected(target: _Target) -> ByteStream:
    if target.tls is None:
        return await anyio.connect_tcp(target.host, target.port)
    return await anyio.connect_tcp(target.host, target.port, ssl_context=target.tls, tls_standard_compatible=False)


async def _first_status(stream: ByteStream) -> int:
    """Return the status of the final response; interim responses are skipped."""
    received = b""
    while len(received) < _STATUS_LINE_BYTES:
        received += await stream.receive(_STATUS_LINE_BYTES)
        while found := _STATUS_LINE.match(received):
            status = int(found[1])
            if status not in _INTERIM:
                return status
            _, separator, rest = received.partition(b"\r\n\r\n")
            if not separator:
                break
            received = rest
        if b"\n" in received and not _STATUS_LINE.match(received):
            break
    raise ProbeFailed("error")  # Not HTTP.


__all__ = ["HttpProbe"]
