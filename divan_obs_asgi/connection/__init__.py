"""One HTTP request or WebSocket: its record, its route, its headers and its end."""

from divan_obs_asgi.connection.record import RequestRecord, current_record

__all__ = ["RequestRecord", "current_record"]
