"""Keep secrets out of the bodies of failed answers: an exception's text often ends up there."""

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
# RFC 6839: the suffix says what a parser of the kind can read.
_JSON = re.compile(rb"application/(?:[\w.-]+\+)?json\s*(?:;|\Z)")
_TEXTUAL = re.compile(rb"text/|application/(?:(?:[\w.-]+\+)?xml|x-www-form-urlencoded|yaml|javascript)\s*(?:;|\Z)")
_CHARSET = re.compile(rb";\s*charset=\"?([\w.:-]+)")
# They describe the body that it was.
_OF_THE_BODY = frozenset({b"content-length", b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest"})
# A client wants all of its answer; depth is for the recursion's sake.
_UNCUT = Limits(items=1 << 30, depth=64, text=1 << 30, total=1 << 40)


class RedactedErrorBodies:
    """
    An application whose textual bodies of answers from 500 on go through the redaction policy, uncut.

    Only a body that comes in one message is one: streams, files and compressed bodies are left alone.
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
                # Its content-length depends on the body, which comes next.
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
            # It gave up after the start. The client gets what it would have got, and the server the error, also where
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
            # A message that is none; what its server makes of it is not for an observer to decide.
            self.obs.faults.report("redaction", error)
            return False

    def _redacted(self, start: Message, body: Message) -> tuple[Message, Message]:
        before = body.get("body") or b""
        try:
            before = bytes(before)  # Servers take a memoryview, too.
            content = _content(before, _content_type(start), self._policy)
        except Exception as error:
            # Fail closed: an error's body is worth less than what it may give away.
            self.obs.faults.report("redaction", error)
            content = b""
        if content == before:
            return start, body
        return {**start, "headers": _headers(start, len(content))}, {**body, "body": content}


def _content(body: bytes, content_type: bytes, policy: RedactionPolicy) -> bytes:
    if not body:
        return body  # Of a HEAD, whose content-length is that of the GET.
    if _JSON.match(content_type):
        try:
            return orjson.dumps(policy.redact(json.loads(body)))
        except (ValueError, RecursionError):
            # It is no JSON in spite of what it says.
            return policy.redact_text(body.decode("utf-8", "replace")).encode()
    declared = _CHARSET.search(content_type)
    try:
        charset = declared[1].decode() if declared is not None else "utf-8"
        text = body.decode(charset, "replace")
    except LookupError:
        charset, text = "utf-8", body.decode("utf-8", "replace")
    told = policy.redact_text(text)
    return body if told == text else told.encode(charset, "replace")


def _is_whole_body(start: Message, message: Message) -> bool:
    """Tell whether the message after the start is all there is, as its end or the content-length says."""
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
