"""OTLP over HTTP with the standard library. One connection is kept between batches."""

from __future__ import annotations

import gzip
import selectors
import socket
import ssl
import time
from base64 import b64encode
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from divan_obs_asgi.otlp.answers import Result, of_http
from divan_obs_asgi.otlp.transport import USER_AGENT, OtlpOptions, Signal, tls_context

# A response of a collector has a few bytes. The connection is not kept after a longer one.
_LONGEST_BODY = 64 * 1024
# As fast as a batch of spans can be compressed to a tenth; higher levels gain little.
_GZIP_LEVEL = 5


class HttpTransport:
    """Posts to the URL of the options. Redirects are not followed: another host must not get the headers."""

    def __init__(self, options: OtlpOptions) -> None:
        parts = options.parts
        self._options = options
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = f"[{options.host}]" if ":" in options.host else options.host
        self._authority = host if parts.port is None else f"{host}:{parts.port}"
        self._proxy = _proxy_for(options)
        self._connection: HTTPConnection | None = None
        self._closed = False
        self._sends = False
        self._headers = {
            "Host": self._authority,
            "User-Agent": USER_AGENT,
            **_credentials(parts),
            **dict(options.headers),
            "Content-Type": "application/x-protobuf",
            **({"Content-Encoding": "gzip"} if options.gzip else {}),
        }
        if self._proxy is not None and not options.is_secure:
            self._headers |= _credentials(self._proxy, "Proxy-Authorization")
            self._target = f"http://{self._authority}{self._target}"

    def send(self, signal: Signal, payload: bytes) -> Result:
        body = gzip.compress(payload, _GZIP_LEVEL, mtime=0) if self._options.gzip else payload
        self._sends = True
        try:
            return self._posted(body)
        except Exception as error:
            self._disconnect()
            return Result("retry", _kind(error))
        finally:
            self._sends = False
            if self._closed:
                self._disconnect()

    def close(self) -> None:
        self._closed = True
        connection = self._connection
        # This wakes a thread that reads from the socket; closing it would not.
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        if not self._sends:
            self._disconnect()

    def _posted(self, body: bytes) -> Result:
        deadline = time.monotonic() + self._options.timeout_s
        connection = self._connected()
        connection.request("POST", self._target, body, self._headers)
        response = connection.getresponse()
        content = _read(response, connection.sock, deadline)
        if content is None or response.will_close:
            self._disconnect()
        return of_http(
            response.status,
            response.headers.get("Content-Type", ""),
            response.headers.get("Retry-After"),
            content or b"",
        )

    def _connected(self) -> HTTPConnection:
        if self._connection is not None and self._connection.sock is not None and _is_silent(self._connection.sock):
            return self._connection
        self._disconnect()
        if self._closed:
            raise ConnectionAbortedError
        self._connection = connection = self._new_connection()
        connection.connect()
        if self._closed:
            raise ConnectionAbortedError
        return connection

    def _new_connection(self) -> HTTPConnection:
        options = self._options
        host, port = options.host, options.port
        if self._proxy is not None:
            host, port = self._proxy.hostname or "", self._proxy.port or 80
        if not options.is_secure:
            return HTTPConnection(host, port, timeout=options.timeout_s)
        connection = HTTPSConnection(host, port, timeout=options.timeout_s, context=tls_context(options))
        if self._proxy is not None:
            connection.set_tunnel(options.host, options.port, _credentials(self._proxy, "Proxy-Authorization"))
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()


def _read(response: HTTPResponse, sock: socket.socket | None, deadline: float) -> bytes | None:
    """Return the body; None if it is too long. A server that sends it byte by byte gets no more time than any other."""
    parts: list[bytes] = []
    length = 0
    while part := response.read1(_LONGEST_BODY):
        parts.append(part)
        length += len(part)
        if length > _LONGEST_BODY:
            return None
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if sock is not None:
            sock.settimeout(left_s)
    # An empty body is not read to its end otherwise, and the connection could not be used again.
    response.close()
    return b"".join(parts)


def _is_silent(sock: socket.socket) -> bool:
    """Return whether an idle connection is still open: the server has sent neither its end nor anything else."""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            return not selector.select(0)
    except (OSError, ValueError):
        return False


def _kind(error: Exception) -> str:
    """Return what happened, without the text of the exception: it may contain what the other side has sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the certificate of the collector is not valid"
    if isinstance(error, ssl.SSLError):
        return "the TLS handshake failed"
    if isinstance(error, TimeoutError):
        return "no response in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionError):
        return "connection reset"
    if isinstance(error, socket.gaierror):
        return "the host name is unknown"
    if isinstance(error, HTTPException):
        return "the response is not HTTP"
    return f"connection failed ({type(error).__name__})"


def _proxy_for(options: OtlpOptions) -> SplitResult | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY select."""
    url = getproxies().get(options.parts.scheme)
    if not url or proxy_bypass(options.host):
        return None
    try:
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        proxy.port  # noqa: B018 - raises ValueError for an invalid port
        return proxy if proxy.hostname else None
    except ValueError:
        return None


def _credentials(parts: SplitResult, name: str = "Authorization") -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {name: f"Basic {b64encode(pair.encode()).decode()}"}


__all__ = ["HttpTransport"]
