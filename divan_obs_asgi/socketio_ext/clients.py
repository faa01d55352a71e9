"""How many clients are connected: a set kept by what the manager does, and compared with what it holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.socketio_ext.names import Names
from divan_obs_asgi.socketio_ext.series import GaugeShare


class Clients:
    """
    Feeds `divan_socketio_clients{namespace}`.

    Not counted up and down by the events of python-socketio: those are fired twice, or not at all, depending on a
    handler's signature and on the version.
    """

    def __init__(self, metrics: Metrics, names: Names) -> None:
        self._gauge = metrics.socketio_clients
        self._corrections = metrics.socketio_corrections.labels("clients")
        self._names = names
        self._members: dict[str, set[str]] = {}
        self._told: Counter[str] = Counter()
        self._shares: dict[str, GaugeShare] = {}

    def joined(self, sid: str, namespace: str) -> None:
        """The manager has connected a client."""
        members = self._members.setdefault(namespace, set())
        if sid not in members:
            members.add(sid)
            self._tell(self._names.namespace(namespace), 1)

    def left(self, sid: str, namespace: str) -> None:
        """The manager has dismissed a client, or is about to."""
        members = self._members.get(namespace, ())
        if sid in members:
            assert isinstance(members, set)
            members.remove(sid)
            if not members:
                del self._members[namespace]
            self._tell(self._names.namespace(namespace), -1)

    def reconcile(self, manager: Any) -> None:
        """Count anew where the manager holds another number of clients; labels change where a handler came later."""
        off = 0
        for namespace in {*manager.get_namespaces(), *self._members}:
            there = connected(manager, namespace)
            known = self._members.get(namespace, set())
            if len(there) != len(known):
                off += len(there ^ known)
                self._members[namespace] = there
        self._members = {namespace: members for namespace, members in self._members.items() if members}
        if off:
            self._corrections.inc(off)
        told: Counter[str] = Counter()
        for namespace, members in self._members.items():
            told[self._names.namespace(namespace)] += len(members)
        for label in {*told, *self._told}:
            self._share(label).set(told[label])
        self._told = told

    def _tell(self, label: str, change: int) -> None:
        self._told[label] += change
        self._share(label).set(self._told[label])

    def _share(self, label: str) -> GaugeShare:
        share = self._shares.get(label)
        if share is None:
            share = self._shares[label] = GaugeShare(self._gauge.labels(label))
        return share


def connected(manager: Any, namespace: str) -> set[str]:
    """Return whom the manager has and is neither still admitting nor already dismissing."""
    pending = {
        # Since python-socketio 5.18.
        *getattr(manager, "pending_connect", {}).get(namespace, ()),
        *manager.pending_disconnect.get(namespace, ()),
    }
    return {sid for sid, _ in manager.get_participants(namespace, None)} - pending


__all__ = ["Clients", "connected"]
