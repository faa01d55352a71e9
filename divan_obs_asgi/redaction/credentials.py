"""Credentials that a protocol writes down: HTTP authentication, URLs with user and password, signed URLs, PEM keys."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from divan_obs_asgi.redaction.view import Found, View

_SCHEME_SIGN = re.compile(rb"b(?:earer|asic)[\s%+\"]")
# RFC 6750, section 2.1 (b68token) and RFC 7617.
_SCHEME = re.compile(rb"b(?:earer|asic)(?:\s|%20|\+|\"\s?:\s?\"){1,4}\"?([a-z0-9._~+/%-]{4,}+=*+)(?![\w=])")
# RFC 7468; PGP calls it a block. What does not end is a secret to the end of the text.
_PEM = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:(?!-----END).)*+(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
    re.DOTALL,
)
# RFC 3986, section 3.2: the authority ends at the first of these.
_AUTHORITY = re.compile(rb"[^\s/?#\"'<>\\,|`(){}]*")
_WHOLE_URL = re.compile(rb"[^\s\"'<>\\|`?,]*")
_WEB = re.compile(rb"(?:https?|wss?)\Z", re.IGNORECASE)
_PORT = re.compile(rb"[^@:]*:\d{0,5}\Z")


def find_schemes(view: View) -> Iterable[Found]:
    """Return what follows `Bearer` and `Basic`, where it is no word of a sentence."""
    return _credentials(view) if _SCHEME_SIGN.search(view.lower) else ()


def _credentials(view: View) -> Iterator[Found]:
    for match in _SCHEME.finditer(view.lower):
        if match.start() and chr(view.lower[match.start() - 1]).isalnum():
            continue
        credentials = view.raw[match.start(1) : match.end(1)]
        if _is_credential(credentials, basic=match[0].startswith(b"basic")):
            yield match.start(1), match.end(1), "basic" if match[0].startswith(b"basic") else "bearer"


def find_private_keys(view: View) -> Iterable[Found]:
    """Return PEM private keys, armour included."""
    if b"PRIVATE KEY" not in view.raw:
        return ()
    return [(match.start(), match.end(), "private_key") for match in _PEM.finditer(view.raw)]


def find_user_info(view: View) -> Iterable[Found]:
    """Return user and password in front of the host of a URL."""
    if b"@" not in view.raw and not view.encoded:
        return ()
    signs = (b"://", b"%3a%2f%2f", b"%3A%2F%2F") if view.encoded else (b"://",)
    return [place for sign in signs for place in _user_infos(view.raw, sign)]


def _user_infos(raw: bytes, sign: bytes) -> Iterator[Found]:
    start = raw.find(sign)
    while start >= 0:
        begin = start + len(sign)
        web = _WEB.search(raw, max(0, start - 5), start) is not None
        end = _user_info_end(raw, begin, web)
        if end > begin and raw[begin:end] not in (b"git", b"hg", b"svn"):
            yield begin, end, "userinfo"
        start = raw.find(sign, max(begin, end))


def _is_credential(value: bytes, *, basic: bool) -> bool:
    if basic and _is_user_and_password(value):
        return True
    if len(value) < 8:
        return False
    text = value.decode()
    if any(char.isdigit() for char in text) and not text.isdigit():
        return True
    if any(char.isupper() for char in text[1:]) and any(char.islower() for char in text):
        return True
    return text.endswith("=") or len(text) >= 32


def _is_user_and_password(value: bytes) -> bool:
    try:
        return b":" in base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


def _user_info_end(raw: bytes, begin: int, web: bool) -> int:
    """Return where the user info ends, before its "@"; `begin` where there is none."""
    authority = _AUTHORITY.match(raw, begin)
    assert authority is not None
    # A password may have "@" and "/" in it, unescaped; the path of a web page may have an "@" too.
    if not web or (b":" in authority[0] and b"@" not in authority[0] and not _PORT.match(authority[0])):
        url = _WHOLE_URL.match(raw, begin)
        assert url is not None
        at = raw.rfind(b"@", begin, url.end())
        if at >= 0 and b":" in raw[begin:at]:
            return at
    for sign in (b"@", b"%40"):
        at = raw.rfind(sign, begin, authority.end())
        if at >= 0:
            return at
    return begin


__all__ = ["find_private_keys", "find_schemes", "find_user_info"]
