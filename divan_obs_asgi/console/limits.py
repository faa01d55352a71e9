"""How much the console keeps. Each kind has limits of its own, so that a flood of one kind removes no other."""

from __future__ import annotations

LATEST = 200
LATEST_OF_A_ROUTE = 20
FAILED = 100
SLOWEST = 50
SLOWEST_S = 600.0
CALLS = 40
LINES = 20
REQUEST_BYTES = 16 * 1024
ERRORS = 100
FRAMES = 8
ROUTES_OF_AN_ERROR = 5
REQUESTS_OF_AN_ERROR = 3
SERIES = 12
SERIES_STEP_S = 5.0
SERIES_STEPS = 720
CHANGES = 300
# Of the answer to a page that has a cursor.
STATE_BYTES = 64 * 1024
# Characters of one text, after its redaction.
NAME = 120
TEXT = 500
MESSAGE = 300

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
