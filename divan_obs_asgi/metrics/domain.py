"""Counters of application events: one call for each event, such as `observability.metrics.domain.chat_sent()`."""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.metrics.family import BEYOND, RADIUS_CLASSES_M, MetricSource


class Domain:
    """The events of a campus chat: presence, people, chat, rooms, activities. No method raises for any argument."""

    def __init__(self, metrics: MetricSource) -> None:
        self._presence_heartbeats = metrics.of(Catalogue.presence_heartbeats)
        self._presence_rejects = metrics.of(Catalogue.presence_rejects)
        self._proximity_queries = metrics.of(Catalogue.proximity_queries)
        self._invites_sent = metrics.of(Catalogue.invites_sent)
        self._invites_accept = metrics.of(Catalogue.invites_accept)
        self._friendships_accepted = metrics.of(Catalogue.friendships_accepted)
        self._chat_send = metrics.of(Catalogue.chat_send)
        self._chat_delivered_updates = metrics.of(Catalogue.chat_delivered_updates)
        self._chat_read_updates = metrics.of(Catalogue.chat_read_updates)
        self._rooms_created = metrics.of(Catalogue.rooms_created)
        self._rooms_join = metrics.of(Catalogue.rooms_join)
        self._rooms_send = metrics.of(Catalogue.rooms_send)
        self._activities_created = metrics.of(Catalogue.activities_created)
        self._activities_completed = metrics.of(Catalogue.activities_completed)
        self._lb_events_processed = metrics.of(Catalogue.lb_events_processed)
        self._lb_snapshots = metrics.of(Catalogue.lb_snapshots)

    # Presence and proximity.

    def presence_heartbeat(self, campus_id: str) -> None:
        """Count an accepted heartbeat."""
        self._presence_heartbeats.labels(campus_id).inc()

    def presence_rejected(self, reason: str) -> None:
        """Count a refused heartbeat."""
        self._presence_rejects.labels(reason).inc()

    def proximity_query(self, radius_m: float) -> None:
        """Count a query for users within `radius_m` metres."""
        self._proximity_queries.labels(_radius_class(radius_m)).inc()

    # People.

    def invite_sent(self) -> None:
        self._invites_sent.inc()

    def invite_accepted(self) -> None:
        self._invites_accept.inc()

    def friendship_accepted(self) -> None:
        self._friendships_accepted.inc()

    # Chat and rooms.

    def chat_sent(self) -> None:
        self._chat_send.inc()

    def chat_delivered(self) -> None:
        """Count a delivery receipt: an update of the last delivered message."""
        self._chat_delivered_updates.inc()

    def chat_read(self) -> None:
        """Count a read receipt: an update of the last read message."""
        self._chat_read_updates.inc()

    def room_created(self) -> None:
        self._rooms_created.inc()

    def room_joined(self) -> None:
        self._rooms_join.inc()

    def room_message_sent(self) -> None:
        self._rooms_send.inc()

    # Activities and leaderboards.

    def activity_created(self, kind: str) -> None:
        self._activities_created.labels(kind).inc()

    def activity_completed(self, kind: str) -> None:
        self._activities_completed.labels(kind).inc()

    def leaderboard_event(self, stream: str) -> None:
        """Count an event of a stream that the leaderboards have processed."""
        self._lb_events_processed.labels(stream).inc()

    def leaderboard_snapshot(self, period: str, scope: str) -> None:
        """Count a leaderboard snapshot of a period (day, week) and a scope (campus, friends)."""
        self._lb_snapshots.labels(period, scope).inc()


def _radius_class(radius_m: float) -> str:
    try:
        return next((str(edge) for edge in RADIUS_CLASSES_M if radius_m <= edge), BEYOND)
    except Exception:
        return "unknown"  # Not in the vocabulary: counted as an overflow, with a warning.


__all__ = ["Domain"]
