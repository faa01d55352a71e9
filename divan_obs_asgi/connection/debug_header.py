"""
The header of a request that is to be debugged: `X-Divan-Debug`, signed with OBS_DEBUG_KEY.

Its value is a JSON Web Token (RFC 7519) with a version, an expiry and a random id, and HMAC-SHA256 as the only
signature. So each redaction, this library's and that of others, recognises it as a credential wherever it may appear.
Only somebody with the key can make one, and one that leaks is useless after 15 minutes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time

HEADER = b"x-divan-debug"
VALID_S = 15 * 60
_VERSION = 1
# A client can send any length. A valid value has 150 characters.
_MAX_LENGTH = 256


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


# The only one that is accepted: a token for another purpose, signed with the same key, is not valid here (RFC 8725,
# section 3.11), nor is one that names another algorithm.
_TYPE = _encoded(b'{"alg":"HS256","typ":"divan-debug"}')


class DebugKey:
    """Signs and verifies the header with OBS_DEBUG_KEY."""

    def __init__(self, key: str) -> None:
        # Python decodes environment variables with surrogateescape; this restores the bytes.
        self._key = key.encode("utf-8", "surrogateescape")

    def header(self, now: float | None = None) -> str:
        """Return a new value, which is valid for `VALID_S` seconds."""
        expiry = int(time.time() if now is None else now) + VALID_S
        claims = {"v": _VERSION, "exp": expiry, "jti": secrets.token_hex(8)}
        signed = _TYPE + b"." + _encoded(json.dumps(claims, separators=(",", ":")).encode())
        return (signed + b"." + self._signature(signed)).decode()

    def verifies(self, value: bytes, now: float | None = None) -> bool:
        """Return whether a value is signed with this key, has not expired, and expires no later than a new one."""
        if len(value) > _MAX_LENGTH:
            value = b""
        signed, _, signature = value.rpartition(b".")
        # Computed and compared whatever the value is: the duration does not show what is wrong.
        is_signed = hmac.compare_digest(self._signature(signed), signature)
        kind, _, claims = signed.partition(b".")
        if not (is_signed and kind == _TYPE):
            return False
        try:
            fields = json.loads(base64.urlsafe_b64decode(claims + bytes(-len(claims) % 4).replace(b"\0", b"=")))
            left_s = fields["exp"] - (time.time() if now is None else now)
            return bool(fields["v"] == _VERSION and 0 < left_s <= VALID_S)
        except (ValueError, LookupError, TypeError):
            # Signed with this key by another program.
            return False

    def _signature(self, signed: bytes) -> bytes:
        return _encoded(hmac.new(self._key, signed, hashlib.sha256).digest())


__all__ = ["HEADER", "VALID_S", "DebugKey"]
