"""What another worker keeps, as its ring file says; entries are checked: another program may have written them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import orjson

from divan_obs_asgi.console.limits import CHANGES, ERRORS, FAILED, LATEST, SLOWEST
from divan_obs_asgi.console.shapes import Change, ErrorGroup, Forgotten, RequestDetails, RequestRow, Snapshot
from divan_obs_asgi.console.workers.ring_directory import RingContents
from divan_obs_asgi.console.workers.ring_format import Entry

# Entries of each kind that are shown of a worker; a group of errors is written again when it has counted more.
_MOST = {"request": LATEST, "failed": FAILED, "slow": SLOWEST, "error": ERRORS * 4, "change": CHANGES, "state": 2}
_ROW = frozenset(RequestRow.__annotations__)
_KEYS = {"error": frozenset(ErrorGroup.__annotations__), "change": frozenset(Change.__annotations__)}
_NOTHING: Forgotten = {"requests": 0, "errors": 0, "changes": 0, "bytes": 0}


class _Parsed(NamedTuple):
    """
    An entry.

    Attributes:
        key: the id of what it describes.
        fields: None if it does not have the shape of its kind.
        opened: JSON of a request's details.
    """

    kind: str
    key: str
    changed: float
    fields: Any
    opened: bytes = b""


class PeerFile(NamedTuple):
    """
    What is known of a ring file.

    Attributes:
        name: the beginning of the ids of its worker's requests.
        parsed: the entries by their sequence numbers.
        details: JSON of the details of its requests, by id.
    """

    name: str
    parsed: dict[int, _Parsed]
    snapshot: Snapshot
    details: dict[str, bytes]


def peer_file(contents: RingContents, name: str, known: dict[int, _Parsed]) -> PeerFile:
    """Return what is known of a file; `known` are the entries that were read before, with this name."""
    own = "" if name == str(contents.head.pid) else name
    parsed = {one.sequence: known.get(one.sequence) or _parsed(one, own) for one in contents.entries}
    details: dict[str, bytes] = {}
    return PeerFile(name, parsed, _snapshot(contents, _newest(parsed.values()), details), details)


def _parsed(entry: Entry, name: str) -> _Parsed:
    """Read an entry; `name` replaces the beginning of the ids of requests, unless it is empty."""
    kind = entry.kind

    def renamed(request_id: str) -> str:
        return f"{name}-{request_id.rpartition('-')[2]}" if name else request_id

    try:
        head, _, opened = entry.data.partition(b"\n")
        fields = orjson.loads(head)
        if kind == "state":
            if not isinstance(fields, dict):
                return _Parsed(kind, "", 0.0, None)
            # The routes change less often, and are large.
            return _Parsed(kind, "routes" if "routes" in fields else "", 0.0, fields)
        changed, row = float(fields["changed"]), fields["row"]
        if kind in _KEYS:
            if _KEYS[kind] <= row.keys():
                if kind == "error":
                    row["requests"] = [renamed(str(id)) for id in row["requests"]]
                return _Parsed(kind, row["id"], changed, row)
        elif kind in _MOST and row.keys() >= _ROW:
            row["id"] = renamed(row["id"])
            return _Parsed(kind, row["id"], changed, row, opened)
    except (ValueError, LookupError, TypeError, AttributeError):
        pass  # Not written by this library.
    return _Parsed(kind, "", 0.0, None)


def opened_request(request_id: str, data: bytes) -> RequestDetails | None:
    """Return the details of a request; None if they do not have their shape."""
    try:
        opened = orjson.loads(data)
        return cast(RequestDetails, {**opened, "request": {**opened["request"], "id": request_id}})
    except (ValueError, LookupError, TypeError):
        return None  # Not written by this library.


def _newest(entries: Iterable[_Parsed]) -> dict[str, dict[str, _Parsed]]:
    """Return the newest entries of each kind by their ids; a later entry of one id replaces the earlier one."""
    found: dict[str, dict[str, _Parsed]] = {kind: {} for kind in _MOST}
    for entry in entries:
        if entry.fields is not None:
            of_kind = found[entry.kind]
            of_kind.pop(entry.key, None)
            of_kind[entry.key] = entry
            if len(of_kind) > _MOST[entry.kind]:
                del of_kind[next(iter(of_kind))]
    return found


def _snapshot(contents: RingContents, newest: dict[str, dict[str, _Parsed]], details: dict[str, bytes]) -> Snapshot:
    """Return the snapshot of a worker, and add its requests to `details`."""
    head = contents.head
    requests: dict[str, RequestRow] = {}
    changed_requests: dict[str, float] = {}
    for kind in ("request", "slow", "failed"):
        for key, entry in newest[kind].items():
            if entry.changed >= changed_requests.get(key, 0.0):
                changed_requests[key] = entry.changed
                requests[key] = entry.fields
                details[key] = entry.opened
    errors = [one.fields for one in newest["error"].values()]
    state: Any = {key: part for one in newest["state"].values() for key, part in one.fields.items()}
    lists = {key: state[key] if isinstance(state.get(key), list) else [] for key in ("stalls", "routes")}
    numbers, forgotten = state.get("numbers"), state.get("forgotten")
    return {
        "worker": {"pid": head.pid, "started": head.started, "alive": contents.alive},
        "requests": list(requests.values()),
        "errors": errors,
        "changes": [one.fields for one in newest["change"].values()],
        "stalls": lists["stalls"],
        "numbers": numbers if isinstance(numbers, dict) else {},
        # A dead worker serves nothing.
        "routes": lists["routes"] if contents.alive else [],
        "forgotten": {**_NOTHING, **forgotten} if isinstance(forgotten, dict) else _NOTHING,
        "changed": {
            "requests": changed_requests,
            "errors": {one.key: one.changed for one in newest["error"].values()},
            "changes": {one.key: one.changed for one in newest["change"].values()},
        },
    }


__all__ = ["PeerFile", "opened_request", "peer_file"]
