"""The base of every middleware that observes connections: it opens the record, or joins the one that is open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from divan_obs_asgi.record import RECORD_KEY, RequestRecord, current_record
from divan_obs_asgi.routes import RouteTemplates
from divan_obs_asgi.types import CONNECTIONS, ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class RecordMiddleware(ABC):
    """
    Calls `observe` once for every connection, with its record.

    Whichever such middleware a connection meets first opens the record; the others, and a second stack further
    in, find it in the scope. An `observe` that raises is counted and logged, and the connection goes on.
    """

    component: ClassVar[str]
    """The name under which failures are counted, `divan_obs_errors_total{component}`."""

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        self.app = app
        self.obs = obs
        self._routes = RouteTemplates(app)

    @abstractmethod
    def observe(self, scope: Scope, record: RequestRecord) -> None:
        """Read the scope, set response headers, add a finisher."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in CONNECTIONS:
            await self.app(scope, receive, send)
            return
        record = scope.get(RECORD_KEY)
        if record is None:
            await self._open(scope, receive, send)
            return
        try:
            self.observe(scope, record)
        except Exception as error:
            self.obs.faults.report(self.component, error)
        await self.app(scope, receive, send)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = RequestRecord(scope, receive, send, self._routes, self.obs.faults)
        scope[RECORD_KEY] = record
        # Unconditionally: what this task may have inherited belongs to another request (PITFALLS P1).
        current_record.set(record)
        try:
            await self(scope, record.receive, record.send)
        except BaseException as error:
            record.raised(error)
            raise
        else:
            record.returned()
        finally:
            current_record.set(None)


__all__ = ["RecordMiddleware"]
