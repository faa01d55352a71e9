"""The bodies that clients send: JSON, and no more of it than can be meant seriously."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import orjson
from starlette.requests import Request

from divan_obs_asgi.connection.headers import values
from divan_obs_asgi.ops.responses import Refused

MAX_BODY = 64 * 1024
JSON = b"application/json"


async def read_json(request: Request, most: int = MAX_BODY, types: Sequence[bytes] = (JSON,)) -> object:
    """
    Return the content of a JSON body; None where there is no body.

    Args:
        most: bytes that it may have.
        types: what it may say to be.

    Raises:
        Refused: 400 where it is no JSON, 413 where it is too long, 415 where it says to be something else.
    """
    headers = request.scope["headers"]
    _refuse_other_types(values(headers, b"content-type"), values(headers, b"content-encoding"), types)
    body = await _body(request, most)
    if not body:
        return None
    try:
        # Neither NaN nor what is nested deeper than its parser dares to go is JSON here.
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "The body is no JSON.") from None


def _refuse_other_types(named: list[bytes], encodings: list[bytes], types: Sequence[bytes]) -> None:
    if len(named) > 1:
        raise Refused(400, "There is more than one Content-Type.")
    # One that is missing says nothing against it (RFC 9110, section 8.3).
    for given in named:
        media_type = given.partition(b";")[0].strip().lower()
        if media_type not in types:
            raise Refused(415, "Send the body as 'Content-Type: application/json'.", {"accept": "application/json"})
    if any(encoding.strip().lower() not in (b"", b"identity") for encoding in encodings):
        raise Refused(415, "Send the body without Content-Encoding.")


async def _body(request: Request, most: int) -> bytes:
    too_long = Refused(413, f"The body is longer than {most} bytes.")
    for announced in values(request.scope["headers"], b"content-length"):
        # Servers let digits pass and nothing else; a number of many digits is not worth reading.
        if announced.isdigit() and (len(announced) > 9 or int(announced) > most):
            raise too_long
    body = bytearray()
    # Closed here: one that is left in the middle keeps what it has read until the event loop gets to closing it.
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > most:
                raise too_long
    return bytes(body)


__all__ = ["MAX_BODY", "read_json"]
