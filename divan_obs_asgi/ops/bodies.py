"""The bodies of requests: JSON of limited length."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import orjson
from starlette.requests import Request

from divan_obs_asgi.connection.headers import values
from divan_obs_asgi.ops.responses import RequestRefused

MAX_BODY = 64 * 1024
JSON = b"application/json"


async def read_json(request: Request, most: int = MAX_BODY, types: Sequence[bytes] = (JSON,)) -> object:
    """
    Return the content of a JSON body; None without a body.

    Args:
        most: the maximum length in bytes.
        types: the accepted media types.

    Raises:
        RequestRefused: 400 if it is not JSON, 413 if it is too long, 415 for another media type.
    """
    headers = request.scope["headers"]
    _check_types(values(headers, b"content-type"), values(headers, b"content-encoding"), types)
    body = await _body(request, most)
    if not body:
        return None
    try:
        # orjson refuses NaN, and nesting that is too deep for its parser.
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused(400, "The body is not valid JSON.") from None


def _check_types(media_types: list[bytes], encodings: list[bytes], types: Sequence[bytes]) -> None:
    if len(media_types) > 1:
        raise RequestRefused(400, "Send one Content-Type.")
    # A missing one is allowed (RFC 9110, section 8.3).
    for given in media_types:
        media_type = given.partition(b";")[0].strip().lower()
        if media_type not in types:
            raise RequestRefused(
                415, "Send the body as 'Content-Type: application/json'.", {"accept": "application/json"}
            )
    if any(encoding.strip().lower() not in (b"", b"identity") for encoding in encodings):
        raise RequestRefused(415, "Send the body without Content-Encoding.")


async def _body(request: Request, most: int) -> bytes:
    too_long = RequestRefused(413, f"The body is longer than {most} bytes.")
    for announced in values(request.scope["headers"], b"content-length"):
        # Servers accept digits only; Python would take long to parse a number with very many.
        if announced.isdigit() and (len(announced) > 9 or int(announced) > most):
            raise too_long
    body = bytearray()
    # Closed at once: a generator that is left unfinished keeps its chunks until the event loop closes it.
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > most:
                raise too_long
    return bytes(body)


__all__ = ["MAX_BODY", "read_json"]
