"""Requests the state of the ops console, for `divan-obs top`."""

from __future__ import annotations

import json
import queue
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult

PATH = "/ops/console/state"
TIMEOUT_S = 10.0
# The state of 500 routes and 8 workers has less than one megabyte.
_MAX_BODY = 32 * 1024 * 1024
_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}
_REASONS = {
    401: "the token is missing or wrong; set OBS_ADMIN_TOKEN, or --token-file",
    403: "the service does not allow it: OBS_ADMIN_TOKEN, OBS_OPS_NETWORKS or authorize",
    404: "there is no console; set OBS_CONSOLE_ENABLED=true in the service, and check the URL",
}


class StateError(Exception):
    """
    The state is not available; the text is one line for a person.

    Attributes:
        is_final: whether the next request would fail in the same way.
        wait_s: how long the service asks to wait.
    """

    def __init__(self, message: str, *, is_final: bool = False, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.wait_s = wait_s


def state_url(url: SplitResult) -> str:
    """Return the path of the state; a URL with that path, or with that of the page, is accepted too."""
    path = url.path.rstrip("/")
    for known in (PATH, "/ops/console"):
        path = path.removesuffix(known)
    return path + PATH


def console_state(url: SplitResult, token: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """
    Return the state.

    Proxies of the environment are not used, and redirects are not followed: the token is for this service.

    Raises:
        StateError: if there is none within `timeout_s`.
    """
    found: queue.SimpleQueue[dict[str, Any] | StateError] = queue.SimpleQueue()

    def request() -> None:
        try:
            found.put(_request(url, token, timeout_s))
        except StateError as error:
            found.put(error)

    # In a thread: a name lookup, or a server that sends one byte a second, cannot be interrupted otherwise.
    threading.Thread(target=request, daemon=True).start()
    try:
        answer = found.get(timeout=timeout_s)
    except queue.Empty:
        raise StateError(f"no response within {timeout_s:g} s") from None
    if isinstance(answer, StateError):
        raise answer
    return answer


def _request(url: SplitResult, token: str, timeout_s: float) -> dict[str, Any]:
    assert url.hostname is not None
    connection = _CONNECTIONS[url.scheme](url.hostname, url.port, timeout=timeout_s)
    headers = {"accept": "application/json", "user-agent": "divan-obs-top", "connection": "close"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    try:
        connection.request("GET", state_url(url), headers=headers)
        response = connection.getresponse()
        with response:
            if response.status != 200:
                raise _refusal(response.status, response.getheader("retry-after", ""))
            body = response.read(_MAX_BODY)
    except TimeoutError:
        raise StateError(f"no response within {timeout_s:g} s") from None
    except (OSError, HTTPException, ValueError) as error:
        # The text of the operating system, never what the server has sent, nor the token.
        why = error.strerror if isinstance(error, OSError) else None
        raise StateError(f"no response: {why or type(error).__name__}") from None
    finally:
        connection.close()
    try:
        state = json.loads(body)
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict) or not isinstance(state.get("numbers"), dict):
        raise StateError("the response is not the state of an ops console; check the URL", is_final=True)
    return state


def _refusal(status: int, retry_after: str) -> StateError:
    wait_s = min(60.0, float(retry_after)) if retry_after.isdecimal() else 0.0
    reason = _REASONS.get(status)
    return StateError(f"{status}: {reason}" if reason else str(status), is_final=reason is not None, wait_s=wait_s)


__all__ = ["PATH", "StateError", "console_state", "state_url"]
