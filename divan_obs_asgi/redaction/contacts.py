"""Contact data: e-mail addresses, and phone numbers in international form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from divan_obs_asgi.redaction.harmless import is_difference
from divan_obs_asgi.redaction.view import UNREAD, Found, View

# RFC 5322's dot-atom without the characters that logs use as delimiters, read backwards from the "@".
_LOCAL_BACKWARDS = re.compile(rb"[A-Za-z0-9_%+'.-]{1,64}")
_DOMAIN = re.compile(
    rb"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})?\.){1,8}(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,59})(?![A-Za-z0-9])"
)
_AT = re.compile(rb"@|%40|\\u0040|&#64;")
_PATH_OR_END = re.compile(rb"[\s/?#\"'<>]")
# `icon@2x.png`.
_DENSITY = re.compile(rb"[1-4]x\.[A-Za-z]+\Z")
# The cost of a possible phone number within a budget. Most are not phone numbers.
_SIGN_COST = 32
# E.164: a country code that does not begin with 0, and at most 15 digits in all.
_PHONE = re.compile(rb"\+[1-9](?:(?: ?[()][ -]?|[ ./-])?\d){6,14}(?![\w@]|\.\d)")
_PHONE_ENCODED = re.compile(rb"%2[bB][1-9](?:(?:[ ./()+-]|%20){0,3}\d){6,14}(?![\w@]|\.\d)")
_PHONE_00 = re.compile(rb"00(?<![\w.:+,/-]00)[1-9]\d{0,2}[ /(.-]{1,2}(?:\d[ ./()-]{0,2}){5,11}\d(?![\w.:/-])")


def find_emails(view: View) -> Iterable[Found]:
    """Return e-mail addresses, also with an encoded "@"."""
    raw = view.raw
    if view.encoded or (b"\\" in raw and b"\\u0040" in view.lower) or (b"&" in raw and b"&#64;" in raw):
        return _addresses(view, (match.span() for match in _AT.finditer(view.lower)))
    return _addresses(view, _plain(raw)) if b"@" in raw else ()


def _addresses(view: View, signs: Iterable[tuple[int, int]]) -> Iterator[Found]:
    raw = view.raw
    end = 0
    for start, stop in signs:
        if not view.takes():
            yield max(end, start - 64), len(raw), UNREAD
            return
        domain = _DOMAIN.match(raw, stop)
        if domain is None:
            continue
        window = raw[max(end, start - 64) : start][::-1]
        local = _LOCAL_BACKWARDS.match(window)
        if local is None or _DENSITY.match(domain[0]) or _is_user_info(raw, start):
            continue
        name = local[0][::-1].lstrip(b".'%+-")
        if not name or (name in (b"git", b"hg") and raw[domain.end() : domain.end() + 1] in (b":", b"/")):
            continue
        end = domain.end()
        yield start - len(name), end, "email"


def _is_user_info(raw: bytes, at: int) -> bool:
    """Return whether the "@" ends the user info of a URL, which another rule redacts."""
    slashes = raw.rfind(b"://", max(0, at - 256), at)
    return slashes >= 0 and _PATH_OR_END.search(raw, slashes + 3, at) is None


def find_phones(view: View) -> Iterable[Found]:
    """Return phone numbers that begin with "+", or with 00 if they are written in groups."""
    raw = view.raw
    found: list[Found] = []
    if b"+" in raw:
        found += _numbers(view, _PHONE, b"+")
    if view.encoded:
        found += _numbers(view, _PHONE_ENCODED, b"%2")
    if b"0" * 11 in view.classes:
        found += _numbers(view, _PHONE_00, b"00")
    return found


def _numbers(view: View, pattern: re.Pattern[bytes], sign: bytes) -> Iterator[Found]:
    raw = view.raw
    wanted = raw.count(sign)
    if view.takes(wanted, _SIGN_COST) < wanted:
        yield raw.find(sign), len(raw), UNREAD
        return
    for match in pattern.finditer(raw):
        start, end = match.span()
        if not view.takes():
            yield start, len(raw), UNREAD
            return
        if (start == 0 or not chr(raw[start - 1]).isalnum()) and not (sign == b"+" and is_difference(raw, start, end)):
            yield start, end, "phone"


def _plain(raw: bytes) -> Iterator[tuple[int, int]]:
    start = raw.find(b"@")
    while start >= 0:
        yield start, start + 1
        start = raw.find(b"@", start + 1)


__all__ = ["find_emails", "find_phones"]
