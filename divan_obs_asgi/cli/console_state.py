"""Requests the state of the ops console, for `divan-obs top`."""

from __future__ import annotations

import json
from http.client import HTTPResponse
from typing import Any
from urllib.parse import SplitResult

from divan_obs_asgi.cli.request import NoResponse, requested

PATH = "/ops/console/state"
TIMEOUT_S = 10.0
# The state of 500 routes and 8 workers has less than one megabyte.
_MAX_BODY = 32 * 1024 * 1024
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

    Raises:
        StateError: if there is none within `timeout_s`.
    """
    headers = {"user-agent": "divan-obs-top", **({"authorization": f"Bearer {token}"} if token else {})}
    try:
        body = requested(url, state_url(url), headers, timeout_s, _body)
    except NoResponse as error:
        raise StateError(str(error)) from None
    try:
        state = json.loads(body)
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict) or not isinstance(state.get("numbers"), dict):
        raise StateError("the response is not the state of an ops console; check the URL", is_final=True)
    return state


def _body(response: HTTPResponse) -> bytes:
    if response.status != 200:
        raise _refusal(response.status, response.getheader("retry-after", ""))
    return response.read(_MAX_BODY)


def _refusal(status: int, retry_after: str) -> StateError:
    wait_s = min(60.0, float(retry_after)) if retry_after.isdecimal() else 0.0
    reason = _REASONS.get(status)
    return StateError(f"{status}: {reason}" if reason else str(status), is_final=reason is not None, wait_s=wait_s)


__all__ = ["PATH", "StateError", "console_state", "state_url"]
