"""Requests a URL of a service once, for the commands that look at it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TypeVar
from urllib.parse import SplitResult

T = TypeVar("T")

CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


class NoResponse(Exception):
    """There was no response; the text is one line for a person, without anything that the server has sent."""


def requested(
    url: SplitResult, target: str, headers: Mapping[str, str], timeout_s: float, read: Callable[[HTTPResponse], T]
) -> T:
    """
    Request `target` of the service at `url`, and return what `read` makes of the response.

    It returns within `timeout_s`, whatever the name server and the service do. Proxies of the environment are not used,
    and redirects are not followed: the response must come from this service, and the token is for it alone.

    Raises:
        NoResponse: if there was none in time. What `read` raises is raised as well.
    """
    outcomes: queue.SimpleQueue[tuple[T, None] | tuple[None, Exception]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcomes.put((_request(url, target, headers, timeout_s, read), None))
        except Exception as error:
            outcomes.put((None, error))

    # In a thread: a name lookup, or a server that sends one byte a second, cannot be interrupted otherwise.
    threading.Thread(target=run, daemon=True).start()
    try:
        found, error = outcomes.get(timeout=timeout_s)
    except queue.Empty:
        raise _too_late(timeout_s) from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]


def _request(
    url: SplitResult, target: str, headers: Mapping[str, str], timeout_s: float, read: Callable[[HTTPResponse], T]
) -> T:
    assert url.hostname is not None
    connection = CONNECTIONS[url.scheme](url.hostname, url.port, timeout=timeout_s)
    try:
        connection.request("GET", target, headers={"accept": "application/json", "connection": "close", **headers})
        with connection.getresponse() as response:
            return read(response)
    except TimeoutError:
        raise _too_late(timeout_s) from None
    except (OSError, HTTPException, ValueError) as error:
        # The text of the operating system, never what the server has sent, nor the token.
        why = error.strerror if isinstance(error, OSError) else None
        raise NoResponse(f"no response: {why or type(error).__name__}") from None
    finally:
        connection.close()


def _too_late(timeout_s: float) -> NoResponse:
    return NoResponse(f"no response within {timeout_s:g} s")


__all__ = ["CONNECTIONS", "NoResponse", "requested"]
