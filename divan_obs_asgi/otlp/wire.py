"""The parts of protobuf that OTLP needs: fields, attributes and values, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache

# Deeper values are written as text.
_DEEPEST = 8
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_MASK = 2**64 - 1
_DOUBLE, _FIXED_64, _FIXED_32 = struct.Struct("<d").pack, struct.Struct("<Q").pack, struct.Struct("<I").pack


def varint(number: int) -> bytes:
    """Return a varint; a negative number is written as its two's complement of 64 bits."""
    number &= _MASK
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


# Most fields are short.
_LENGTHS = tuple(map(varint, range(2048)))
_TAGS = tuple(bytes((number << 3 | 2,)) for number in range(16))


def field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field; `number` is below 16."""
    length = len(content)
    return _TAGS[number] + (_LENGTHS[length] if length < 2048 else varint(length)) + content


def text(number: int, value: str) -> bytes:
    """Return a string field; the protocol omits an empty one."""
    return field(number, value.encode("utf-8", "replace")) if value else b""


def double(number: int, value: float) -> bytes:
    """Return a field of type double."""
    return bytes((number << 3 | 1,)) + _DOUBLE(value)


def fixed64(number: int, value: int) -> bytes:
    """Return a field of type fixed64."""
    return bytes((number << 3 | 1,)) + _FIXED_64(value)


def fixed32(number: int, value: int) -> bytes:
    """Return a field of type fixed32."""
    return bytes((number << 3 | 5,)) + _FIXED_32(value)


def sint(number: int, value: int) -> bytes:
    """Return a field of type sint32 or sint64."""
    return bytes((number << 3,)) + varint(value << 1 if value >= 0 else ~(value << 1))


def any_value(value: object, depth: int = 0) -> bytes:
    """Return an AnyValue (opentelemetry/proto/common/v1/common.proto); one that has no form there as its text."""
    if type(value) is str:
        return field(1, value.encode("utf-8", "replace"))
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int) and _MIN_INT <= value <= _MAX_INT:
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return double(4, value)
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return field(6, b"".join(field(1, _pair(str(key), each, depth + 1)) for key, each in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)) and depth < _DEEPEST:
        return field(5, b"".join(field(1, any_value(each, depth + 1)) for each in value))
    return field(1, str(value).encode("utf-8", "replace"))


def attribute(number: int, key: str, value: object) -> bytes:
    """Return an attribute, a KeyValue in the field `number`."""
    return field(number, _pair(key, value, 0))


@lru_cache(maxsize=4096)
def _key(key: str) -> bytes:
    return text(1, key)


def attributes(number: int, values: Mapping[str, object]) -> bytes:
    """Return a mapping as repeated fields of KeyValue."""
    return b"".join(attribute(number, key, value) for key, value in values.items())


def _pair(key: str, value: object, depth: int) -> bytes:
    return _key(key) + field(2, any_value(value, depth))


__all__ = ["any_value", "attribute", "attributes", "double", "field", "fixed32", "fixed64", "sint", "text", "varint"]
