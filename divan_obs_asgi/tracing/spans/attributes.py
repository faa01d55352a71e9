"""What a server span says of its connection. Imported only where tracing is on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias

from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import AttributeValue

from divan_obs_asgi.connection.record import OTHER_METHOD, RequestRecord
from divan_obs_asgi.connection.routes import UNMATCHED
from divan_obs_asgi.names import class_name
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.spans.tail_sampling import FAILED
from divan_obs_asgi.types import Scope

Attributes: TypeAlias = dict[str, AttributeValue]

# What a client or a proxy may write into these is not ours to repeat.
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_VERSIONS = frozenset({"1.0", "1.1", "2", "3"})
# The stable names of the HTTP semantic conventions, and what they were called before.
_OLD_NAMES = {
    "http.request.method": "http.method",
    "http.response.status_code": "http.status_code",
    "url.scheme": "http.scheme",
    "url.path": "http.target",
    "network.protocol.version": "http.flavor",
    "client.address": "http.client_ip",
}


def scope_at_start(scope: Scope) -> Scope:
    """Return what `SpanContent` tells of a connection's start, as it is now: an application may change its scope."""
    get = scope.get
    return {"scheme": get("scheme"), "http_version": get("http_version"), "client": get("client")}


class SpanContent:
    """Kind, name, attributes and links of the span of an HTTP request or a WebSocket."""

    _kind = SpanKind.SERVER

    def __init__(self, settings: Settings) -> None:
        self._old_names = "http/dup" in settings.tracing.semconv_opt_in
        # Also through a provider whose exporter knows no policy.
        self._policy = RedactionPolicy.from_settings(settings.redaction)
        self._redacted = self._policy.redact_text
        self._address = _ADDRESSES[settings.tracing.client_address]

    def _at_start(self, scope: Mapping[str, Any], record: RequestRecord) -> Attributes:
        """What samplers and processors may want to see at the start (HTTP semantic conventions, "Server")."""
        attributes: Attributes = {"http.request.method": record.method}
        scheme = scope.get("scheme")
        if scheme in _SCHEMES:
            attributes["url.scheme"] = scheme
        version = scope.get("http_version")
        if version in _VERSIONS:
            attributes["network.protocol.version"] = version
        if self._address is not None:
            client = scope.get("client")
            address = self._address(client[0]) if client and isinstance(client, (tuple, list)) else None
            if address is not None:
                attributes["client.address"] = address
        return attributes

    def _at_end(self, record: RequestRecord) -> Attributes:
        route = record.route
        attributes: Attributes = {
            "http.route": route,
            "divan.outcome": record.outcome or "",
            "divan.request_id": record.request_id,
        }
        if route != UNMATCHED:
            # The template and never the path, in which there may be names, addresses and tokens.
            attributes["url.path"] = route
        if record.status:
            attributes["http.response.status_code"] = record.status
        if record.kind == "websocket":
            attributes["websocket.messages_received"] = record.messages_received
            attributes["websocket.messages_sent"] = record.messages_sent
            if record.close_code is not None:
                attributes["websocket.close_code"] = record.close_code
        if record.operation:
            attributes["divan.operation"] = record.operation
        if record.outcome in FAILED:
            attributes["error.type"] = error_type(record, self._redacted)
        return attributes

    def _links(self, record: RequestRecord) -> tuple[Link, ...]:
        return ()

    def _name(self, record: RequestRecord) -> str:
        """HTTP semantic conventions, "Name": the method and the template; `HTTP` in place of a method nobody knows."""
        return f"{'HTTP' if record.method == OTHER_METHOD else record.method} {record.route}"

    def _add_old_names(self, known: Mapping[str, AttributeValue], attributes: Attributes) -> None:
        for new, old in _OLD_NAMES.items():
            value = attributes.get(new, known.get(new))
            if value is not None:
                attributes[old] = value


def error_type(record: RequestRecord, redacted: Callable[[str], str]) -> str:
    """
    HTTP semantic conventions: the exception's type, else the application's reason, else the status; else what
    happened in place of one.

    Args:
        redacted: what the name of a class goes through, which may have been made of data.
    """
    if record.error is not None:
        return redacted(class_name(type(record.error)))
    return record.failure or str(record.status or record.outcome)


@lru_cache(maxsize=1024)
def _network(address: str) -> str | None:
    """Return an address without what tells one household from the next: 24 bits of IPv4, 48 of IPv6 are kept."""
    try:
        kept = 24 if ip_address(address).version == 4 else 48
        return str(ip_network(f"{address.partition('%')[0]}/{kept}", strict=False).network_address)
    except ValueError:
        return None  # A socket's path, "testclient".


@lru_cache(maxsize=1024)
def _full(address: str) -> str | None:
    try:
        return str(ip_address(address))
    except ValueError:
        return None


_ADDRESSES: dict[str, Callable[[str], str | None] | None] = {"none": None, "network": _network, "full": _full}

__all__ = ["Attributes", "SpanContent", "error_type", "scope_at_start"]
