"""The record of an HTTP request, a WebSocket or a Socket.IO event: its ids, its route, and how it ended."""

from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.record import Record, current_record
from divan_obs_asgi.connection.request import RequestRecord

__all__ = ["EventRecord", "Record", "RequestRecord", "current_record"]
