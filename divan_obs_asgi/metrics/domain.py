"""What an application counts of its own events: a line at each hook, `observability.metrics.domain.chat_sent()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.metrics.family import BEYOND, RADIUS_CLASSES_M

if TYPE_CHECKING:
    from divan_obs_asgi.metrics.registry import Metrics


class Domain:
    """The events of a campus chat: presence, people, chat, rooms, activities. Nothing here raises, whatever it gets."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    # Presence and proximity.

    def presence_heartbeat(self, campus_id: str) -> None:
        """A heartbeat was accepted."""
        self._metrics.presence_heartbeats.labels(campus_id).inc()

    def presence_rejected(self, reason: str) -> None:
        """A heartbeat was refused."""
        self._metrics.presence_rejects.labels(reason).inc()

    def proximity_query(self, radius_m: float) -> None:
        """Somebody asked who is near, within so many metres."""
        self._metrics.proximity_queries.labels(_class_of(radius_m)).inc()

    # People.

    def invite_sent(self) -> None:
        self._metrics.invites_sent.inc()

    def invite_accepted(self) -> None:
        self._metrics.invites_accept.inc()

    def friendship_accepted(self) -> None:
        self._metrics.friendships_accepted.inc()

    # Chat and rooms.

    def chat_sent(self) -> None:
        self._metrics.chat_send.inc()

    def chat_delivered(self) -> None:
        """It was noted how far somebody's messages were delivered."""
        self._metrics.chat_delivered_updates.inc()

    def chat_read(self) -> None:
        """It was noted how far somebody has read."""
        self._metrics.chat_read_updates.inc()

    def room_created(self) -> None:
        self._metrics.rooms_created.inc()

    def room_joined(self) -> None:
        self._metrics.rooms_join.inc()

    def room_message_sent(self) -> None:
        self._metrics.rooms_send.inc()

    # Activities and leaderboards.

    def activity_created(self, kind: str) -> None:
        self._metrics.activities_created.labels(kind).inc()

    def activity_completed(self, kind: str) -> None:
        self._metrics.activities_completed.labels(kind).inc()

    def leaderboard_event(self, stream: str) -> None:
        """The leaderboards have processed an event of a stream."""
        self._metrics.lb_events_processed.labels(stream).inc()

    def leaderboard_snapshot(self, period: str, scope: str) -> None:
        """A snapshot was taken, of a period (day, week) and a scope (campus, friends)."""
        self._metrics.lb_snapshots.labels(period, scope).inc()


def _class_of(radius_m: float) -> str:
    try:
        return next((str(edge) for edge in RADIUS_CLASSES_M if radius_m <= edge), BEYOND)
    except Exception:
        return "unknown"  # In no vocabulary: it is counted as an overflow, and warned about.


__all__ = ["Domain"]
