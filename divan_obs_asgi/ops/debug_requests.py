"""Debugs the one request that carries a signed header; observes requests only if OBS_DEBUG_KEY is set."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from divan_obs_asgi.connection.debug_header import HEADER, DebugKey
from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.ops.audit import Audit
from divan_obs_asgi.types import Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_FLAG = "OBS_DEBUG_KEY"


class DebugRequests:
    """
    Marks the record of a request with a valid header, so that its DEBUG lines and its trace are written.

    The header is removed from every request: the application, and everything that logs or traces headers, does not see
    it. A forged or old one changes nothing else. Each use has a line in the audit log, when the application has
    returned; forged and old ones have lines within the limit for anonymous clients.
    """

    component = "debug_requests"

    def __init__(self, key: str, audit: Audit) -> None:
        self._key = DebugKey(key)
        self._audit = audit

    def observe(self, scope: Scope, record: RequestRecord) -> Callable[[], object] | None:
        value = record.request_headers.pop(HEADER, None)
        if value is None:
            return None
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != HEADER]
        # An ASGI server passes bytes; a test client may pass something else.
        value = bytes(value)
        is_valid = self._key.verifies(value)
        if is_valid:
            # It is a credential until it expires. Only a valid one: a client that chose which text is hidden would
            # decide what the lines say.
            record.hidden = (*record.hidden, value.decode())
            record.debug = True
            # Sampling keeps all lines.
            record.log_rate = 1.0
            record.add_detail("debug", True)
        return partial(self._log_use, scope, record, is_valid)

    def observe_event(self, record: EventRecord) -> None:
        """Do nothing: the header is of one request."""

    def _log_use(self, scope: Scope, record: RequestRecord, is_valid: bool) -> None:
        outcome = str(record.status) if record.outcome == "ok" else "failed"
        # A WebSocket has no method in its scope.
        request = {"method": record.method, "client": scope.get("client")}
        if is_valid:
            self._audit.used(request, record.route, _FLAG, outcome)
        else:
            self._audit.used_without_effect(request, record.route, HEADER.decode())


def debug_requests(obs: Observability) -> DebugRequests:
    """Return what debugs the requests of a bundle that has OBS_DEBUG_KEY; the first call makes it."""

    def make() -> DebugRequests:
        audit = Audit()
        obs.background.add("debug_audit", audit.run, later=True)
        return DebugRequests(obs.settings.console.debug_key or "", audit)

    return obs.observers.attach(DebugRequests.component, make)


__all__ = ["DebugRequests", "debug_requests"]
