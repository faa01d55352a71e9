"""The contract with Engine.IO and Socket.IO: all that they log and raise. A release that refuses more is noticed."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType

import engineio.async_server
import engineio.async_socket
import engineio.exceptions
import engineio.packet
import engineio.payload
import pytest
import socketio.async_manager
import socketio.async_pubsub_manager
import socketio.async_server
import socketio.packet

from divan_obs_asgi.socketio_ext.refusals import LOG_KEYS, REASONS, reason_of_error

# What stands there at 4.8 and at 4.15 of Engine.IO, or 5.11 and 5.18 of Socket.IO: the text of each line of the log,
# and the reason under which `divan_socketio_refused_total` counts what it is about; None where nothing is
# refused: a beginning, an end, or an exception of the application's, which has counters of its own.
LOGGED: dict[ModuleType, dict[str, str | None]] = {
    engineio.async_server: {
        " is not an accepted origin.": "bad_origin",
        "Invalid transport": "transport",
        "The client is using an unsupported version of the Socket.IO or Engine.IO protocols": "protocol_version",
        "Invalid JSONP index number": "invalid_jsonp",
        "Invalid websocket upgrade": "upgrade_failed",
        "Invalid session ": "unknown_session",
        " ": "unknown_session",  # The text of a KeyError and the session.
        "Socket for session  is not connected": "handshake_pending",
        "Unexpected HTTP request for session ": "session_upgraded",
        "Invalid transport for session ": "transport",
        "post request handler error": "undecodable",  # Or one that the exception says.
        "Method %s not supported": "method",
        "Application rejected connection": "auth",
        "Cannot send to sid %s": "recipient_gone",
        " async handler error": "undecodable",  # Or an exception of a handler.
        " handler error": "undecodable",
        "Socket.IO is shutting down": None,
        "service task canceled": None,
        "event loop is closed, exiting service task": None,
        "service task exception": None,
    },
    engineio.async_socket: {
        "%s: Received packet %s data %s": None,
        "%s: Sending packet %s data %s": None,
        "%s: Client is gone, closing socket": None,
        "%s: Received request to upgrade to %s": None,
        "%s: Failed websocket upgrade, no PING packet": "upgrade_failed",
        "%s: Failed websocket upgrade, expected UPGRADE packet, received %s instead.": "upgrade_failed",
        "%s: Upgrade to websocket successful": None,
        "Receive error -- socket is closed": "session_closed",
        "Unknown receive error": "unknown_packet",
    },
    socketio.async_server: {
        'emitting event "%s" to %s [%s]': None,
        "%s is entering room %s [%s]": None,
        "%s is leaving room %s [%s]": None,
        "room %s is closing [%s]": None,
        "Disconnecting %s [%s]": None,
        'received event "%s" from %s [%s]': None,
        "received ack from %s [%s]": None,
        "%s is not connected to namespace %s": "not_connected",
        "Socket.IO is shutting down": None,
    },
    socketio.async_manager: {"Unknown callback received, ignoring.": "unknown_ack"},
    # `divan_socketio_pubsub_lost_total` counts these.
    socketio.async_pubsub_manager: {
        " backend initialized.": None,
        "pubsub message: {}method": None,
        "Handler error in pubsub listening thread": None,
        "Unknown error in pubsub listening thread": None,
        "pubsub listen() exited unexpectedly": None,
        "Unexpected Error in pubsub listening thread": None,
        "Unexpected Error in pubsub listening thread, exiting": None,
    },
}
# What they raise about a client's packets, and the reason.
RAISED = {
    engineio.packet: {"Binary packets can only be of type MESSAGE", "Invalid empty packet received", ""},
    engineio.payload: {"Too many packets in payload"},
    engineio.async_socket: {"packet is too large", "Socket has been upgraded already"},
    socketio.packet: {
        "Packet does not support binary payload.",
        "too many attachments",
        "id field is too long",
        "Unexpected binary attachment",
    },
    socketio.async_server: {
        "Unexpected binary packet",
        "Unexpected CONNECT_ERROR packet.",
        "Unknown packet type.",
        "Cannot use call() to broadcast.",  # The application's mistake.
    },
}
_LEVELS = {"debug", "info", "warning", "error", "exception", "_log_error_once"}


def logged(module: ModuleType) -> Iterator[str]:
    """Yield the constant part of each text that a module logs."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _LEVELS
            and node.args
        ):
            yield constant(node.args[0])


def constant(node: ast.AST) -> str:
    return "".join(
        part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def raised(module: ModuleType) -> Iterator[str]:
    """Yield the text of each ValueError and OSError that a module raises."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            name = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(name, ast.Name) and name.id in ("ValueError", "OSError", "IOError"):
                yield constant(node.exc.args[0]) if isinstance(node.exc, ast.Call) and node.exc.args else ""


@pytest.mark.parametrize("module", LOGGED, ids=lambda module: str(module.__name__))
def test_a_release_that_logs_more_is_noticed(module: ModuleType) -> None:
    """Each line that the libraries write about a client is known, and has a reason or is about nothing refused."""
    assert set(logged(module)) - LOGGED[module].keys() == set()
    assert {reason for reason in LOGGED[module].values() if reason} <= REASONS.keys()


@pytest.mark.parametrize("module", RAISED, ids=lambda module: str(module.__name__))
def test_a_release_that_raises_more_is_noticed(module: ModuleType) -> None:
    assert set(raised(module)) - RAISED[module] == set()


def test_the_keys_under_which_engineio_logs_refusals_are_known() -> None:
    """A key that is new would be counted as "other"."""
    tree = ast.parse(inspect.getsource(engineio.async_server))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    keys = {constant(call.args[1]) for call in calls if call.func.attr == "_log_error_once"}  # type: ignore[attr-defined]
    assert keys
    assert keys <= LOG_KEYS.keys()


def test_the_exceptions_of_engineio_have_reasons() -> None:
    names = {name for name, kind in vars(engineio.exceptions).items() if isinstance(kind, type)}
    assert names == {
        *("ConnectionError", "ContentTooLongError", "EngineIOError", "QueueEmpty", "SocketIsClosedError"),
        "UnknownPacketError",
    }
    reasons = {reason_of_error(getattr(engineio.exceptions, name)()) for name in names - {"QueueEmpty"}}
    assert reasons == {"payload_too_large", "session_closed", "unknown_packet", "undecodable"}


def test_a_body_has_at_most_16_packets() -> None:
    """docs/socketio.md says so."""
    assert engineio.payload.Payload.max_decode_packets == 16
