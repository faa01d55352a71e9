"""Credentials with neutral names in queries of URLs, request lines and forms: `?ticket=`, `&code=`, `&key=`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.redaction.view import UNREAD, Found, View

_NAME = "credential"
# Names of single-use codes and of keys of applications, which mean something else outside a query.
_NAMES = (
    "ticket|tgt|pgt|code|js_?code|auth_?code|device_?code|user_?code|code_verifier|app_?id|app_?key|app_?secret|key|k|licen[cs]e"
    "|sig|sign|signature|hash|hmac|hdnts|hdnea|mac|md5|sha1|sha256|digest|st|tkn|tok|jwt|auth|verify|verification"
    "|confirm|confirmation|activation|activate|invite|invitation|reset|magic|otp|nonce|samlresponse|samlart|relaystate"
    "|access|grant|credential|policy|open_?id|union_?id|session_?state|x-amz-[a-z-]{1,24}|x-goog-(?:credential|signature)"
    "|x-oss-(?:credential|signature)|ossaccesskeyid|x-cos-security-token|q-signature|q-ak"
)
_PARAMETER = re.compile(
    rf"(?:(?P<first>\A|[\s\"'])|[?&;]|%3f|%26)(?P<name>{_NAMES})(?:=|%3d)(?P<value>(?!%26)[^\s&;\"'<>#|`,)\]}}\\]+)".encode()
)
_AMP = re.compile(rb"&|%26")
# The other parameter of an OAuth response.
_STATE = re.compile(rb"[?&]state=|%26state%3d")
# Their values are not credentials.
_PLAIN_AMZ = (b"x-amz-date", b"x-amz-expires", b"x-amz-algorithm", b"x-amz-signedheaders")
# One of them is a credential in any form; the others must look like one.
_STRICT = frozenset(b"key k code hash md5 st access policy reset confirm verify sign digest mac activate".split())
_LETTER = re.compile(rb"[a-z]")
_DIGIT = re.compile(rb"[0-9]")
_WORDS = re.compile(rb"[a-z]*(?:[-_./:+][a-z]*)*\Z")

QUERIES_SIGN = rf"(?i)(?:[?&;\s\"']|\A|%3f|%26)(?:{_NAMES})(?:=|%3d)"


def find_queries(view: View) -> Iterator[Found]:
    """Return the values of such parameters if they look like credentials."""
    lower = view.lower
    for match in _PARAMETER.finditer(lower):
        if not view.takes():
            yield match.start("value"), len(lower), UNREAD
            return
        value = match["value"]
        end = match.end("value")
        encoded = _AMP.search(value)
        if encoded is not None:
            end = match.start("value") + encoded.start()
            value = value[: encoded.start()]
        # Without a question mark before it, it is in a query only if another parameter follows.
        if match["first"] is not None and lower[end : end + 1] != b"&" and not lower.startswith(b"%26", end):
            continue
        name = match["name"]
        if value.startswith(b"[redacted:") or name in _PLAIN_AMZ:
            continue
        oauth = name == b"code" and _STATE.search(lower, max(0, match.start() - 512), end + 512) is not None
        # A short number is a status.
        single_use = oauth and len(value) > 3 and not (value.isdigit() and len(value) < 5)
        if single_use or _is_opaque(value, strict=name in _STRICT):
            yield match.start("value"), end, _NAME


def _is_opaque(value: bytes, *, strict: bool) -> bool:
    """Return whether a value is not a word, a number or the name of something: `room:7`."""
    if len(value) >= 16 and not _WORDS.match(value) and b":" not in value:
        return not (value.isdigit() and strict)
    if strict:
        return len(value) >= 6 and value.isalnum() and bool(_LETTER.search(value) and _DIGIT.search(value))
    return len(value) >= 6 and bool(_DIGIT.search(value)) and b":" not in value


__all__ = ["QUERIES_SIGN", "find_queries"]
