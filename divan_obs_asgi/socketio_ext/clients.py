"""Counts connected clients: follows the manager's calls, and compares the result with the manager's own list."""

from __future__ import annotations

from collections import Counter
from typing import Any

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.socketio_ext.names import Names
from divan_obs_asgi.socketio_ext.series import GaugeShare


class Clients:
    """
    Feeds `divan_socketio_clients{namespace}`.

    The events of python-socketio are not used to count: depending on a handler's signature and on the version they are
    fired twice or not at all.
    """

    def __init__(self, metrics: Metrics, names: Names) -> None:
        self._gauge = metrics.socketio_clients
        self._corrections = metrics.socketio_corrections.labels("clients")
        self._names = names
        self._members: dict[str, set[str]] = {}
        self._published: Counter[str] = Counter()
        self._shares: dict[str, GaugeShare] = {}

    def joined(self, sid: str, namespace: str) -> None:
        """The manager has connected a client."""
        members = self._members.setdefault(namespace, set())
        if sid not in members:
            members.add(sid)
            self._change(self._names.namespace(namespace), 1)

    def left(self, sid: str, namespace: str) -> None:
        """The manager has disconnected a client, or is about to."""
        members = self._members.get(namespace, ())
        if sid in members:
            assert isinstance(members, set)
            members.remove(sid)
            if not members:
                del self._members[namespace]
            self._change(self._names.namespace(namespace), -1)

    def reconcile(self, manager: Any) -> None:
        """Correct the counts by the manager's list; labels change where a handler was registered later."""
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
        published: Counter[str] = Counter()
        for namespace, members in self._members.items():
            published[self._names.namespace(namespace)] += len(members)
        for label in {*published, *self._published}:
            self._share(label).set(published[label])
        self._published = published

    def _change(self, label: str, change: int) -> None:
        self._published[label] += change
        self._share(label).set(self._published[label])

    def _share(self, label: str) -> GaugeShare:
        share = self._shares.get(label)
        if share is None:
            share = self._shares[label] = GaugeShare(self._gauge.labels(label))
        return share


def connected(manager: Any, namespace: str) -> set[str]:
    """Return the clients of the manager, without those that are still connecting or already disconnecting."""
    pending = {
        # Since python-socketio 5.18.
        *getattr(manager, "pending_connect", {}).get(namespace, ()),
        *manager.pending_disconnect.get(namespace, ()),
    }
    return {sid for sid, _ in manager.get_participants(namespace, None)} - pending


__all__ = ["Clients", "connected"]
