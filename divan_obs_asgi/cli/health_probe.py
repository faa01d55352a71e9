"""Asks a health endpoint once, as `divan-obs probe` does: it is well, or there is a reason why not."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from divan_obs_asgi.names import is_name

# A health answer has a few hundred bytes.
_MAX_BODY = 64 * 1024
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What came of a question.

    Attributes:
        told: a line for whoever reads why a container was restarted.
    """

    well: bool
    told: str


def parse(url: str) -> SplitResult:
    """
    Return the parts of a URL that can be asked.

    Raises:
        ValueError: where it cannot.
    """
    parts = urlsplit(url)
    # What no request line can carry (RFC 3986, section 2) would have to be escaped.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(url)
    if parts.scheme not in _CONNECTIONS or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError(url)
    return parts


def ask(url: SplitResult, timeout_s: float) -> Verdict:
    """
    Ask, and return within `timeout_s`, whatever the name server and the service do.

    No proxy of the environment is asked, and no redirect followed: it is this process that is to answer.
    """
    verdicts: queue.SimpleQueue[Verdict] = queue.SimpleQueue()
    # Neither looking up a name nor a server that sends a byte a second can be given up otherwise.
    threading.Thread(target=lambda: verdicts.put(_asked(url, timeout_s)), daemon=True).start()
    try:
        return verdicts.get(timeout=timeout_s)
    except queue.Empty:
        return Verdict(False, f"no answer within {timeout_s:g} s")


def _asked(url: SplitResult, timeout_s: float) -> Verdict:
    assert url.hostname is not None
    connection = _CONNECTIONS[url.scheme](url.hostname, url.port, timeout=timeout_s)
    try:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = {"accept": "application/json", "user-agent": "divan-obs-probe", "connection": "close"}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        status = response.status
        if 200 <= status < 300:
            return Verdict(True, str(status))
        return Verdict(False, _reason(status, response.read(_MAX_BODY)))
    except TimeoutError:
        return Verdict(False, f"no answer within {timeout_s:g} s")
    except (OSError, HTTPException, ValueError) as error:
        # The error's own words, and never what the server has sent.
        why = error.strerror if isinstance(error, OSError) else None
        return Verdict(False, f"no answer: {why or type(error).__name__}")
    finally:
        connection.close()


def _reason(status: int, body: bytes) -> str:
    """Return the status, and which checks fail where the body tells."""
    try:
        checks = json.loads(body)["checks"].items()
        # What no check can be called is not repeated.
        failing = [name for name, check in checks if is_name(name) and check["ok"] is False]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        failing = []
    return f"{status}: {', '.join(failing)}" if failing else str(status)


__all__ = ["Verdict", "ask", "parse"]
