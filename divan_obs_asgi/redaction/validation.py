"""Exceptions of validation, whose text repeats the invalid input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from divan_obs_asgi.redaction.brackets import matching_bracket, value_at
from divan_obs_asgi.redaction.quotations import QUOTATIONS_SIGN, find_quotations
from divan_obs_asgi.redaction.text import marker
from divan_obs_asgi.redaction.view import UNREAD, Found, View

_NAME = "validation"
MARKER = marker(_NAME)

# Libraries all of whose exceptions count. Exceptions of any library with a name like ValidationError count too:
# pydantic, FastAPI, Django, REST framework, marshmallow, jsonschema, Litestar, wtforms.
_VALIDATORS = (
    "attr",
    "attrs",
    "beartype",
    "cattr",
    "cattrs",
    "cerberus",
    "colander",
    "dacite",
    "email_validator",
    "fastjsonschema",
    "graphql",
    "jsonschema",
    "jsonschema_rs",
    "marshmallow",
    "mashumaro",
    "msgspec",
    "pydantic_core",
    "trafaret",
    "schema",
    "schematics",
    "typedload",
    "typeguard",
    "valideer",
    "voluptuous",
    "webargs",
    "wtforms",
)
_CALLED = r"\w*Validation(?:Error|Exception)s?"
_VALIDATOR_NAME = re.compile(rf"(?:(?:{'|'.join(_VALIDATORS)})\.[\w.]+|(?:[\w.]*\.)?{_CALLED})")
# The name of an exception in a traceback: at the start of a line, in a group after a bar for each level.
_NAMED = re.compile(rf"^[ |+-]*{_VALIDATOR_NAME.pattern}(?::|$)", re.MULTILINE)

_LINE_END = rb"(?:\r?\n|\\{1,7}n)"
# The beginning of a text of pydantic or FastAPI.
_COUNT = re.compile(rb"[0-9] validation errors?(?: for [^\n\\]{1,256})?:?" + _LINE_END + rb"\s*")
# The end of each error in a text of pydantic.
_LAST = (b", input_type=", b"errors.pydantic.dev/")
_TOKEN = re.compile(rb"[^\s\"'\\]*")
_NAMED_INLINE = re.compile(rb"Validation(?:Error|Exception)s?(?:: |(?P<call>\((?=['\"\[{])))")
# The beginning of the next exception of a chain, or of the next member of a group.
_NEXT = re.compile(
    rb"\n[ |]*\n[ |]*(?:The above exception was the direct cause|During handling of the above)|\n[ |]*\+-"
)
_INPUT_VALUE = re.compile(rb"\[type=[\w.]+, input_value=")
# `errors()` of pydantic and FastAPI, written by Python or as JSON. In pydantic 1 the type does not come first.
_DETAIL = re.compile(
    rb"\{\s{0,8}(?P<quote>\\{0,7}['\"])"
    rb"(?:type(?P=quote)\s?:\s?(?P=quote)[\w.-]{1,64}(?P=quote)\s?,\s{0,16}(?P=quote))?loc(?P=quote)\s?:\s?(?=\s{0,8}[\[(])"
)
_INPUT = re.compile(rb"(?P<quote>\\{0,7}['\"])(?:input|ctx|loc|msg)(?P=quote)\s?:\s?")
_LOCATION = re.compile(rb"loc\\{0,7}['\"]\s?:\s?[\[(]")
_MESSAGE = re.compile(rb"msg\\{0,7}['\"]\s?:")
# attrs: "'age' must be <class 'int'> (got 'abc' that is a <class 'str'>)."
_GOT = re.compile(rb"\(got (?P<got>.+?)(?= that is a <class |\n|\Z)")
_FAILED = b"\n\nFailed validating "
# The same within a text of JSON: the value is the end of it.
_ON_INSTANCE = re.compile(rb"\\{1,7}nOn [^:\n\\]{1,256}:\\{1,7}n\s{0,8}((?:[^\"\\]|\\[^\"])++)")
INPUTS_SIGN = (
    r"[0-9] validation error|Validation(?:Error|Exception)|input_value=|loc\\*['\"]\s?:"
    r"|that is a <class |Failed validating |" + QUOTATIONS_SIGN
)


def is_validation_error(kind: str) -> bool:
    """Return whether an exception of this name (`pydantic_core.ValidationError`) may repeat an input in its text."""
    return _VALIDATOR_NAME.fullmatch(kind) is not None


def carries_an_input(error: BaseException) -> bool:
    """Return whether attrs raised `error`: a TypeError or ValueError whose arguments are the field and the value."""
    arguments = BaseException.args.__get__(error)  # type: ignore[attr-defined]
    return any(type(argument).__name__ == "Attribute" and _is_from_attrs(argument) for argument in arguments)


def names_a_validator(stacktrace: str) -> bool:
    """Return whether a traceback names such an exception."""
    return _NAMED.search(stacktrace) is not None


def find_inputs(view: View) -> Iterable[Found]:
    """Return the parts of validation texts that depend on the input: values, their places, and messages about them."""
    raw = view.raw
    found = [*_texts(raw), *_values(raw), *_details(raw), *_groups(raw, _GOT), *find_quotations(view)]
    found += _groups(raw, _ON_INSTANCE)
    failed = raw.find(_FAILED)
    if failed > 0:
        # jsonschema: the value is in the line before, and again at the end.
        found.append((raw.rfind(b"\n", 0, failed) + 1, len(raw)))
    return _without_markers(view, sorted(found))


def _without_markers(view: View, found: Iterable[tuple[int, int]]) -> Iterator[Found]:
    for start, stop in found:
        if not view.takes():
            yield start, len(view.raw), UNREAD
            return
        if start < stop and not _is_marker(view.raw, start, stop):
            yield start, stop, _NAME


def _texts(raw: bytes) -> Iterator[tuple[int, int]]:
    """Yield the whole texts, except for their first words."""
    at = 0
    while (match := _NAMED_INLINE.search(raw, at)) is not None:
        if match["call"] is not None:
            start, at = match.end(), matching_bracket(raw, match.end() - 1)
            yield start, at - 1 if raw[at - 1 : at] == b")" else at
            continue
        start, at = match.end(), _end(raw, match.end())
        yield start, at
    at = 0
    while (match := _COUNT.search(raw, at)) is not None:
        start = match.end()
        at = max(start, _last(raw, start, _end(raw, start)))
        if not raw.startswith(MARKER.encode(), start):
            yield start, at


def _values(raw: bytes) -> Iterator[tuple[int, int]]:
    """Yield pydantic's values in a text without its beginning."""
    at = 0
    while (match := _INPUT_VALUE.search(raw, at)) is not None:
        start, end = match.end(), _end(raw, match.end())
        last = raw.rfind(_LAST[0], start, end)
        at = end if last < 0 else last
        yield start, at


def _details(raw: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while (match := _DETAIL.search(raw, at)) is not None:
        end = matching_bracket(raw, match.start())
        yield match.end(), end - 1 if raw[end - 1 : end] == b"}" else end
        at = max(end, match.end())
    # The keys may have another order.
    if _LOCATION.search(raw) is None or _MESSAGE.search(raw) is None:
        return
    at = 0
    while (match := _INPUT.search(raw, at)) is not None:
        value = value_at(raw, match.end())
        at = match.end() if value is None else max(match.end(), value[1])
        if value is not None:
            yield value


def _groups(raw: bytes, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    for match in pattern.finditer(raw):
        yield match.span(1)


def _end(raw: bytes, begin: int) -> int:
    following = _NEXT.search(raw, begin)
    return len(raw) if following is None else following.start()


def _last(raw: bytes, begin: int, end: int) -> int:
    """Return the end of the last error of pydantic; `end` if there is none."""
    last = max(raw.rfind(sign, begin, end) for sign in _LAST)
    if last < 0:
        return end
    token = _TOKEN.match(raw, last + 2, end)
    return last if token is None else token.end()


def _is_marker(raw: bytes, start: int, stop: int) -> bool:
    return raw.startswith(b"[redacted:", start) and raw.find(b"]", start, stop) in (-1, stop - 1)


def _is_from_attrs(argument: object) -> bool:
    return type(argument).__module__.partition(".")[0] in ("attr", "attrs")


__all__ = ["INPUTS_SIGN", "MARKER", "carries_an_input", "find_inputs", "is_validation_error", "names_a_validator"]
