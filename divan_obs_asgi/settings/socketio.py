"""Flags of Socket.IO."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean


@dataclass(frozen=True, kw_only=True)
class SocketIoSettings:
    """What `ObservedAsyncServer` measures and returns to clients."""

    enabled: bool = flag("OBS_SOCKETIO_ENABLED", boolean, True, "Observe Socket.IO clients and events.")
    emit_spans: bool = flag("OBS_SOCKETIO_EMIT_SPANS", boolean, False, "Create a span for every Socket.IO emit.")
    client_traces: bool = flag(
        "OBS_SOCKETIO_CLIENT_TRACES",
        boolean,
        False,
        "Send the trace context of an emit to Socket.IO clients that ask for it.",
    )
    room_sizes: bool = flag(
        "OBS_SOCKETIO_ROOM_SIZES",
        boolean,
        False,
        "Measure the sizes of Socket.IO rooms every 10 seconds, for debugging.",
    )
    ack_errors: bool = flag(
        "OBS_SOCKETIO_ACK_ERRORS",
        boolean,
        False,
        "Answer a Socket.IO event or connect whose handler raised with an error.",
    )


__all__ = ["SocketIoSettings"]
