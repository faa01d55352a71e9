"""Values that messages of validators and parsers quote: `'abc' is not of type 'integer'`, `received "abc"`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.redaction.view import View

_NAME = "validation"
# The longest value that is searched backwards, from the words after it.
_LONGEST = 1024
_QUOTE = rb"(?P<quote>\\{0,7}[\"'`])"
# Words before a value.
_BEFORE = (
    # GraphQL; joi; Symfony, Spring, Hibernate, FluentValidation; yup.
    r"(?:got|has) an? ?invalid value:? |got invalid value:? |with value |"
    r"(?:rejected|attempted|invalid|actual|given|provided|received|final|bad)[ _-]?(?:value|input)(?: was)?:? ?=? ?|"
    r"the final value was: |cast from the value |represent (?:an? )?(?:non-)?[a-z-]* ?value:? |"
    # zod, cattrs, voluptuous, graphql-java.
    r"(?:[,;.(] |but |\()(?:got|received|found|was)(?: value| string)?:? |"
    # Python: int(), float(), datetime.fromisoformat(), strptime(); serde; msgspec; argparse.
    r"invalid (?:enum value|value|literal|type|input|choice|isoformat string|date|time|datetime|uuid|email|number"
    r"|integer|json value)(?: for int\(\) with base \d{1,2})?:?"
    r"(?: (?:string|integer|floating point|boolean|character|byte array))? |"
    r"convert string to [a-z]{3,8}: |time data |unknown variant |"
    # Jackson.
    r"from string |"
    # The words after the value decide: Go; .NET; JSON Schema; joi.
    r"(?P<ambiguous>parsing (?:time )?|the (?:json |input )?(?:value|string) |\bvalue )"
)
_VALUE_AFTER = re.compile(f"(?:{_BEFORE})".encode() + rb"(?:`(?=\"))?" + _QUOTE, re.IGNORECASE)
_JUDGED = re.compile(
    rb"\s?(?:: (?:invalid|value out of range|cannot|unknown|missing)|as \\{0,7}\""
    rb"|(?:is|was|are) (?:not|too|invalid|out)|does not|do not|could not|cannot|can't|fails|failed|must|should)"
)
# Values without quotes.
_BRACKETED = re.compile(
    rb"\binput_value='(?P<shown>(?:[^'\\\n]|\\.)++)"
    rb"|rejected value \[(?P<value>[^\]\n]*+)|(?:rejected|invalid|attempted)_?[vV]alue=(?P<bare>[^\s'\"\[{][^,})\n]*+)"
)
_CHOICE = re.compile(rb"Select a valid choice\. (?P<value>[^\n]{1,256}?) is not one of ")
_INVALID_OBJECT = re.compile(rb"got invalid value (?P<value>[{\[][^\n]{0,1024}?[}\]]|-?\d[\d.]*)(?=[;.\s]|\Z)")
# Words after a value.
_AFTER = (
    r"is not (?:of type|one of|valid\b|an? valid |an? \\*[\"'<]"
    r"|an? (?:integer|number|string|boolean|multiple|positive|uuid|date|email)\b)"
    r"|is (?:less|greater|shorter|longer) than |is too (?:short|long|large|small|big)|does not match|does not exist in"
    r"|value must be|should not be valid under|has non-unique|fails to match|could not be (?:converted|parsed)"
    r"|was not in a correct|is an invalid|must be (?:an? )?(?:integer|number|string)\b"
)
_JUDGEMENT = re.compile(rf" (?:{_AFTER})".encode())
# Curly quotes in JSON.
_CURLY = re.compile(rb"\\u201[cdef]")
_NUMBER_BACKWARDS = re.compile(rb"[\d.]+[-+]?")
_OPENING = {93: b"[", 125: b"{"}
_FIELDS = re.compile(rb"[A-Za-z_][\w.-]{0,63}\Z")
# "must be" speaks of a field if its name is quoted: '"age" must be a number'.
_OF_FIELD = re.compile(rb" must be ")
# "is not a valid field" speaks of the name of one.
_OF_NAME = re.compile(
    rb" is (?:not )?an? (?:in)?valid (?:field|parameter|key|option|attribute|column|property|argument|keyword)\b"
)
_ALNUM = re.compile(rb"[A-Za-z0-9\x80-\xff]")
_TYPES = frozenset(
    b"string number integer undefined null nan boolean object array function symbol bigint int str float none".split()
)
_LONGEST_TYPE = max(map(len, _TYPES))

QUOTATIONS_SIGN = (
    rf"(?i)(?:{_BEFORE.replace('P<ambiguous>', ':')})\\*[\"'`]|(?:rejected|invalid|attempted)_?value="
    rf"|rejected value \[|got invalid value |(?:[\"'`\]}}]|\d|\\u201[cdef]) (?:{_AFTER})|Select a valid choice\. "
)


def find_quotations(view: View) -> Iterator[tuple[int, int]]:
    """Yield the places of quoted values, without their quotes."""
    raw = view.raw
    for pattern in (_BRACKETED, _CHOICE, _INVALID_OBJECT):
        for match in pattern.finditer(raw):
            yield match.span(match.lastgroup or 0)
    yield from _after_words(raw)
    yield from _before_words(raw)


def _after_words(raw: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    # The next end of each quote, which is the same for all values that begin before it.
    ends: dict[bytes, int] = {}
    while (match := _VALUE_AFTER.search(raw, at)) is not None:
        begin = at = match.end()
        quote = match["quote"]
        end = ends.get(quote, -1)
        if end < begin:
            end = ends[quote] = _end(raw, begin, quote)
        if (end - begin <= _LONGEST_TYPE and raw[begin:end].lower() in _TYPES) or not _ALNUM.search(raw, begin, end):
            continue
        if end > begin and (match["ambiguous"] is None or _JUDGED.match(raw, end + len(quote)) is not None):
            yield begin, end
            at = end


def _end(raw: bytes, begin: int, quote: bytes) -> int:
    end = begin
    while (end := raw.find(quote, end)) >= 0:
        stop = end + len(quote)
        # A quote before a letter is one of the value: `it's`, `Value{text='...'}`.
        if (len(quote) > 1 or raw[end - 1 : end] != b"\\" or end == begin) and not raw[stop : stop + 1].isalnum():
            return end
        end += 1
    return len(raw)


def _before_words(raw: bytes) -> Iterator[tuple[int, int]]:
    done = 0
    for match in _JUDGEMENT.finditer(raw):
        end = match.start()
        if end <= done:
            continue
        least = max(done, end - _LONGEST)
        done = match.end()
        last = raw[end - 1]
        if end > 5 and _CURLY.match(raw, end - 6):
            begin = raw.rfind(b"\\u201", least, end - 6)
            if begin >= 0:
                yield begin + 6, raw.find(b"\\u201", begin + 6, end)
            continue
        if last in b"\"'`":
            begin = opening_quote(raw, least, end)
            speaks_of_name = (_OF_FIELD.match(raw, end) or _OF_NAME.match(raw, end)) and _FIELDS.match(
                raw[begin : end - 1]
            )
            if begin >= 0 and not speaks_of_name:
                stop = end - 1
                while stop > begin and raw[stop - 1] == 92:
                    stop -= 1
                yield begin, stop
        elif last in _OPENING:
            begin = raw.find(_OPENING[last], max(least, raw.rfind(b"\n", least, end) + 1), end)
            if begin >= 0:
                yield begin, end
        elif 48 <= last < 58:
            number = _NUMBER_BACKWARDS.match(raw[max(least, end - 40) : end][::-1])
            begin = end if number is None else end - number.end()
            if begin < end and (begin == 0 or raw[begin - 1] in b" \n:'\"(["):
                yield begin, end


def opening_quote(raw: bytes, least: int, end: int) -> int:
    """Return the position after the quote that opens the value which ends here; -1 if there is none."""
    quote = raw[end - 1 : end]
    escapes = len(raw[least : end - 1]) - len(raw[least : end - 1].rstrip(b"\\"))
    at = end - 1 - escapes
    for _ in range(16):
        at = raw.rfind(quote, least, at)
        if at < 0:
            return -1
        before = raw[max(least, at - 8) : at]
        if len(before) - len(before.rstrip(b"\\")) <= escapes:
            return at + 1
    return -1


__all__ = ["QUOTATIONS_SIGN", "find_quotations", "opening_quote"]
