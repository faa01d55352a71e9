"""Requests a health endpoint once, for `divan-obs probe`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.parse import SplitResult, urlsplit

from divan_obs_asgi.cli.request import CONNECTIONS, NoResponse, requested
from divan_obs_asgi.names import is_name

# A health response has a few hundred bytes.
_MAX_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """
    The outcome of a request.

    Attributes:
        message: one line for the person who looks for the cause of a restart.
    """

    ok: bool
    message: str


def parse_url(url: str) -> SplitResult:
    """
    Return the parts of a URL that can be requested.

    Raises:
        ValueError: for any other URL.
    """
    parts = urlsplit(url)
    # Characters that a request line cannot contain (RFC 3986, section 2).
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(url)
    if parts.scheme not in CONNECTIONS or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError(url)
    return parts


def probe_url(url: SplitResult, timeout_s: float) -> ProbeOutcome:
    """Request `url`, and return within `timeout_s`, whatever the name server and the service do."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        return requested(url, target, {"user-agent": "divan-obs-probe"}, timeout_s, _outcome)
    except NoResponse as error:
        return ProbeOutcome(False, str(error))


def _outcome(response: HTTPResponse) -> ProbeOutcome:
    status = response.status
    if 200 <= status < 300:
        return ProbeOutcome(True, str(status))
    return ProbeOutcome(False, _reason(status, response.read(_MAX_BODY)))


def _reason(status: int, body: bytes) -> str:
    """Return the status, and the failing checks if the body names them."""
    try:
        checks = json.loads(body)["checks"].items()
        # Only valid names of checks are printed.
        failing = [name for name, check in checks if is_name(name) and check["ok"] is False]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        failing = []
    return f"{status}: {', '.join(failing)}" if failing else str(status)


__all__ = ["ProbeOutcome", "parse_url", "probe_url"]
