"""The bodies that clients send: JSON, and no more of it than can be meant seriously."""

from __future__ import annotations

import orjson
from starlette.requests import Request

from divan_obs_asgi.headers import values
from divan_obs_asgi.ops.answers import Refused

MAX_BODY = 64 * 1024


async def read_json(request: Request) -> object:
    """
    Return the content of a JSON body; None where there is no body.

    Raises:
        Refused: 400 where it is no JSON, 413 where it is too long, 415 where it says to be something else.
    """
    headers = request.scope["headers"]
    _refuse_other_types(values(headers, b"content-type"), values(headers, b"content-encoding"))
    body = await _body(request)
    if not body:
        return None
    try:
        # Neither NaN nor what is nested deeper than its parser dares to go is JSON here.
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(400, "The body is no JSON.") from None


def _refuse_other_types(types: list[bytes], encodings: list[bytes]) -> None:
    if len(types) > 1:
        raise Refused(400, "There is more than one Content-Type.")
    # One that is missing says nothing against it (RFC 9110, section 8.3).
    for given in types:
        media_type = given.partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            raise Refused(415, "Send the body as 'Content-Type: application/json'.", {"accept": "application/json"})
    if any(encoding.strip().lower() not in (b"", b"identity") for encoding in encodings):
        raise Refused(415, "Send the body without Content-Encoding.")


async def _body(request: Request) -> bytes:
    too_long = Refused(413, f"The body is longer than {MAX_BODY} bytes.")
    for announced in values(request.scope["headers"], b"content-length"):
        # Servers let digits pass and nothing else; a number of many digits is not worth reading.
        if announced.isdigit() and (len(announced) > 9 or int(announced) > MAX_BODY):
            raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise too_long
    return bytes(body)


__all__ = ["MAX_BODY", "read_json"]
