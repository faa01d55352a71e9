"""How much the console keeps. Each kind has limits of its own, so that a flood of one kind removes no other."""

from __future__ import annotations

LATEST, LATEST_OF_A_ROUTE = 200, 20
FAILED = 100
SLOWEST, SLOWEST_S = 50, 600.0
CALLS, LINES, REQUEST_BYTES = 40, 20, 16 * 1024
ERRORS, FRAMES, ROUTES_OF_AN_ERROR, REQUESTS_OF_AN_ERROR = 100, 8, 5, 3
SERIES, SERIES_STEP_S, SERIES_STEPS = 12, 5.0, 720
CHANGES = 300
# Of the answer to a page that has a cursor.
STATE_BYTES = 64 * 1024
# Characters of one text, after its redaction.
NAME, TEXT, MESSAGE = 120, 500, 300

__all__ = [
    "CALLS",
    "CHANGES",
    "ERRORS",
    "FAILED",
    "FRAMES",
    "LATEST",
    "LATEST_OF_A_ROUTE",
    "LINES",
    "MESSAGE",
    "NAME",
    "REQUESTS_OF_AN_ERROR",
    "REQUEST_BYTES",
    "ROUTES_OF_AN_ERROR",
    "SERIES",
    "SERIES_STEPS",
    "SERIES_STEP_S",
    "SLOWEST",
    "SLOWEST_S",
    "STATE_BYTES",
    "TEXT",
]
