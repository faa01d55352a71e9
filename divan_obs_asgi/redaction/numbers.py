"""Numbers that are recognised by their values: payment cards, bank accounts, positions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from divan_obs_asgi.redaction.harmless import is_measure
from divan_obs_asgi.redaction.view import CLASSES, GROUPING, UNREAD, Found, View

_CARD = re.compile(
    rb"(?<![\w.])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})(?!\w|[.-]\d)"
)
# Beginnings of card numbers, with "0" for each digit and a blank for a dash. Literals are found a hundred times faster.
_SHAPES = bytes(48 if 48 <= code < 58 else 32 if code == 45 else code for code in range(256))
_CARD_SIGNS = (b"0" * 13, b"0000 0000 0000 ", b"0000 000000 ")
_DIGITS = re.compile(rb"0*")
_NO_CARD_BEFORE = re.compile(rb"\w-\Z")
# Issuer's digits and lengths (ISO/IEC 7812; the networks' own ranges).
_ISSUERS = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    rb"|(?:6011|64[4-9]\d|65\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|3(?:0[0-59]|[689]\d)\d{11,13}|62\d{14,17}"
    rb"|(?:50|5[6-8]|6[0-9])\d{10,17}"
)
_ACCOUNT_SIGN = b"AA00"
# ISO 13616, the registry of SWIFT: the form of an IBAN by country, with its length.
_ACCOUNTS = {
    country.encode(): re.compile(rb"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]){%d}(?![A-Za-z0-9])" % (length - 4))
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD FK",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK MN",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ TL OM SO",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}

_LONGITUDE = re.compile(
    rb"\.\d{4,17}(?:\s{0,2}[NSns](?![A-Za-z]))?"
    rb"(?P<between>[,;/| \t\n]{1,6})(?:lo?ng?(?:itude)?\W{1,4})?"
    rb"(?P<longitude>[-+]?\d{1,3})\.\d{4,17}(?![\w%]|\.\d|[,;] ?[-+]?\d+\.\d{4})(?:\s{0,2}[EWew](?![A-Za-z]))?"
)
# The same in `View.classes`, which has no blanks, minus signs and capitals.
_TWO = re.compile(rb"\.0{4,20}[NSAns]?(?:[,;/|\t\n]|lo?ng?(?:itude)?[:=]){0,5}[-+0]{0,4}\.0000")
# The cost of each character of a text whose decimal points are examined.
_POINTS = 3
_BLANKS = re.compile(rb"\s+")
_LATITUDE_BACKWARDS = re.compile(rb"(\d{1,3}[-+]?)(?![\d.]|[ \t]?[,;/][ \t]?\d|\w)")


def find_cards(view: View) -> Iterable[Found]:
    """Return card numbers: digits and length of an issuer, and a valid check digit (ISO/IEC 7812-1, annex B)."""
    return _cards(view) if b"0" * 13 in view.classes else ()


def _cards(view: View) -> Iterator[Found]:
    raw = view.numbers
    shapes = raw.translate(_SHAPES)
    for sign in _CARD_SIGNS:
        start = shapes.find(sign)
        while start >= 0:
            if not view.takes():
                yield start, len(raw), UNREAD
                return
            match = _CARD.match(raw, start)
            if match is not None and _is_card(raw, match):
                yield match.start(), match.end(), "card"
            digits = _DIGITS.match(shapes, start)
            assert digits is not None
            start = shapes.find(sign, digits.end())


def _is_card(raw: bytes, match: re.Match[bytes]) -> bool:
    digits = match[0].translate(None, GROUPING)
    if _ISSUERS.fullmatch(digits) is None or not luhn(digits):
        return False
    return _NO_CARD_BEFORE.search(raw, max(0, match.start() - 2), match.start()) is None


def find_ibans(view: View) -> Iterable[Found]:
    """Return IBANs: a country, its length, and valid check digits (ISO 7064, mod 97-10)."""
    return _accounts(view) if _ACCOUNT_SIGN in view.classes else ()


def _accounts(view: View) -> Iterator[Found]:
    raw = view.numbers
    shapes = raw.translate(CLASSES)
    start = shapes.find(_ACCOUNT_SIGN)
    while start >= 0:
        if not view.takes():
            yield start, len(raw), UNREAD
            return
        shape = _ACCOUNTS.get(raw[start : start + 2])
        match = shape.match(raw, start) if shape is not None else None
        end = start + 4
        if match is not None:
            end = match.end()
            if mod97(match[0].translate(None, GROUPING)) == 1:
                yield start, end, "iban"
        start = shapes.find(_ACCOUNT_SIGN, end)


def find_positions(view: View) -> Iterable[Found]:
    """Return latitude and longitude, both with at least four decimals (about eleven metres)."""
    return _positions(view) if _TWO.search(view.classes) else ()


def _positions(view: View) -> Iterator[Found]:
    raw = view.numbers
    # Each decimal point is examined, even if no longitude follows.
    if not view.reads(_POINTS):
        yield 0, len(raw), UNREAD
        return
    for match in _LONGITUDE.finditer(raw):
        point = match.start()
        if not view.takes():
            yield max(0, point - 8), len(raw), UNREAD
            return
        before = _LATITUDE_BACKWARDS.match(raw[max(0, point - 8) : point][::-1])
        if before is None:
            continue
        latitude, longitude = abs(int(before[1][::-1])), abs(int(match["longitude"]))
        # Two numbers below one are shares or durations. Without a comma between them, so are two numbers below ten.
        least = 10 if _BLANKS.fullmatch(match["between"]) else 1
        if min(latitude, longitude) <= 90 and least <= max(latitude, longitude) <= 180:
            begin = point - len(before[1])
            if not is_measure(raw, begin, match.end()):
                yield begin, match.end(), "position"


def mod97(account: bytes) -> int:
    """Return the remainder, 1 for a valid IBAN: letters count as 10 to 35, and the first four characters go last."""
    return int("".join(map(_AS_DIGITS.__getitem__, account[4:] + account[:4]))) % 97


def luhn(digits: bytes) -> bool:
    """Return whether the last digit is the check digit of the others."""
    odd = sum(digit - 48 for digit in digits[-1::-2])
    even = sum(_DOUBLED[digit - 48] for digit in digits[-2::-2])
    return (odd + even) % 10 == 0


_AS_DIGITS = {ord(char): str(int(char, 36)) for char in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

__all__ = ["find_cards", "find_ibans", "find_positions", "luhn", "mod97"]
