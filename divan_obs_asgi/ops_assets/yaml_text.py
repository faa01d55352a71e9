"""Writes YAML in block style without a library, for dicts, lists, strings, numbers, booleans and None."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "Mapping[str, Value] | Sequence[Value] | str | int | float | bool | None"

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./(,)-]+)*")
# Words that YAML 1.1 does not read as strings.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def dump(value: Value, comment: str = "") -> str:
    """Return `value` as a YAML document below `comment`; equal values give equal bytes."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + "\n".join(_block(value)) + "\n"


def _block(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for inner in value:
            yield from _item(inner)
    else:
        yield _scalar(value)


def _entry(key: str, value: Value) -> Iterator[str]:
    if isinstance(value, str) and _is_literal(value):
        yield f"{key} |-"
        yield from (f"  {line}" for line in value.split("\n"))
    elif _is_nested(value):
        yield key
        yield from (f"  {line}" for line in _block(value))
    else:
        yield f"{key} {_scalar(value)}"


def _item(value: Value) -> Iterator[str]:
    if isinstance(value, str) and _is_literal(value):
        yield from _entry("-", value)
        return
    mark = "- "
    for line in _block(value):
        yield mark + line
        mark = "  "


def _is_nested(value: Value) -> bool:
    return isinstance(value, Mapping | Sequence) and not isinstance(value, str) and len(value) > 0


def _is_literal(text: str) -> bool:
    # A literal block cannot keep spaces at its start or empty lines at its end.
    return "\n" in text and text.replace("\n", "").isprintable() and text[0] not in " \n" and text[-1] != "\n"


def _scalar(value: Value) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, str) and '"' in value and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    # A JSON scalar is valid YAML.
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())


__all__ = ["Value", "dump"]
