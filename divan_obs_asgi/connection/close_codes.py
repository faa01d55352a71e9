"""What the close code of a WebSocket means."""

from __future__ import annotations

from divan_obs_asgi.types import Message

# RFC 6455, section 7.4.1: normal closure, going away, no status received. uvicorn sends 1012 (service restart) for
# every connection that is open when the server ends: no client has left. Any other code is a disconnect.
REGULAR_CLOSES = frozenset({1000, 1001, 1005, 1012})
NORMAL_CLOSURE = 1000
NO_STATUS_RECEIVED = 1005
_MAX_CODE = 0xFFFF
# 1011 internal error, 1012 restart, 1013 try later, 1014 bad gateway: the server itself failed.
_SERVER_ERRORS = range(1011, 1015)
# The last three digits are an HTTP status: Falcon closes with 3500, Litestar and graphql-transport-ws with 4500. An
# application may use these codes for anything, so they are errors only while an exception is handled.
_HTTP_STATUS_IN_CODE, _FIRST_PRIVATE_CODE = 1000, 3000


def close_code(message: Message, default: int) -> int:
    """Return the close code, which is two bytes (RFC 6455, section 5.5.1); `default` where it is invalid."""
    code = message.get("code")
    return code if isinstance(code, int) and 0 < code <= _MAX_CODE else default


def is_server_error(code: int) -> bool:
    """Return whether the code itself says that the server failed."""
    return code in _SERVER_ERRORS


def has_server_error_status(code: int) -> bool:
    """Return whether it is a private code that ends in a 5xx status."""
    return code >= _FIRST_PRIVATE_CODE and 500 <= code % _HTTP_STATUS_IN_CODE < 600


__all__ = [
    "NORMAL_CLOSURE",
    "NO_STATUS_RECEIVED",
    "REGULAR_CLOSES",
    "close_code",
    "has_server_error_status",
    "is_server_error",
]
