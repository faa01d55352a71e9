"""What another worker keeps, as its ring file says; entries are checked: another program may have written them."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple, cast

import orjson

from divan_obs_asgi.console.limits import CHANGES, ERRORS, FAILED, LATEST, SLOWEST
from divan_obs_asgi.console.shapes import Change, ErrorGroup, Forgotten, RequestDetails, RequestRow, Snapshot
from divan_obs_asgi.console.workers.ring_directory import RingContents
from divan_obs_asgi.console.workers.ring_format import Entry

# Entries of each kind that are shown of a worker; a group of errors is written again when it has counted more.
_MOST = {"request": LATEST, "failed": FAILED, "slow": SLOWEST, "error": ERRORS * 4, "change": CHANGES, "state": 3}
_REQUESTS = ("request", "slow", "failed")
_ROW = frozenset(RequestRow.__annotations__)
_KEYS = {"error": frozenset(ErrorGroup.__annotations__), "change": frozenset(Change.__annotations__)}
_changed = attrgetter("changed")
_NOTHING: Forgotten = {"requests": 0, "errors": 0, "changes": 0, "bytes": 0}


class _Parsed(NamedTuple):
    """
    An entry; its beginning is as in the lists of `Snapshot`.

    Attributes:
        key: the id of what it describes.
        fields: None if it does not have the shape of its kind.
        entry: as it was read; the second line of a request is the JSON of its details.
    """

    changed: float
    fields: Any
    kind: str
    key: str
    entry: Entry


class PeerFile:
    """
    What is known of a ring file.

    Args:
        contents: from the first reading of the file.
        name: the beginning of the ids of its worker's requests.
    """

    def __init__(self, contents: RingContents, name: str) -> None:
        self._of = contents.reader, contents.head, name
        # Replaces the process id in ids, unless it is the same.
        self._own = "" if name == str(contents.head.pid) else name
        self._parsed: dict[int, _Parsed] = {}
        # The newest entries of each kind by their ids.
        self._newest: dict[str, dict[str, _Parsed]] = {kind: {} for kind in _MOST}
        self._add(contents.reader.entries())
        self.snapshot = self._made(contents)

    def is_of(self, contents: RingContents, name: str) -> bool:
        """Return whether this is the file, as it was read before, so that it can be updated."""
        return self._of == (contents.reader, contents.head, name)

    def update(self, contents: RingContents) -> None:
        """Take over what another reading of the file has found."""
        if contents.reader.changed or contents.alive != self.snapshot["worker"]["alive"]:
            self._add(contents.reader.fresh())
            for sequence in contents.reader.gone():
                gone = self._parsed.pop(sequence, None)
                of_kind = self._newest.get(gone.kind, {}) if gone is not None else {}
                if gone is not None and of_kind.get(gone.key) is gone:
                    del of_kind[gone.key]
            self.snapshot = self._made(contents)

    def opened(self, request_id: str) -> RequestDetails | None:
        """Return a request that is kept in the file; None if it is not, or does not have its shape."""
        found = [one for kind in _REQUESTS if (one := self._newest[kind].get(request_id)) is not None]
        if not found:
            return None
        _, _, data = max(found, key=_changed).entry.data.partition(b"\n")
        try:
            fields = orjson.loads(data)
            return cast(RequestDetails, {**fields, "request": {**fields["request"], "id": request_id}})
        except (ValueError, LookupError, TypeError):
            return None  # Not written by this library.

    def _add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            parsed = self._parsed[entry.sequence] = _parsed(entry, self._own)
            if parsed.fields is not None:
                # A later entry of one id replaces the earlier one.
                of_kind = self._newest[parsed.kind]
                of_kind.pop(parsed.key, None)
                of_kind[parsed.key] = parsed
                if len(of_kind) > _MOST[parsed.kind]:
                    del of_kind[next(iter(of_kind))]

    def _made(self, contents: RingContents) -> Snapshot:
        head, newest = contents.head, self._newest
        state: Any = {key: part for one in newest["state"].values() for key, part in one.fields.items()}
        lists = {key: state[key] if isinstance(state.get(key), list) else [] for key in ("stalls", "routes")}
        numbers, forgotten = state.get("numbers"), state.get("forgotten")
        return {
            "worker": {"pid": head.pid, "started": head.started, "alive": contents.alive},
            "requests": [one for kind in _REQUESTS for one in newest[kind].values()],
            "errors": [*newest["error"].values()],
            "changes": [*newest["change"].values()],
            "stalls": lists["stalls"],
            "numbers": numbers if isinstance(numbers, dict) else {},
            # A dead worker serves nothing.
            "routes": lists["routes"] if contents.alive else [],
            "forgotten": {**_NOTHING, **forgotten} if isinstance(forgotten, dict) else _NOTHING,
        }


def _parsed(entry: Entry, name: str) -> _Parsed:
    """Read an entry; `name` replaces the beginning of the ids of requests, unless it is empty."""
    kind = entry.kind

    def renamed(request_id: str) -> str:
        return f"{name}-{request_id.rpartition('-')[2]}" if name else request_id

    try:
        head, _, _ = entry.data.partition(b"\n")
        fields = orjson.loads(head)
        if kind == "state":
            if not isinstance(fields, dict):
                return _Parsed(0.0, None, kind, "", entry)
            # The routes and the numbers change less often, and are large.
            key = next((key for key in ("routes", "numbers") if key in fields), "")
            return _Parsed(0.0, fields, kind, key, entry)
        changed, row = float(fields["changed"]), fields["row"]
        if kind in _KEYS:
            if _KEYS[kind] <= row.keys():
                if kind == "error":
                    row["requests"] = [renamed(str(id)) for id in row["requests"]]
                return _Parsed(changed, row, kind, row["id"], entry)
        elif kind in _MOST and row.keys() >= _ROW:
            row["id"] = renamed(row["id"])
            return _Parsed(changed, row, kind, row["id"], entry)
    except (ValueError, LookupError, TypeError, AttributeError):
        pass  # Not written by this library.
    return _Parsed(0.0, None, kind, "", entry)


__all__ = ["PeerFile"]
