"""URLs in exceptions of HTTP clients: the host stays, path and query are redacted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.redaction.view import UNREAD, Found, View

_NAME = "url"
# httpx and requests: "Client error '404 Not Found' for url 'http://...'", "404 Client Error: Not Found for url: ...";
# urllib3: "Max retries exceeded with url: /..."; aiohttp: "404, message='Not Found', url='http://...'";
# botocore: 'Could not connect to the endpoint URL: "https://..."'.
_CALLED = re.compile(
    rb"(?:(?:for|with|endpoint) url:?|message=\\{0,7}['\"][^'\"\\\n]{0,128}\\{0,7}['\"], url=|url=url\()"
    rb"\s?\\{0,7}['\"]?"
    rb"(?:[a-z][a-z0-9+.-]{0,15}://[^\s/?#'\"\\<>]{0,255})?(?P<path>[/?#][^\s'\"\\<>]+)"
)
CALLED_SIGN = r"(?i)(?:for|with|endpoint) url:? |['\"], url=|url=url\("


def find_called(view: View) -> Iterator[Found]:
    """Return path, query and fragment of URLs in messages of HTTP clients."""
    for match in _CALLED.finditer(view.lower):
        if not view.takes():
            yield match.start("path"), len(view.raw), UNREAD
            return
        if not match["path"].startswith(b"/[redacted:"):
            yield match.start("path") + 1, match.end("path"), _NAME


__all__ = ["CALLED_SIGN", "find_called"]
