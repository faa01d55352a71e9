# ruff: noqa: E501 - a pattern is one line.
"""Positions in other notations than two numbers with four decimals: each is recognised by its form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from divan_obs_asgi.redaction.geo_codes import is_h3, is_wkb
from divan_obs_asgi.redaction.harmless import is_measure
from divan_obs_asgi.redaction.keys import POSITION
from divan_obs_asgi.redaction.places import is_geo_object
from divan_obs_asgi.redaction.view import UNREAD, Found, View

_NUM = r"[-+]?\d{1,3}(?:[.]\d{1,17})?"
_DECIMAL = r"[-+]?\d{1,3}[.]\d{1,17}"
_LAT = r"(?:lat(?:itude)?|enlem|latitud|latitudine|breite(?:ngrad)?)"
_LON = r"(?:lo?ng?(?:itude)?|boylam|longitud|longitudine|l(?:ae|a)nge(?:ngrad)?)"
# After a degree, a minute or a second: its sign, which is a blank in `View.raw` if it is not ASCII.
_SIGN = r"(?:[ \t]{1,8}|[ \t]{0,8}(?:deg|min|sec|[dmsoz*'\"`:]{1,2}|\\[\"'])[ \t]{0,8})"
_DMS = rf"\d{{1,3}}(?:[.]\d{{1,8}})?{_SIGN}\d{{1,2}}(?:[.,]\d{{1,8}})?(?:{_SIGN}\d{{1,2}}(?:[.,]\d{{1,8}})?)?{_SIGN}?"
_PLUS = "23456789CFGHJMPQRVWX"


@dataclass(frozen=True)
class Notation:
    """
    One notation of a position.

    Attributes:
        pattern: what is redacted, or its group `at`.
        sign: an RE2 pattern that matches wherever `pattern` may match; by default the pattern without lookarounds.
        fits: whether a match is a position.
        form: the form of the text that is read, an attribute of `View`.
    """

    pattern: str
    sign: str
    fits: Callable[[re.Match[bytes]], bool] | None = None
    form: str = "raw"

    @cached_property
    def compiled(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern.encode())

    def find(self, view: View) -> Iterator[Found]:
        """Return the positions of the text."""
        raw: bytes = getattr(view, self.form)
        compiled = self.compiled
        group = "at" if "at" in compiled.groupindex else 0
        for match in compiled.finditer(raw):
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            if self.fits is None or self.fits(match):
                yield *match.span(group), POSITION


def _are_degrees(match: re.Match[bytes]) -> bool:
    """Return whether the groups `a` and `b` are a latitude and a longitude, in any order, and have a fraction."""
    a, b = match["a"], match["b"]
    if b"." not in a + b:
        return False
    one, other = abs(float(a)), abs(float(b))
    return min(one, other) <= 90 and max(one, other) <= 180


def _is_named(match: re.Match[bytes]) -> bool:
    return _are_degrees(match) and not is_measure(match.string, match.start(), match.end())


def _is_object(match: re.Match[bytes]) -> bool:
    return is_geo_object(match["key"].decode(), float(match["a"]), float(match["b"]))


def _is_plus_code(match: re.Match[bytes]) -> bool:
    return re.search(rb"[A-Z]", match["code"]) is not None


_WORDS3 = r"[a-z]{3,24}\.[a-z]{3,24}\.[a-z]{3,24}"
_QUERY = "q|ll|sll|sspn|query|center|daddr|saddr|destination|origin|markers|loc|location|pt|cp|dest|point|coord|coords|to|from"
_COMMA = "(?:,|%2c|%20|[+ ]|,[ +]|;|~|%3b|%7e)"

NOTATIONS: tuple[Notation, ...] = (
    # `lat 52.52 lon 13.40`, `lon: 13.40, lat: 52.52`, `lat/lon 52.52, 13.40`
    Notation(
        rf"(?i)(?<![A-Za-z])(?:{_LAT}\W{{1,4}}(?P<a>{_NUM})\W{{1,6}}(?:(?:and|ve|und|et|y) )?{_LON}\W{{1,4}}(?P<b>{_NUM}))(?![\w]|\.\d)",
        rf"(?i){_LAT}\W{{1,4}}\d+(?:\.\d+)?\W",
        _is_named,
    ),
    Notation(
        rf"(?i)(?<![A-Za-z]){_LON}\W{{1,4}}(?P<a>{_NUM})\W{{1,6}}(?:(?:and|ve|und|et|y) )?{_LAT}\W{{1,4}}(?P<b>{_NUM})(?![\w]|\.\d)",
        rf"(?i){_LON}\W{{1,4}}\d+(?:\.\d+)?\W",
        _is_named,
    ),
    Notation(
        rf"(?i)(?<![A-Za-z])(?:{_LAT}[-_/, ]{{0,2}}{_LON}|coord(?:inate)?s?|gps|koordinat(?:lar)?|konum)(?:inates?)?"
        rf"[\s:=(\[@]{{1,4}}(?P<at>(?P<a>{_DECIMAL})(?:[,;/ ]|, )(?P<b>{_DECIMAL}))(?![\w%]|\.\d)",
        r"(?i)(?:l(?:o?ng?|at)(?:itude)?|boylam|coord(?:inate)?s?|gps|koordinat(?:lar)?|konum)[\s:=(\[@]{1,4}[-+]?\d+\.\d",
        _is_named,
    ),
    # `52.52 N, 13.40 E`, `N52.52 E13.40`
    Notation(
        r"(?<![\w.])(?P<a>\d{1,2}\.\d{1,17})[ z*od]{0,3}[NS][,;/ ]{0,3}(?P<b>\d{1,3}\.\d{1,17})[ z*od]{0,3}[EWO](?!\w)",
        r"[NS](?:[,;/ +]|%20|%2[Cc]){0,3}\d+\.\d+(?:[ z*od+]|%[2CB][0B2]){0,3}[EWO]",
        _are_degrees,
        "numbers",
    ),
    Notation(
        r"(?<![\w.])[NS][ ]?(?P<a>\d{1,2}\.\d{1,17})[ z*o]{0,2}[,;/ ]{1,3}[EWO][ ]?(?P<b>\d{1,3}\.\d{1,17})(?![\w.])",
        r"[^\w\n][EWO](?: |\+|%20)?\d+\.\d",
        _are_degrees,
        "numbers",
    ),
    # `!3d52.52!4d13.40` of Google Maps, and its `!2d13.40!3d52.52`
    Notation(rf"(?i)(?:!|%21)[23]d{_NUM}(?:!|%21)[34]d{_NUM}", r"(?i)(?:!|%21)[34]d[-+]?\d"),
    # `@52.52,13.40,15z`, `#map=15/52.52/13.40`
    Notation(
        rf"(?i)(?P<at>(?<=[@/])(?P<a>{_DECIMAL})(?:,|%2c)(?P<b>{_DECIMAL})(?=(?:,|%2c)\d{{1,6}}(?:\.\d{{1,4}})?[zmayht]))",
        r"(?i)[@/][-+]?\d+\.\d+(?:,|%2c)[-+]?\d",
        _are_degrees,
    ),
    Notation(
        rf"(?i)(?:map=|%23)\d{{1,2}}(?:\.\d{{1,4}})?/(?P<at>(?P<a>{_DECIMAL})/(?P<b>{_DECIMAL}))",
        r"(?i)(?:map=|%23)\d+(?:\.\d+)?/[-+]?\d",
        _are_degrees,
    ),
    # `?q=52.52,13.40`, `geo:52.52,13.40` (RFC 5870)
    Notation(
        rf"(?i)[?&](?:{_QUERY})=(?:loc:|geo:)?(?P<at>(?P<a>{_DECIMAL}){_COMMA}(?P<b>{_DECIMAL}))(?![\w]|\.\d)",
        rf"(?i)[?&](?:{_QUERY})=(?:loc:|geo:)?[-+]?\d+\.\d+{_COMMA}",
        _are_degrees,
    ),
    Notation(
        rf"(?i)(?<![a-z])geo:(?P<at>{_NUM},{_NUM}(?:,{_NUM})?)",
        r"(?i)geo:[-+]?\d",
    ),
    # `52°31'12"N 13°24'18"E`, `N 52° 31.200 E 013° 24.300`
    Notation(
        rf"(?<![\w.]){_DMS}[NS](?:orth|outh)?[,;/ ]{{0,4}}{_DMS}[EWO](?![A-Za-z0-9])",
        r"[NS](?:orth|outh)?(?:[,;/ +]|%20|%2[Cc]){0,4}\d{1,3}(?:%[0-9A-F]{2}|[^\w.,;\n]|[dzo]|deg){1,6}\d",
        form="numbers",
    ),
    Notation(
        rf"(?<![A-Za-z0-9])[NS] {{0,2}}{_DMS}[,;/ ]{{0,4}}[EWO] {{0,2}}{_DMS}",
        r"[^\w\n][EWO](?: |\+|%20){0,2}\d{1,3}(?:%[0-9A-F]{2}|[^\w.,;\n]|[dzo]|deg){1,6}\d",
        form="numbers",
    ),
    # NMEA 0183: `4807.038,N,01131.000,E`; APRS: `4903.50N/07201.75W`
    Notation(r"(?<![\d.])\d{4}\.\d{1,8},[NS],\d{5}\.\d{1,8},[EW]", r",[NS],\d{5}\.\d"),
    Notation(r"(?<![\d.])\d{4}\.\d{2}[NS].\d{5}\.\d{2}[EW]", r"\d[NS][^\n]\d{5}\.\d"),
    # ISO 6709: `+52.5200+013.4050/`, `+5231.2+01324.3/`
    Notation(
        r"(?<![\w.])[-+]\d{2}(?:\d{2}){0,2}(?:\.\d{1,12})?[-+]\d{3}(?:\d{2}){0,2}(?:\.\d{1,12})?(?:[-+]\d{1,6}(?:\.\d{1,6})?)?(?:CRS\w{1,16})?/",
        r"[-+]\d{3,7}(?:\.\d+)?(?:[-+]\d[\d.]*)?(?:CRS\w+)?/",
    ),
    # Open Location Code: `9F4MGC22+22`; the short form before the name of a town
    Notation(
        rf"(?<![A-Za-z0-9])(?P<code>[2-9C][2-9CFGHJMPQRV][{_PLUS}]{{6}}(?:\+|%2[Bb])[{_PLUS}]{{2,7}})(?![A-Za-z0-9+])",
        rf"[{_PLUS}](?:\+|%2[Bb])[{_PLUS}]{{2}}",
        _is_plus_code,
    ),
    Notation(
        rf"(?<![A-Za-z0-9])(?P<code>(?P<at>[{_PLUS}]{{4,6}}(?:\+|%2[Bb])[{_PLUS}]{{2,3}})),?(?: |%20)[A-Z][a-z]{{2}}",
        rf"[{_PLUS}](?:\+|%2[Bb])[{_PLUS}]{{2,3}},?(?: |%20)[A-Z]",
        _is_plus_code,
    ),
    # Well-known binary in hexadecimal digits, with or without the reference system (EWKB)
    Notation(
        r"(?<![0-9A-Za-z])(?:\\{1,2}x|0x)?(?P<hex>(?:01[0-9A-Fa-f]{2}[0-9A-Fa-f]{2}0000|01[0-9A-Fa-f]{2}0000[02468ACEace]0|00[02468ACEace]0[0-9A-Fa-f]{2}0{0,2}[0-9A-Fa-f]{2})"
        r"[0-9A-Fa-f]{32,}+)(?![0-9A-Za-z])",
        r"(?:\b|x)(?:01[0-9A-Fa-f]{4}0000|01[0-9A-Fa-f]{2}0000[02468ACEace]0|00[02468ACEace]00)",
        is_wkb,
    ),
    # Well-known text: `POINT(13.40 52.52)`, `SRID=4326;POLYGON((...))`
    Notation(
        rf"(?i)(?<![A-Za-z])(?:multi)?(?:point|linestring|polygon|circularstring|curve|surface)(?: ?zm?| ?m)?(?: |%20|\+){{0,2}}(?:\(|%28){{1,3}}"
        rf"(?P<at>(?P<a>{_NUM})(?:[\s+]|%20){{1,3}}(?P<b>{_NUM})(?![\d.])(?:[\s,()]{{1,8}}[-+]?\d[\d.]*(?:[eE][-+]?\d+)?)*+)",
        r"(?i)(?:point|string|polygon|curve|surface)(?:[ zm+]|%20){0,5}(?:\(|%28)+[-+]?\d",
        _are_degrees,
    ),
    # H3: `891f1d48177ffff`
    Notation(
        r"(?<![0-9A-Za-z])(?P<cell>8[7-9a-fA-F][0-9a-fA-F]{13})(?![0-9A-Za-z])",
        r"\b8[7-9a-fA-F][0-9a-fA-F]{13}\b",
        is_h3,
    ),
    # what3words: `///filled.count.soap`
    Notation(
        rf"(?:(?<![\w:/])///|(?:what3words|w3w)\.com?/|what3words:? )(?P<at>{_WORDS3})(?![\w.])",
        rf"(?:///|(?:what3words|w3w)\.com?/|what3words:? ){_WORDS3}",
    ),
    # `location: {x: 13.40, y: 52.52}`
    Notation(
        rf"(?i)(?<![A-Za-z0-9])(?P<key>[a-z][\w-]{{1,40}})\\?[\"']?\s?[=:]>?\s?(?:[\w.]{{0,24}}[({{\[<]\s{{0,8}})\\?[\"']?x\\?[\"']?\s?[=:]\s?"
        rf"(?P<at>(?P<a>{_DECIMAL})\s?[,; ]\s{{0,8}}\\?[\"']?y\\?[\"']?\s?[=:]\s?(?P<b>{_DECIMAL}))(?![\w.])",
        r"(?i)\bx\\?[\"']?\s?[=:]\s?[-+]?\d+\.\d",
        _is_object,
    ),
    # MGRS and UTM: `33U UU 90298 19737`, `33U 391545 5820036`
    Notation(
        r"(?<![\w.])[1-6]?\d[C-HJ-NP-X] ?(?:[A-HJ-NP-Z][A-HJ-NP-V] (?:\d{4} \d{4}|\d{5} \d{5})|\d{6}(?:\.\d{1,6})?(?:m?E)?[ ,]{1,2}\d{7}(?:\.\d{1,6})?(?:m?N)?)(?![\w.])",
        r"\b\d{1,2}[C-HJ-NP-X] ?(?:[A-HJ-NP-Z]{2} \d|\d{6}[. ,m])",
    ),
)

__all__ = ["NOTATIONS", "Notation"]
