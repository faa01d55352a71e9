"""Exceptions in groups: the same type, raised in the same line of the application's code."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import lru_cache
from types import CodeType

from divan_obs_asgi.console.limits import ERRORS, FRAMES, MESSAGE, NAME, REQUESTS_OF_AN_ERROR, ROUTES_OF_AN_ERROR
from divan_obs_asgi.names import class_name
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.errors import marker_for
from divan_obs_asgi.runtime.watchdog import is_installed_file, short_path

# The text of an exception is redacted once in so many seconds for each group: that costs more than all the rest.
_MESSAGE_S = 10.0
# A traceback of a recursion has a thousand frames.
_MAX_DEPTH = 200
_OURS = f"{__package__.partition('.')[0]}/"
_GROUP_BYTES = 4000


@lru_cache(maxsize=512)
def _is_own(filename: str) -> bool:
    return not is_installed_file(filename) and not short_path(filename).startswith(_OURS)


class Group:
    """
    One group.

    Attributes:
        place: file, line and function of the innermost frame of the application.
        changed: seconds, monotonic.
        requests: the numbers of the last requests.
    """

    __slots__ = (
        "_redacted_at",
        "changed",
        "count",
        "first",
        "id",
        "last",
        "message",
        "place",
        "requests",
        "routes",
        "traceback",
        "type",
    )

    def __init__(self, group_id: str, kind: str, place: str, traceback: list[str], now: float) -> None:
        self.id = group_id
        self.type = kind
        self.place = place
        self.traceback = traceback
        self.first = self.last = now
        self.changed = 0.0
        self.count = 0
        self.message = ""
        self.routes: deque[str] = deque(maxlen=ROUTES_OF_AN_ERROR)
        self.requests: deque[int] = deque(maxlen=REQUESTS_OF_AN_ERROR)
        self._redacted_at = float("-inf")

    def is_due(self, clock: float) -> bool:
        """Return whether to redact the text of the next exception."""
        if clock - self._redacted_at < _MESSAGE_S:
            return False
        self._redacted_at = clock
        return True


class ErrorGroups:
    """
    The groups, the least recent first. Only the thread of the event loop adds to them.

    Args:
        clock: seconds, monotonic.
        now: Unix time in seconds.
    """

    def __init__(
        self,
        policy: RedactionPolicy,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._most = max(4, min(ERRORS, max_bytes // _GROUP_BYTES))
        self._clock = clock
        self._now = now
        self.groups: OrderedDict[str, Group] = OrderedDict()
        self.forgotten = 0

    def add(self, error: BaseException, route: str, request: int) -> str:
        """Count an exception of a request; return the id of its group."""
        codes = _codes(error)
        place = next((one for one in reversed(codes) if _is_own(one[0].co_filename)), codes[-1] if codes else None)
        where = "" if place is None else _where(*place)
        kind = self._policy.redact_text(class_name(type(error)), limit=NAME)
        group_id = hashlib.sha256(f"{kind}|{where}".encode("utf-8", "replace")).hexdigest()[:12]
        now, clock = self._now(), self._clock()
        group = self.groups.get(group_id)
        if group is None:
            shown = codes[-FRAMES:]
            if place is not None and place not in shown:
                shown[0] = place
            group = self.groups[group_id] = Group(group_id, kind, where, [_where(*one) for one in shown], now)
            while len(self.groups) > self._most:
                self.groups.popitem(last=False)
                self.forgotten += 1
        else:
            self.groups.move_to_end(group_id)
        group.count += 1
        group.last = max(group.first, now)
        group.changed = clock
        if route not in group.routes:
            group.routes.append(route)
        if request:
            group.requests.append(request)
        if group.is_due(clock):
            group.message = self._message(error)
        return group_id

    def _message(self, error: BaseException) -> str:
        try:
            # The text of an exception of a database or of a validation repeats data.
            return marker_for(error) or self._policy.redact_text(str(error), limit=MESSAGE)
        except Exception:
            return "[redacted:unreadable]"


def _codes(error: BaseException) -> list[tuple[CodeType, int]]:
    found: deque[tuple[CodeType, int]] = deque(maxlen=_MAX_DEPTH)
    step = error.__traceback__
    while step is not None:
        found.append((step.tb_frame.f_code, step.tb_lineno))
        step = step.tb_next
    return list(found)


def _where(code: CodeType, line: int) -> str:
    place = f"{short_path(code.co_filename)}:{line} {code.co_qualname}"[-2 * NAME :]
    return place if place.isascii() else place.encode("utf-8", "replace").decode()


__all__ = ["ErrorGroups", "Group"]
