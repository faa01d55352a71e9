"""The promises that do not hold: in which cells, why, and what holds instead. docs/servers.md shows this table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.servers import APPS, SERVERS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "servers.md"
BEGIN, END = "<!-- deviations: begin -->\n", "<!-- deviations: end -->"

ALL_APPS = APPS
ALL_SERVERS = tuple(SERVERS)


@dataclass(frozen=True)
class Deviation:
    """
    One check that fails in some cells.

    Attributes:
        fails: a regular expression that the check's failure matches.
        only: where it is true, the cell cannot work: no other check than "no secret" is asked.
    """

    servers: Sequence[str]
    apps: Sequence[str]
    check: str
    fails: str
    reason: str
    instead: str
    only: bool = False


UVICORN = ("uvicorn", "uvicorn-workers", "gunicorn")
HYPERCORN = ("hypercorn", "hypercorn-trio")
NOT_DAPHNE = (*UVICORN, *HYPERCORN, "granian")
ON_ASYNCIO = (*UVICORN, "hypercorn", "granian", "daphne")
# Their exceptions get to the server, of a request and of a WebSocket.
RAISING = ("starlette", "fastapi", "socketio")
RAISING_WS = ("starlette", "fastapi", "django")
ASYNCIO_ONLY = "it needs asyncio, and trio is another event loop"
NOTHING = "nothing; health and metrics answer"
TWICE = "the access line has the ids, the route and the exception"
FRAMEWORKS = "both have the ids and the route; the framework's has the exception"

DEVIATIONS: tuple[Deviation, ...] = (
    # What cannot work.
    Deviation(("hypercorn-trio",), ("django", "quart"), "serves", "answered 500", ASYNCIO_ONLY, NOTHING, only=True),
    Deviation(
        ("hypercorn-trio",), ("falcon",), "WebSocket", "status_code=500", f"{ASYNCIO_ONLY} for WebSockets", "HTTP"
    ),
    Deviation(("hypercorn-trio",), ("socketio",), "WebSocket", "code=1011", ASYNCIO_ONLY, "the application behind it"),
    Deviation(("hypercorn-trio",), ("socketio",), "metric", "lacks.*socketio_events", ASYNCIO_ONLY, "HTTP"),
    Deviation(
        ("hypercorn-trio",),
        ("falcon", "socketio"),
        "ERROR line of a WebSocket",
        "RuntimeError",
        ASYNCIO_ONLY,
        "the failure is an ERROR line of type RuntimeError",
    ),
    # Daphne.
    Deviation(
        ("daphne",),
        ("quart",),
        "WebSocket",
        "status_code=500",
        "Quart reads `scheme`, which is not in the scope of daphne's WebSockets",
        "HTTP",
    ),
    Deviation(
        ("daphne",),
        ("quart",),
        "ERROR line of a WebSocket",
        "KeyError",
        "Quart reads `scheme`, which is not in the scope of daphne's WebSockets",
        "the failure is an ERROR line of type KeyError",
    ),
    Deviation(
        ("daphne",),
        ALL_APPS,
        "drain",
        r"no line says 'SIGTERM does not start a drain: ', but \[\]",
        "daphne has no lifespan, in which the line is written",
        "`POST /ops/drain`",
    ),
    Deviation(
        ("daphne",), ALL_APPS, "in flight", "RemoteProtocolError", "daphne ends at once", "`POST /ops/drain` before"
    ),
    # Lines that are not JSON, or there twice.
    Deviation(
        ("daphne",),
        ALL_APPS,
        "JSON",
        r'plain lines: .*"GET /',
        "daphne writes its access line to a stream, and not to a logger",
        "`-v 0` leaves it out",
    ),
    Deviation(
        ("daphne",),
        ALL_APPS,
        "no secret",
        r"secrets: \['path in output', 'query in output'(, 'WebSocket path in output')?\]",
        "daphne's access line has path and query",
        "`-v 0` leaves it out; all else has none",
    ),
)


def of_cell(server: str, app: str) -> dict[str, Deviation]:
    """Return the deviations of a cell by the check that fails."""
    found = [one for one in DEVIATIONS if server in one.servers and app in one.apps]
    by_check = {one.check: one for one in found}
    assert len(by_check) == len(found), f"{server} with {app}: a check is declared twice"
    return by_check


def as_markdown() -> str:
    """Return the table as docs/servers.md shows it."""
    rows = [
        f"| {_names(one.servers, ALL_SERVERS)} | {_names(one.apps, ALL_APPS)} "
        f"| {one.check} | {one.reason} | {one.instead} |\n"
        for one in DEVIATIONS
    ]
    head = "| server | application | what does not hold | why | what holds instead |\n", "|---|---|---|---|---|\n"
    return "".join([*head, *rows])


def _names(some: Sequence[str], every: Sequence[str]) -> str:
    if set(some) == set(every):
        return "all"
    if len(some) > len(every) / 2 + 1:
        return "all but " + ", ".join(name for name in every if name not in some)
    return ", ".join(some)


__all__ = ["BEGIN", "DEVIATIONS", "DOCUMENT", "END", "Deviation", "as_markdown", "of_cell"]
