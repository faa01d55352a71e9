"""Requests a health endpoint once, for `divan-obs probe`."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from divan_obs_asgi.names import is_name

# A health response has a few hundred bytes.
_MAX_BODY = 64 * 1024
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


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
    if parts.scheme not in _CONNECTIONS or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError(url)
    return parts


def probe_url(url: SplitResult, timeout_s: float) -> ProbeOutcome:
    """
    Request `url`, and return within `timeout_s`, whatever the name server and the service do.

    Proxies of the environment are not used, and redirects not followed: the response must come from this service.
    """
    outcomes: queue.SimpleQueue[ProbeOutcome] = queue.SimpleQueue()
    # In a thread: a name lookup, or a server that sends one byte a second, cannot be interrupted otherwise.
    threading.Thread(target=lambda: outcomes.put(_request(url, timeout_s)), daemon=True).start()
    try:
        return outcomes.get(timeout=timeout_s)
    except queue.Empty:
        return ProbeOutcome(False, f"no response within {timeout_s:g} s")


def _request(url: SplitResult, timeout_s: float) -> ProbeOutcome:
    assert url.hostname is not None
    connection = _CONNECTIONS[url.scheme](url.hostname, url.port, timeout=timeout_s)
    try:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = {"accept": "application/json", "user-agent": "divan-obs-probe", "connection": "close"}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        status = response.status
        if 200 <= status < 300:
            return ProbeOutcome(True, str(status))
        return ProbeOutcome(False, _reason(status, response.read(_MAX_BODY)))
    except TimeoutError:
        return ProbeOutcome(False, f"no response within {timeout_s:g} s")
    except (OSError, HTTPException, ValueError) as error:
        # The text of the operating system, never what the server has sent.
        why = error.strerror if isinstance(error, OSError) else None
        return ProbeOutcome(False, f"no response: {why or type(error).__name__}")
    finally:
        connection.close()


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
