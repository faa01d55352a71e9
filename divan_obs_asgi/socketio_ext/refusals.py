"""What Engine.IO and Socket.IO refuse, drop or cannot decode: the closed reasons, and the one place that finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics

#: The reasons, with what each of them means for the operator; docs/socketio.md says what to do.
REASONS: Final[Mapping[str, str]] = {
    "auth": "a connect handler, or Engine.IO's own, has refused the client",
    "bad_origin": "the Origin is not in cors_allowed_origins",
    "duplicate_connect": "the client is connected to this namespace already",
    "handshake_pending": "the session has not finished its handshake",
    "incomplete_binary": "the connection ended before the attachments of a binary event had arrived",
    "invalid_jsonp": "the query has an invalid JSONP index",
    "method": "an HTTP method other than GET, POST and OPTIONS",
    "no_handler": "the event has no handler",
    "no_length": "a body without Content-Length, which Engine.IO reads as empty",
    "not_connected": "an event for a namespace that the client is not connected to",
    "other": "a refusal that this version of the library does not know",
    "payload_too_large": "a body or a message above max_http_buffer_size",
    "poll_timeout": "nothing was sent to a polling client for ping_interval and ping_timeout",
    "protocol_version": "a version of the protocol other than EIO=4",
    "recipient_gone": "a packet for a client whose session has ended",
    "session_closed": "the session has ended",
    "session_upgraded": "a poll or a POST of a session that uses WebSocket by now",
    "too_many_packets": "more packets in one body than Engine.IO decodes (16)",
    "transport": "a transport that the server does not allow, or that does not fit the session",
    "undecodable": "bytes that are not a packet of the protocol",
    "unknown_ack": "an acknowledgement that nobody waits for",
    "unknown_namespace": "a namespace without handlers",
    "unknown_packet": "a packet of a type that clients do not send",
    "unknown_session": "a session that this process does not know",
    "upgrade_failed": "an upgrade to WebSocket that was not completed",
}
# The keys under which Engine.IO logs that it refuses a request.
LOG_KEYS: Final[Mapping[str, str]] = {
    "bad-jsonp-index": "invalid_jsonp",
    "bad-origin": "bad_origin",
    "bad-sid": "unknown_session",
    "bad-transport": "transport",
    "bad-upgrade": "upgrade_failed",
    "bad-version": "protocol_version",
    "not-connected": "handshake_pending",
    "unexpected-http": "session_upgraded",
}
# The outcomes of `divan_socketio_connects_total` that are refusals.
CONNECTS: Final[Mapping[str, str]] = {
    "duplicate": "duplicate_connect",
    "refused": "auth",
    "unknown_namespace": "unknown_namespace",
}
# engineio.exceptions, by name: what Engine.IO raises while it handles a packet.
_EXCEPTIONS: Final[Mapping[str, str]] = {
    "ContentTooLongError": "payload_too_large",
    "QueueEmpty": "poll_timeout",
    "SocketIsClosedError": "session_closed",
    "UnknownPacketError": "unknown_packet",
}
# engineio.Payload.decode raises a ValueError with this text.
_TOO_MANY: Final = "Too many packets in payload"
# Functions of Engine.IO whose exceptions leave it.
_RAISED_IN: Final[Mapping[str, str]] = {"_get_socket": "unknown_session", "_upgrade_websocket": "upgrade_failed"}
_MAX_STEPS: Final = 100


class Refusals:
    """Counts refusals by reason, and notes them on the line of the request or WebSocket that has caused them."""

    def __init__(self, metrics: Metrics, faults: InternalErrors) -> None:
        self._count = metrics.socketio_refused
        self._faults = faults

    def refuse(self, reason: str, *, by_client: bool = True) -> None:
        """
        Count a refusal; never raises.

        Args:
            by_client: whether what is refused came by the current request or WebSocket.
        """
        try:
            reason = reason if reason in REASONS else "other"
            self._count.labels(reason).inc()
            record = current_record.get() if by_client else None
            if isinstance(record, RequestRecord):
                record.refuse(reason)
        except Exception as error:
            self._faults.report("socketio", error)


def reason_of_error(error: BaseException) -> str | None:
    """Return why Engine.IO could not handle a packet; None if it was interrupted."""
    name = type(error).__name__
    if name == "QueueEmpty" and not isinstance(error.__context__, TimeoutError):
        return None  # The server ends the poll, or the client has left.
    if name in _EXCEPTIONS:
        return _EXCEPTIONS[name]
    return "too_many_packets" if _TOO_MANY in str(error) else "undecodable"


def reason_of_escape(error: BaseException, has_session: bool) -> str | None:
    """
    Return why an exception has left Engine.IO's `handle_request`; None if it does not refuse a request.

    Args:
        has_session: whether the request names a session.
    """
    last = places(error)[-1:]
    if last and last[0][1] in _RAISED_IN and last[0][0].startswith("engineio."):
        return _RAISED_IN[last[0][1]]
    if last and last[0] == ("engineio.async_server", "handle_request"):
        # Its own mistakes: before 4.12 a POST without a session; since 4.12 a response that was never set.
        cause = error.__context__
        return reason_of_error(cause) if cause is not None else None if has_session else "unknown_session"
    return None


def places(error: BaseException) -> list[tuple[str, str]]:
    """Return the modules and functions of an exception's traceback, the outermost first."""
    found: list[tuple[str, str]] = []
    step = error.__traceback__
    while step is not None and len(found) < _MAX_STEPS:
        frame = step.tb_frame
        found.append((str(frame.f_globals.get("__name__", "")), frame.f_code.co_name))
        step = step.tb_next
    return found


def is_raised_below(error: BaseException, *functions: Callable[..., object]) -> bool:
    """Return whether an exception was raised in something that one of these functions has called."""
    codes = {getattr(function, "__code__", None) for function in functions}
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        if step.tb_frame.f_code in codes:
            return True
        step = step.tb_next
    return False


__all__ = [
    "CONNECTS",
    "LOG_KEYS",
    "REASONS",
    "Refusals",
    "is_raised_below",
    "reason_of_error",
    "reason_of_escape",
]
