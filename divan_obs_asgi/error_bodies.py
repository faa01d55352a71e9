"""Keep secrets out of the bodies of failed answers: an exception's text often ends up there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.headers import values
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_FIRST_FAILURE = 500
_TEXTUAL = (b"text/", b"application/json", b"application/problem+json", b"application/xml")


class RedactedErrorBodies:
    """
    An application whose textual bodies of answers from 500 on go through the redaction policy.

    Only a body that comes in one message is one: streams, files and compressed bodies are left alone.
    """

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        self.app = app
        self.obs = obs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        held: list[Message] = []

        async def send_redacted(message: Message) -> None:
            if message["type"] == "http.response.start" and _announces_text(message):
                # Its content-length depends on the body, which comes next.
                held.append(message)
                return
            if held:
                start = held.pop()
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    start, message = self._redacted(start, message)
                await send(start)
            await send(message)

        try:
            await self.app(scope, receive, send_redacted)
        finally:
            # The application gave up after the start: the client gets what it would have got.
            if held:
                await send(held.pop())

    def _redacted(self, start: Message, body: Message) -> tuple[Message, Message]:
        try:
            text = body.get("body", b"").decode("utf-8", "replace")
            content = self.obs.redaction.redact_text(text).encode()
            length = str(len(content)).encode()
            headers = [(key, length if key.lower() == b"content-length" else value) for key, value in start["headers"]]
            return {**start, "headers": headers}, {**body, "body": content}
        except Exception as error:
            # Fail closed: an error's body is worth less than what it may give away.
            self.obs.faults.report("redaction", error)
            return {**start, "headers": []}, {**body, "body": b""}


def _announces_text(start: Message) -> bool:
    if start["status"] < _FIRST_FAILURE:
        return False
    headers = [(key.lower(), value) for key, value in start.get("headers", ())]
    kinds = values(headers, b"content-type")
    return bool(kinds) and kinds[0].lower().startswith(_TEXTUAL) and not values(headers, b"content-encoding")


__all__ = ["RedactedErrorBodies"]
