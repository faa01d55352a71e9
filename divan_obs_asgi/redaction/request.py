"""A redacted view of a request: the names of its query parameters, and the headers of an allow list."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_plus

from divan_obs_asgi.redaction.keys import words
from divan_obs_asgi.redaction.policy import RedactionPolicy
from divan_obs_asgi.redaction.text import marker

# Headers that describe the message and not the person. All others are left out, including their names.
ALLOWED_HEADERS = words(
    """
    accept accept-charset accept-encoding accept-language cache-control connection content-encoding content-language
    content-length content-type date expect host if-match if-modified-since if-none-match if-range if-unmodified-since
    origin range sec-fetch-dest sec-fetch-mode sec-fetch-site te traceparent tracestate transfer-encoding upgrade
    user-agent x-forwarded-proto x-request-id
    """
)
_DROPPED = marker("query")


class RedactedRequest:
    """
    A redacted view of a request; `RedactionMiddleware` sets it as `scope["divan_obs_asgi.redaction"]`.

    Attributes:
        policy: the policy, for other data that a handler logs or returns.
    """

    __slots__ = ("_headers", "_query", "policy")

    def __init__(self, policy: RedactionPolicy, headers: Iterable[tuple[bytes, bytes]], query: bytes) -> None:
        self.policy = policy
        self._headers = headers
        self._query = query

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the allow list, redacted. If a name occurs several times, the last one counts."""
        return {
            name: self.policy.redact_text(value.decode("latin-1"))
            for name, value in ((name.decode("latin-1"), value) for name, value in self._headers)
            if name in ALLOWED_HEADERS
        }

    @property
    def query(self) -> str:
        """The query with redacted parameter names and without values."""
        parts = [part.partition(b"=") for part in self._query.split(b"&", 64)[:64] if part]
        # A part without `=` may be a value itself, as in queries of Engine.IO or signed URLs.
        return "&".join(f"{self._name(name)}={_DROPPED}" if equals else _DROPPED for name, equals, _ in parts)

    def _name(self, name: bytes) -> str:
        return self.policy.redact_text(unquote_plus(name.decode("latin-1")))


__all__ = ["ALLOWED_HEADERS", "RedactedRequest"]
