"""Name, attributes and links of a server span. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias

from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import AttributeValue

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.connection.request import OTHER_METHOD, RequestRecord
from divan_obs_asgi.connection.routes import UNMATCHED
from divan_obs_asgi.connection.wait_times import CALLS
from divan_obs_asgi.names import class_name
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.spans.tail_sampling import FAILED
from divan_obs_asgi.types import Scope

Attributes: TypeAlias = dict[str, AttributeValue]

# A client or a proxy can set these values, so only known ones are copied.
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_VERSIONS = frozenset({"1.0", "1.1", "2", "3"})
# The stable names of the HTTP semantic conventions, and their old names.
_OLD_NAMES = {
    "http.request.method": "http.method",
    "http.response.status_code": "http.status_code",
    "url.scheme": "http.scheme",
    "url.path": "http.target",
    "network.protocol.version": "http.flavor",
    "client.address": "http.client_ip",
}


def scope_at_start(scope: Scope) -> Scope:
    """Return a copy of the values that `SpanContent` reads at the start; an application may change its scope later."""
    get = scope.get
    return {"scheme": get("scheme"), "http_version": get("http_version"), "client": get("client")}


class SpanContent:
    """Kind, name, attributes and links of the span of an HTTP request or a WebSocket."""

    _kind = SpanKind.SERVER

    def __init__(self, settings: Settings) -> None:
        self._old_names = "http/dup" in settings.tracing.semconv_opt_in
        # Redaction happens here too, because the exporter of the application's provider does not redact.
        self._policy = RedactionPolicy.from_settings(settings.redaction)
        self._redacted = self._policy.redact_text
        self._address = _ADDRESSES[settings.tracing.client_address]

    def _at_start(self, scope: Mapping[str, Any], record: Record) -> Attributes:
        """Return the attributes that samplers and processors may need at the start (HTTP semantic conventions)."""
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

    def _at_end(self, record: Record) -> Attributes:
        route = record.route
        attributes: Attributes = {
            "http.route": route,
            "divan.outcome": record.outcome or "",
            "divan.request_id": record.request_id,
        }
        if route != UNMATCHED:
            # Always the template: the path itself can contain names, addresses and tokens.
            attributes["url.path"] = route
        if record.status:
            attributes["http.response.status_code"] = record.status
        if isinstance(record, RequestRecord) and record.kind == "websocket":
            attributes["websocket.messages_received"] = record.messages_received
            attributes["websocket.messages_sent"] = record.messages_sent
            if record.close_code is not None:
                attributes["websocket.close_code"] = record.close_code
        if record.operation:
            attributes["divan.operation"] = record.operation
        if record.outcome in FAILED:
            attributes["error.type"] = error_type(record, self._redacted)
        if record.waited_s is not None:
            attributes.update(wait_times(record))
        return attributes

    def _links(self, record: Record) -> tuple[Link, ...]:
        return ()

    def _name(self, record: Record) -> str:
        """Return the method and the template (HTTP semantic conventions, "Name"); `HTTP` for an unknown method."""
        return f"{'HTTP' if record.method == OTHER_METHOD else record.method} {record.route}"

    def _add_old_names(self, known: Mapping[str, AttributeValue], attributes: Attributes) -> None:
        for new, old in _OLD_NAMES.items():
            value = attributes.get(new, known.get(new))
            if value is not None:
                attributes[old] = value


def wait_times(record: Record) -> Attributes:
    """Return what a slow or failed request has waited for, in seconds; nothing for others."""
    attributes: Attributes = {}
    if record.waited is not None and record.waited_s is not None:
        for cause, waited_s in record.waited_s.items():
            attributes[f"divan.waited.{cause}.duration"] = round(waited_s, 6)
            if cause in CALLS:
                attributes[f"divan.waited.{cause}.count"] = record.waited.counts[cause]
    return attributes


def error_type(record: Record, redacted: Callable[[str], str]) -> str:
    """
    Return `error.type` of the HTTP semantic conventions.

    It is the type of the exception, or else the reason that the application gave, the status or the outcome.

    Args:
        redacted: redacts the name of the class, which may have been built from data.
    """
    if record.error is not None:
        return redacted(class_name(type(record.error)))
    return record.failure or str(record.status or record.outcome)


@lru_cache(maxsize=1024)
def _network(address: str) -> str | None:
    """Return the network of an address: 24 bits of IPv4 or 48 bits of IPv6, which do not identify a household."""
    try:
        kept = 24 if ip_address(address).version == 4 else 48
        return str(ip_network(f"{address.partition('%')[0]}/{kept}", strict=False).network_address)
    except ValueError:
        return None  # For example the path of a socket, or "testclient".


@lru_cache(maxsize=1024)
def _full(address: str) -> str | None:
    try:
        return str(ip_address(address))
    except ValueError:
        return None


_ADDRESSES: dict[str, Callable[[str], str | None] | None] = {"none": None, "network": _network, "full": _full}

__all__ = ["Attributes", "SpanContent", "error_type", "scope_at_start", "wait_times"]
