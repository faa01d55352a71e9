"""What each exported file is, in a sentence."""

from __future__ import annotations

from fnmatch import fnmatchcase

# The first pattern that matches.
_DESCRIPTIONS = {
    "prometheus/rules-phase8.yml": "Recording rules and alerts for Prometheus.",
    "k6/lib.js": "What the load tests share.",
    "k6/socketio.js": "A Socket.IO client for k6.",
    "k6/*": "A load test for k6.",
}


def description(path: str) -> str:
    """Return what the file at `path` is."""
    return next(text for pattern, text in _DESCRIPTIONS.items() if fnmatchcase(path, pattern))


__all__ = ["description"]
