"""Requests that have ended, without an application that answered them."""

from __future__ import annotations

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.testing import http_scope
from divan_obs_asgi.types import Outcome


def ended(
    route: str,
    status: int = 200,
    outcome: Outcome = "ok",
    seconds: float = 0.1,
    size: int | None = 0,
    waits: bool = False,
) -> RequestRecord:
    """Return a finished record; one without a size was never answered."""
    record = RequestRecord(http_scope(), RouteTemplates(None), InternalErrors(lambda component: None))
    record.route, record.status, record.outcome, record.duration_s = route, status, outcome, seconds
    record.waits = waits
    if size is not None:
        record.first_byte_s, record.response_bytes = seconds / 2, size
    return record
