"""Credentials as protocols write them: HTTP authentication, URLs with user and password, signed URLs, PEM keys."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from divan_obs_asgi.redaction.view import UNREAD, Found, View

_SCHEME_SIGN = re.compile(rb"b(?:earer|asic)[\s%+\"]")
# RFC 6750, section 2.1 (b68token) and RFC 7617.
_SCHEME = re.compile(rb"b(?:earer|asic)(?:\s|%20|\+|\"\s?:\s?\"){1,4}\"?([a-z0-9._~+/%-]{4,}+=*+)")
_DIGIT = re.compile(rb"[0-9]")
_CAPITAL = re.compile(rb"[A-Z]")
_GOES_ON = re.compile(rb"[\w=]|\[redacted:")
# `--token <TOKEN>` in a text about the use of a command.
_USAGE = re.compile(rb"<[\w-]{1,64}>")
_OPTION = re.compile(rb"(?<![a-z0-9-])--?[a-z0-9]")
_ARGUMENT = re.compile(
    rb"(?<![a-z0-9-])--?[a-z0-9-]{1,64}+(?:(?<=password)|(?<=passwd)|(?<=passphrase)|(?<=secret)|(?<=token)|(?<=apikey)"
    rb"|(?<=(?:api|ate|ess|ret|ing)-key))[ \t]{1,4}"
    rb"['\"]?([^\s'\"-][^\s'\"]{0,4096})"
)
# The cost of an option that is not a credential, in characters that a rule reads (view.py); measured and rounded up.
_OPTION_COST = 24
# RFC 7468; PGP calls it a block. A key without an end is a secret up to the end of the text.
_PEM = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:(?!-----END).)*+(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
    re.DOTALL,
)
# RFC 3986, section 3.2: the authority ends at the first of these.
_AUTHORITY = re.compile(rb"[^\s/?#\"'<>\\,|`(){}]{0,1024}+")
_LONGEST_URL = 2048
_AT = re.compile(rb"@|%40")
_END_OF_URL = re.compile(rb"[\s\"'<>\\|`?,]")
_WEB = re.compile(rb"(?:https?|wss?)\Z", re.IGNORECASE)
_PORT = re.compile(rb"[^@:]*:\d{0,5}\Z")


def find_schemes(view: View) -> Iterable[Found]:
    """Return the credentials after `Bearer` and `Basic`, unless a word of a sentence follows."""
    return _credentials(view) if _SCHEME_SIGN.search(view.lower) else ()


def _credentials(view: View) -> Iterator[Found]:
    for match in _SCHEME.finditer(view.lower):
        if not view.takes():
            yield match.start(1), len(view.raw), UNREAD
            return
        if match.start() and chr(view.lower[match.start() - 1]).isalnum():
            continue
        # "bearer a1b2=c3" is a pair for another rule. It is not read here, because it would be read for each scheme.
        if _GOES_ON.match(view.lower, match.end()):
            continue
        credentials = view.raw[match.start(1) : match.end(1)]
        if _is_credential(credentials, basic=match[0].startswith(b"basic")):
            yield match.start(1), match.end(1), "basic" if match[0].startswith(b"basic") else "bearer"


def find_arguments(view: View) -> Iterable[Found]:
    """Return the values of command line options with the name of a secret: `--password hunter2`."""
    first = _OPTION.search(view.lower)
    if first is None:
        return ()
    options = len(_OPTION.findall(view.lower))
    if view.takes(options, _OPTION_COST) < options:
        return [(first.start(), len(view.raw), UNREAD)]
    return _until_unread(view, filter(_is_not_redacted, _ARGUMENT.finditer(view.lower)), 1, "credential")


def _is_not_redacted(match: re.Match[bytes]) -> bool:
    """Return whether the value of an option is neither a marker of an earlier pass or a cut, nor a placeholder."""
    return not match[1].startswith((b"[redacted:", b"[cut:")) and _USAGE.match(match[1]) is None


def find_private_keys(view: View) -> Iterable[Found]:
    """Return PEM private keys, including their first and last line."""
    if b"PRIVATE KEY" not in view.raw:
        return ()
    return _until_unread(view, _PEM.finditer(view.raw), 0, "private_key")


def _until_unread(view: View, matches: Iterable[re.Match[bytes]], group: int, name: str) -> Iterator[Found]:
    for match in matches:
        if not view.takes():
            yield match.start(group), len(view.raw), UNREAD
            return
        yield match.start(group), match.end(group), name


def find_user_info(view: View) -> Iterable[Found]:
    """Return user and password in front of the host of a URL."""
    if b"@" not in view.raw and not view.encoded:
        return ()
    signs = (b"://", b"%3a%2f%2f", b"%3A%2F%2F") if view.encoded else (b"://",)
    return [place for sign in signs for place in _user_infos(view, sign)]


def _user_infos(view: View, sign: bytes) -> Iterator[Found]:
    raw = view.raw
    start = raw.find(sign)
    at = url_end = -1
    while start >= 0:
        begin = start + len(sign)
        # Both are searched once, not again for each URL before them.
        if at < begin:
            found = _AT.search(raw, begin)
            if found is None:
                return
            at = found.start()
        if url_end < begin:
            delimiter = _END_OF_URL.search(raw, begin)
            url_end = len(raw) if delimiter is None else delimiter.start()
        end = begin
        if at - begin < _LONGEST_URL and at <= url_end:
            if not view.takes():
                yield begin, len(raw), UNREAD
                return
            web = _WEB.search(raw, max(0, start - 5), start) is not None
            end = _user_info_end(raw, begin, web, min(url_end, begin + _LONGEST_URL))
        if end > begin and raw[begin:end] not in (b"git", b"hg", b"svn"):
            yield begin, end, "userinfo"
        start = raw.find(sign, max(begin, end))


def _is_credential(value: bytes, *, basic: bool) -> bool:
    if basic and _is_user_and_password(value):
        return True
    if len(value) < 8:
        return False
    if len(value) >= 32 or value.endswith(b"="):
        return True
    if _DIGIT.search(value) and not value.isdigit():
        return True
    return _CAPITAL.search(value, 1) is not None and not value.isupper()


def _is_user_and_password(value: bytes) -> bool:
    try:
        return b":" in base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


def _user_info_end(raw: bytes, begin: int, web: bool, url_end: int) -> int:
    """Return the end of the user info, before its "@"; `begin` if there is none."""
    authority = _AUTHORITY.match(raw, begin)
    assert authority is not None
    # A password may contain an unescaped "@" or "/". The path of a web page may contain an "@" too.
    if not web or (b":" in authority[0] and b"@" not in authority[0] and not _PORT.match(authority[0])):
        at = raw.rfind(b"@", begin, url_end)
        if at >= 0 and b":" in raw[begin:at]:
            return at
    for sign in (b"@", b"%40"):
        at = raw.rfind(sign, begin, authority.end())
        if at >= 0:
            return at
    return begin


__all__ = ["find_arguments", "find_private_keys", "find_schemes", "find_user_info"]
