"""Converts any value to strict JSON of limited size; of an object of an unknown type, only the type is named."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import math
import pathlib
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias, TypeGuard

from divan_obs_asgi.redaction.entries import is_value_of
from divan_obs_asgi.redaction.errors import marker_for
from divan_obs_asgi.redaction.harmless import is_measure_name
from divan_obs_asgi.redaction.siblings import is_input
from divan_obs_asgi.redaction.validation import MARKER as VALIDATION
from divan_obs_asgi.redaction.view import Budget

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

# Most readers of JSON use IEEE 754 doubles for all numbers. These are exact up to here.
_EXACT = 2**53
# A number from here on may be a card number or a national id.
_CARD_SIZED = 10**10
_CUT = "[cut:"
_REST = "..."
_OWN = (_CUT, "[redacted:type ")
_SHORT = 80
# The size of a number, a null or an empty map.
_SCALAR = 4
# Keys in `errors()` of pydantic and FastAPI whose values may contain a client's input.
_INPUTS = frozenset({"loc", "msg", "input", "ctx", "url"})
# Ids and times, which are not secrets; but not positions in well-known binary.
ID = re.compile(
    r"(?=[0-9]*[a-f])(?!01[0-9a-f]{4}0000|01[0-9a-f]{2}0000[2468ace]0|00[02468ace]0[0-9a-f]{2}0)[0-9a-f]{16,64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
)
_LISTS = (list, tuple, Set, deque)
_BYTES = (bytes, bytearray, memoryview)
_AS_TEXT = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    decimal.Decimal,
    fractions.Fraction,
    pathlib.PurePath,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Limits of a redacted value.

    Attributes:
        items: items of an array or a map.
        depth: levels of arrays and maps.
        text: characters of a text, including markers.
        total: characters of all texts and keys of one value together.
    """

    items: int = 10
    depth: int = 6
    text: int = 2048
    total: int = 32_768


class Walk:
    """The conversion of one value."""

    __slots__ = ("_beside", "_budget", "_clean", "_field", "_key", "_left", "_limits", "_plain_keys", "_redacted")

    def __init__(
        self,
        limits: Limits,
        text: Callable[[str, Budget | None], str],
        field: Callable[[str, object], object],
        beside: Callable[[str, Mapping[Any, object]], object],
        plain_keys: Set[str],
        clean: Set[str],
        budget: Budget | Callable[[], Budget | None],
        room: int,
    ) -> None:
        """
        Args:
            text: redacts and cuts a text.
            field: returns the value itself or its replacement under a key.
            beside: returns the value of a key in an object, or its replacement because of the other fields.
            plain_keys: keys for which none of these is necessary.
            clean: short texts without secrets.
            budget: the budget of all texts together, or a function that creates it when a text has to be read.
            room: characters that are read of all texts and keys together.
        """
        self._limits = limits
        self._redacted = text
        self._field = field
        self._beside = beside
        self._key: object = None
        self._plain_keys = plain_keys
        self._clean = clean
        self._budget: Budget | Callable[[], Budget | None] | None = budget
        self._left = room

    def value(self, value: object, depth: int) -> JSON:
        """Return `value` as JSON, with at most `depth` further levels."""
        kind = type(value)
        if kind is str:
            if (value in self._clean or (len(value) <= _SHORT and ID.fullmatch(value))) and self._left > _SHORT:  # type: ignore[arg-type, call-overload]
                self._left -= len(value)  # type: ignore[arg-type]
                return value  # type: ignore[return-value]
            return self.text(value)  # type: ignore[arg-type]
        self._left -= _SCALAR
        if value is None or kind is bool or (kind is int and -_CARD_SIZED < value < _CARD_SIZED):  # type: ignore[operator]
            return value  # type: ignore[return-value]
        if kind is float and math.isfinite(value):  # type: ignore[arg-type]
            return value  # type: ignore[return-value]
        if isinstance(value, (int, float)):
            return self._number(value)
        if isinstance(value, enum.Enum):
            return self.value(value.value, depth)
        text = _text_of(value)
        if text is not None:
            return self.text(text)
        if isinstance(value, _BYTES):
            return f"{_CUT}{len(bytes(value))} bytes]"
        if depth <= 0:
            return f"{_CUT}depth]"
        if self._left <= 0:
            return f"{_CUT}size]"
        if isinstance(value, Mapping):
            return self.mapping(value, depth, self._limits.items)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self.mapping(dict(zip(value._fields, value, strict=False)), depth, self._limits.items)
        if _is_pair(value):
            return self._pair(value[0], value[1], depth)
        if isinstance(value, _LISTS):
            return self._items(value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
            return self.mapping(fields, depth, self._limits.items)
        if isinstance(value, BaseException):
            return self._exception(value, depth)
        # Fail closed: a generator may be endless, a lazy object may ask a database, a repr may hold anything.
        return f"[redacted:type {_ascii(type(value).__name__)}]"

    def text(self, text: str) -> str:
        """Return a text without secrets. All characters that were read count, even if the result is shorter."""
        if self._left <= 0 and text and not text.startswith(_OWN):
            return f"{_CUT}size]"
        redacted = self._plain(text)
        # The end of a cut text is read twice.
        read = min(len(text), 2 * self._limits.text + 2 * _SHORT) if self._limits.text else 0
        if read > len(redacted):
            self._left -= read - len(redacted)
            if len(redacted) > self._left:
                # It was read, but there is no room for the result.
                self._left = min(self._left, 0)
        return self._measured(redacted)

    def mapping(self, value: Mapping[Any, object], depth: int, items: int) -> JSON:
        """Return a map with at most `items` of its entries."""
        kept: dict[str, JSON] = {}
        value = self._named(value)
        plain, clean = self._plain_keys, self._clean
        for count, (key, item) in enumerate(islice(value.items(), items + 1)):
            if count == items and not (key == _REST and isinstance(item, str) and item.startswith(_CUT)):
                kept[_REST] = _left_out(value, items)
                break
            if type(key) is not str or key not in plain:
                name = self._name(key)
                if type(key) is str and is_input(key):
                    item = self._beside(key, value)
                self._key = name
                kept[name] = self.value(self._field(name, item), depth - 1)
            elif type(item) is str and item in clean and self._left > 2 * _SHORT:
                # The most frequent case in log lines.
                self._left -= len(key) + len(item)
                kept[key] = item
            else:
                self._left -= len(key)
                self._key = key
                kept[key] = self.value(item, depth - 1)
        return kept

    def _named(self, value: Mapping[Any, object]) -> Mapping[Any, object]:
        """Redact a validation error of pydantic except for its type."""
        if type(value) is dict and "loc" in value and "msg" in value:
            return {key: VALIDATION if key in _INPUTS and item else item for key, item in value.items()}
        return value

    def _items(self, value: Iterable[object], depth: int) -> JSON:
        limit = self._limits.items
        kept: list[JSON] = []
        before: str | None = None
        for item in islice(value, limit + 1):
            if len(kept) == limit and not (isinstance(item, str) and item.startswith(_CUT)):
                kept.append(_left_out(value, limit))
                break
            # What becomes a text counts as one, as it does if the result is redacted again.
            text = _text_of(item)
            if type(item) is list and len(item) == 2 and depth > 1 and _text_of(item[0]) is not None:
                # JSON has no tuples, so this may be a pair: [["authorization", "..."]]
                kept.append(self._pair(item[0], item[1], depth - 1))
            elif text is not None and before is not None and is_value_of(before, text):
                kept.append(self.value(self._field(before, text), depth - 1))
            else:
                kept.append(self.value(item, depth - 1))
            before = text
        if 2 <= len(kept) <= 3 and all(isinstance(item, float) for item in kept[:2]) and not self._is_measured():
            # A position without a key: the text of both numbers would be redacted.
            pair = f"{kept[0]!r}, {kept[1]!r}"
            hidden = self._plain(pair)
            if hidden != pair:
                return hidden
        return kept

    def _is_measured(self) -> bool:
        return isinstance(self._key, str) and is_measure_name(self._key)

    def _pair(self, key: object, item: object, depth: int) -> JSON:
        """Redact an ASGI header or a line of a form: the first item may be the key of the second one."""
        text = _text_of(key)
        name = self._name(key if text is None else text)
        return [name, self.value(self._field(name, item), depth - 1)]

    def _exception(self, error: BaseException, depth: int) -> JSON:
        hidden = marker_for(error)
        if hidden is not None:
            return {"type": self._plain(type(error).__qualname__), "args": [hidden]}
        # The arguments of a UnicodeDecodeError include all the bytes that could not be decoded.
        args = [str(error)] if isinstance(error, UnicodeError) else list(error.args)
        described: dict[object, object] = {"type": type(error).__qualname__, "args": args}
        notes = getattr(error, "__notes__", None)
        if notes:
            described["notes"] = list(notes)
        if isinstance(error, BaseExceptionGroup):
            described["args"] = [error.message]
            described["exceptions"] = list(error.exceptions)
        if error.__cause__ is not None:
            described["cause"] = error.__cause__
        elif error.__context__ is not None and not error.__suppress_context__:
            described["context"] = error.__context__
        return self.mapping(described, depth, self._limits.items)

    def _number(self, value: int | float) -> JSON:
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        if -_CARD_SIZED < value < _CARD_SIZED:
            return int(value)
        if self._limits.text and value.bit_length() > 4 * self._limits.text:
            return f"{_CUT}number]"
        text = str(int(value))
        redacted = self._plain(text)
        return int(value) if redacted == text and -_EXACT < value < _EXACT else redacted

    def _name(self, key: object) -> str:
        if type(key) is str:
            name = self._plain(key)
        elif key is None or isinstance(key, (str, int, float, bytes, *_AS_TEXT)):
            redacted = self.value(key, 0)
            name = redacted if isinstance(redacted, str) else str(redacted)
        else:
            name = f"[redacted:type {_ascii(type(key).__name__)}]"
        if name != _REST:
            self._left -= len(name)
        return name

    def _plain(self, text: str) -> str:
        if callable(self._budget):
            self._budget = self._budget()
        return self._redacted(text, self._budget)

    def _measured(self, text: str) -> str:
        # The policy's own markers do not count, so that a second pass measures the result like the first one.
        size = len(text)
        if text[:1] == "[" and size < _SHORT and text.startswith(_OWN):
            return text
        if size > self._left:
            return f"{_CUT}size]"
        self._left -= size
        return text


def _text_of(value: object) -> str | None:
    """Return the text as which a value is shown, and None if it is shown otherwise."""
    if type(value) is str:
        return value
    if isinstance(value, enum.Enum):
        return _text_of(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, _BYTES):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return None
    return str(value) if isinstance(value, _AS_TEXT) else None


def _is_pair(value: object) -> TypeGuard[Sequence[Any]]:
    """Return whether a sequence is a key with its value, and not a list of two names."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return isinstance(value[0], bytes) or (isinstance(value, tuple) and _text_of(value[0]) is not None)


def _left_out(value: Iterable[object], kept: int) -> str:
    try:
        return f"{_CUT}{len(value) - kept} more]"  # type: ignore[arg-type]
    except TypeError:
        return f"{_CUT}more]"


def _ascii(name: str) -> str:
    return name.encode("ascii", "replace").decode()


__all__ = ["ID", "JSON", "Limits", "Walk"]
