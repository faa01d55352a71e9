"""Counts the Engine.IO connections by transport, and their upgrades from polling to WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.socketio_ext.series import GaugeShare

_POLLING, _WEBSOCKET = "polling", "websocket"


class Transports:
    """Feeds `divan_socketio_transports{transport}` and `divan_socketio_upgrades_total`."""

    def __init__(self, metrics: Metrics) -> None:
        self._shares = {name: GaugeShare(metrics.socketio_transports.labels(name)) for name in (_POLLING, _WEBSOCKET)}
        self._upgrades = metrics.socketio_upgrades
        self._corrections = metrics.socketio_corrections.labels("transports")
        self._open: dict[str, set[str]] = {_POLLING: set(), _WEBSOCKET: set()}
        # These may be upgraded later.
        self.polling = self._open[_POLLING]

    def opened(self, eio_sid: str, environ: Mapping[str, Any]) -> None:
        """Note a connection, with its handshake."""
        self._open[_WEBSOCKET if _is_websocket(environ) else _POLLING].add(eio_sid)
        self._publish()

    def closed(self, eio_sid: str) -> None:
        """Note that a connection has ended."""
        for members in self._open.values():
            members.discard(eio_sid)
        self._publish()

    def look(self, eio_sid: str, sockets: Mapping[str, Any]) -> None:
        """Note the upgrade of a polling connection, if it has happened."""
        socket = sockets.get(eio_sid)
        if socket is not None and socket.upgraded:
            self.polling.discard(eio_sid)
            self._open[_WEBSOCKET].add(eio_sid)
            self._upgrades.inc()
            self._publish()

    def reconcile(self, sockets: Mapping[str, Any]) -> None:
        """Note upgrades of silent clients, and drop connections that the server does not hold any more."""
        for eio_sid in list(self.polling):
            self.look(eio_sid, sockets)
        off = 0
        for members in self._open.values():
            gone = {eio_sid for eio_sid in members if eio_sid not in sockets or sockets[eio_sid].closed}
            members -= gone
            off += len(gone)
        if off:
            self._corrections.inc(off)
            self._publish()

    def _publish(self) -> None:
        for name, members in self._open.items():
            self._shares[name].set(len(members))


def _is_websocket(environ: Mapping[str, Any]) -> bool:
    scope = environ.get("asgi.scope")
    if isinstance(scope, dict) and "type" in scope:
        return bool(scope["type"] == _WEBSOCKET)
    # Without a scope the header has to do, though a polling client may send it as well.
    upgrade = environ.get("HTTP_UPGRADE")
    return isinstance(upgrade, str) and upgrade.lower() == _WEBSOCKET


__all__ = ["Transports"]
