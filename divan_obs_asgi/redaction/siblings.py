"""Values whose name is in another place of the same object: `{"loc": ["body", "password"], "input": "..."}`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from divan_obs_asgi.redaction.brackets import value_at
from divan_obs_asgi.redaction.keys import KeyIndex, words
from divan_obs_asgi.redaction.view import UNREAD, Found, View

VALIDATION = "validation"
# Keys in lower case, without `_` and `-`. Those of a place:
_PLACES = words(
    """
    loc location locations field fieldname param parameter path jsonpath documentpath pointer property propertyname
    propertypath name key id k header instancepath instancelocation datapath attribute label argument variable
    """
)
# Places that only a validation has. A path is one if it is a list.
_OF_VALIDATION = words(
    """
    loc field fieldname param parameter documentpath pointer property propertyname propertypath instancepath
    instancelocation datapath attribute
    """
)
_MESSAGES = words(
    """
    msg message messages error errors errormessage defaultmessage interpolatedmessage detail title reason constraints
    keyword rule validator schemapath code errorcode
    """
)
_INPUTS = words(
    """
    input value rawvalue val values actual received got instance data ctx context given provided target default old new
    before after
    """
)
_REJECTED = re.compile(r"(?:rejected|invalid|attempted|bad|failed|actual|provided|given)(?:value|input|data)|rejected")
# Values that have changed; of a validation there is one only.
_CHANGES = re.compile(r"(?:old|new|previous|current|default|original)value")
_JOINTS = str.maketrans("", "", "_-")
_TYPES = words("string number integer undefined null nan boolean object array int str float bool none")
_LONGEST_PLACE = 16

_INPUT = (
    r"(?:input|(?:raw_?|old_?|new_?|default_?)?value|values|val|default|rejected(?:_?value|_?input)?"
    r"|(?:invalid|attempted|actual)_?value|actual|received|got|instance|data|ctx|context|target)"
)
# TOML and HCL align the signs of equality.
_KEYED = r"\\*[\"']?\s*(?:[:=]|=>)"
# These mean much else where they are not quoted.
_QUOTED_INPUT = r"(?:old|new|before|after|given|provided)"
SIBLINGS_SIGN = rf"(?i)\b{_INPUT}{_KEYED}|[\"']{_QUOTED_INPUT}\\*[\"']\s*(?::|=>)"
_INPUT_KEY = re.compile(
    rf"(?<![a-z0-9-])(?P<key>{_INPUT}|(?<=[\"']){_QUOTED_INPUT}(?=[\\\"']))\\{{0,7}}[\"']?\s{{0,16}}(?:=>|[:=])\s{{0,8}}".encode(),
    re.IGNORECASE,
)
_PLACE_KEY = re.compile(
    rb"(?<![a-z0-9-])(?P<key>loc|field(?:_?name)?|param(?:eter)?|(?:json_?|document_?|instance_?|property_?|data_?|schema_?)?path"
    rb"|pointer|property(?:_?name)?|name|key|id|header|attribute)\\{0,7}[\"']?\s{0,16}(?:=>|[:=])\s{0,8}"
    rb"(?P<list>[\[(]\s{0,32})?[bu]?(?P<quote>\\{0,7}[\"'])?"
    rb"(?P<name>(?(quote)[^\"'\\\n]{1,128}|[\w.$/#-]{1,64}))(?P<more>(?(list)[^\])\n]{0,128}))",
    re.IGNORECASE,
)
_MESSAGE_KEY = re.compile(
    rb"(?<![a-z0-9-])(?:msg|messages?|errors?|(?:error|default|interpolated)_?message|detail|title|reason|constraints|keyword"
    rb"|validator|schemaPath|code)\\{0,7}[\"']?\s{0,16}(?:=>|[:=])",
    re.IGNORECASE,
)
_BRACKETS = re.compile(rb"[{}()]|<(?![-=<])|(?<![-=>])>")
_WINDOW = 512
_LINES = 2
_LONGEST_BARE = 512
_BARE_TO_END = re.compile(rb"[^\s,)}\]>;]+")


def is_input(key: str) -> bool:
    """Return whether a value under this key may have its name elsewhere in its object."""
    bare = _bare(key)
    return bare in _INPUTS or _REJECTED.fullmatch(bare) is not None or _CHANGES.fullmatch(bare) is not None


def rule_beside(index: KeyIndex, value: Mapping[object, object], key: str) -> str | None:
    """Return the rule that hides the value of `key` because of the other fields of its object, or None."""
    item = value[key]
    if item is None or item == "" or isinstance(item, bool) or (isinstance(item, str) and item.lower() in _TYPES):
        return None
    of_validation = message = False
    for other, place in value.items():
        if other is key or not isinstance(other, str):
            continue
        bare = _bare(other)
        if bare in _PLACES:
            name = _rule_of_place(index, place)
            if name is not None:
                return name
            of_validation = (
                of_validation or bare in _OF_VALIDATION or (bare == "path" and isinstance(place, (list, tuple)))
            )
        message = message or bare in _MESSAGES
    if _REJECTED.fullmatch(_bare(key)) and (of_validation or message) and not isinstance(item, int):
        return VALIDATION
    return VALIDATION if of_validation and message else None


def _rule_of_place(index: KeyIndex, place: object) -> str | None:
    if isinstance(place, (list, tuple)):
        place = ".".join(part for part in place[-_LONGEST_PLACE:] if isinstance(part, str))
    return index.rule_for(place[-128:]) if isinstance(place, str) and place and "[redacted:" not in place else None


def _bare(key: str) -> str:
    return key.translate(_JOINTS).lower() if len(key) < 32 else ""


class SiblingRule:
    """Finds in texts what `rule_beside` finds in values: objects as JSON, in Python, Java, Go, YAML, HCL."""

    sign = SIBLINGS_SIGN

    def __init__(self, index: KeyIndex) -> None:
        self._index = index

    def find(self, view: View) -> Iterator[Found]:
        """Return the values whose name or place is sensitive, and the inputs of validations."""
        raw = view.raw
        done = 0
        for match in _INPUT_KEY.finditer(raw):
            start = match.end()
            if match.start() < done:
                continue
            if not view.takes():
                yield start, len(raw), UNREAD
                return
            first, last = _object(raw, match.start(), start)
            value = _value(raw, start, last)
            if value is None or value[0] >= value[1] or raw[value[0] : value[1]].lower().decode() in _TYPES:
                continue
            # The object continues after the value.
            last = max(last, _object(raw, value[1], value[1])[1])
            name = self._rule(raw, first, match.start(), value[1], last, match["key"])
            if name is not None:
                done = value[1]
                yield *value, name

    def _rule(self, raw: bytes, first: int, start: int, stop: int, last: int, key: bytes) -> str | None:
        of_validation = False
        for begin, end in ((first, start), (stop, last)):
            for place in _PLACE_KEY.finditer(raw, begin, end):
                named = (place["name"] + place["more"]).decode()
                if "[redacted:" in named:
                    continue
                if name := self._index.rule_for(named.strip("\"'\\])} ")):
                    return name
                bare = _bare(place["key"].decode())
                of_validation = (
                    of_validation or bare in _OF_VALIDATION or (bare == "path" and place["list"] is not None)
                )
        message = any(_MESSAGE_KEY.search(raw, *part) for part in ((first, start), (stop, last)))
        if (of_validation or message) and _REJECTED.fullmatch(_bare(key.decode())):
            return VALIDATION if not raw[stop - 1 : stop].isdigit() or of_validation else None
        return VALIDATION if of_validation and message else None


def _object(raw: bytes, start: int, stop: int) -> tuple[int, int]:
    """Return the beginning and the end of the object around a place, or of the lines around it."""
    first, last = max(0, start - _WINDOW), min(len(raw), stop + _WINDOW)
    opening = _unmatched(raw[first:start][::-1], b"{(<", b"})>")
    if opening >= 0:
        ending = _unmatched(raw[stop:last], b"})>", b"{(<")
        return start - opening - 1, last if ending < 0 else stop + ending
    for _ in range(_LINES):
        start = raw.rfind(b"\n", first, start)
        if start < 0:
            break
        stop = raw.find(b"\n", stop + 1, last)
        if stop < 0:
            stop = last
    return max(first, start), last if start < 0 else stop


def _unmatched(part: bytes, wanted: bytes, others: bytes) -> int:
    """Return the position of the first bracket that encloses a place; -1 if there is none."""
    depth = 0
    for match in _BRACKETS.finditer(part):
        if match[0] in wanted:
            if not depth:
                return match.start()
            depth -= 1
        elif match[0] in others:
            depth += 1
    return -1


def _value(raw: bytes, start: int, last: int) -> tuple[int, int] | None:
    if raw[start : start + 1] in b"\"'\\[{(bu":
        return value_at(raw, start)
    # A value without a quote may seem to last to the end of the text, and the next one too.
    part = raw[start : start + _LONGEST_BARE]
    bare = _BARE_TO_END.match(part)
    return None if bare is None or value_at(part, 0) is None else (start, start + bare.end())


__all__ = ["SIBLINGS_SIGN", "VALIDATION", "SiblingRule", "is_input", "rule_beside"]
