"""Redacts the bodies of error responses, which often contain the text of an exception."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from divan_obs_asgi.connection.headers import values, with_lasting_headers
from divan_obs_asgi.redaction import Limits, RedactionPolicy
from divan_obs_asgi.types import ASGIApp, Message, RawHeaders, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_FIRST_FAILURE = 500
# RFC 6839: the suffix names the format.
_JSON = re.compile(rb"application/(?:[\w.-]+\+)?json\s*(?:;|\Z)")
_TEXTUAL = re.compile(rb"text/|application/(?:(?:[\w.-]+\+)?xml|x-www-form-urlencoded|yaml|javascript)\s*(?:;|\Z)")
_CHARSET = re.compile(rb";\s*charset=\"?([\w.:-]+)")
# These headers describe the original body.
_OF_THE_BODY = frozenset({b"content-length", b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest"})
# A body is never cut; depth limits the recursion.
_UNCUT = Limits(items=1 << 30, depth=64, text=1 << 30, total=1 << 40)


class RedactedErrorBodies:
    """
    An application whose textual bodies of responses with status 500 or more are redacted, without being cut.

    Only a body in one message is redacted: streams, files and compressed bodies are not changed.
    """

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        self.app = app
        self.obs = obs
        self._policy = obs.redaction.having(limits=_UNCUT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        held: list[Message] = []

        async def send_redacted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = with_lasting_headers(message)
            if message["type"] == "http.response.start" and self._may_be_redacted(message):
                # The content-length depends on the body, which comes next.
                held.append(message)
                return
            if held:
                start = held.pop()
                if _is_whole_body(start, message):
                    start, message = self._redacted(start, message)
                await send(start)
            await send(message)

        try:
            await self.app(scope, receive, send_redacted)
        except Exception:
            # The application failed after the start. The client gets the start, and the server gets the error, even if
            # the client has gone.
            if held:
                with suppress(Exception):
                    await send(held.pop())
            raise
        if held:
            await send(held.pop())

    def _may_be_redacted(self, start: Message) -> bool:
        try:
            return _announces_text(start)
        except Exception as error:
            # An invalid message; the server decides what to do with it.
            self.obs.faults.report("redaction", error)
            return False

    def _redacted(self, start: Message, body: Message) -> tuple[Message, Message]:
        before = body.get("body") or b""
        try:
            before = bytes(before)  # Servers take a memoryview, too.
            content = _content(before, _content_type(start), self._policy)
        except Exception as error:
            # Fail closed: an empty body is better than a leaked secret.
            self.obs.faults.report("redaction", error)
            content = b""
        if content == before:
            return start, body
        return {**start, "headers": _headers(start, len(content))}, {**body, "body": content}


def _content(body: bytes, content_type: bytes, policy: RedactionPolicy) -> bytes:
    if not body:
        return body  # A response to HEAD, with the content-length of the GET.
    if _JSON.match(content_type):
        try:
            return orjson.dumps(policy.redact(json.loads(body)))
        except (ValueError, RecursionError):
            # Not JSON, in spite of its content type.
            return policy.redact_text(body.decode("utf-8", "replace")).encode()
    declared = _CHARSET.search(content_type)
    try:
        charset = declared[1].decode() if declared is not None else "utf-8"
        text = body.decode(charset, "replace")
    except LookupError:
        charset, text = "utf-8", body.decode("utf-8", "replace")
    redacted = policy.redact_text(text)
    return body if redacted == text else redacted.encode(charset, "replace")


def _is_whole_body(start: Message, message: Message) -> bool:
    """Return whether the message after the start has the whole body, by `more_body` or the content-length."""
    if message["type"] != "http.response.body":
        return False
    if not message.get("more_body"):
        return True
    lengths = values(_lowered(start), b"content-length")
    # Starlette's BaseHTTPMiddleware sends every body as a stream of one part and an empty one.
    return bool(lengths) and lengths[0].strip() == str(len(message.get("body", b""))).encode()


def _headers(start: Message, length: int) -> RawHeaders:
    """Return the headers without those of the former body, with the new length where there was one."""
    kept = [(key, value) for key, value in start.get("headers", ()) if key.lower() not in _OF_THE_BODY]
    if values(_lowered(start), b"content-length"):
        kept.append((b"content-length", str(length).encode()))
    return kept


def _announces_text(start: Message) -> bool:
    if int(start["status"]) < _FIRST_FAILURE:
        return False
    content_type = _content_type(start)
    if not (_JSON.match(content_type) or _TEXTUAL.match(content_type)):
        return False
    encodings = values(_lowered(start), b"content-encoding")
    return all(encoding.strip().lower() == b"identity" for encoding in encodings)


def _content_type(start: Message) -> bytes:
    kinds = values(_lowered(start), b"content-type")
    return kinds[0].strip().lower() if kinds else b""


def _lowered(start: Message) -> RawHeaders:
    return [(key.lower(), value) for key, value in start.get("headers", ())]


__all__ = ["RedactedErrorBodies"]
