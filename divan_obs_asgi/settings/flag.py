"""One flag: an environment variable with its parser, its default and its meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

T = TypeVar("T")

# Sources of a value: the declaration, the environment, the file of OBS_ENV_FILE, or a keyword argument.
SOURCES = ("default", "environment", "file", "code")


@dataclass(frozen=True, slots=True)
class Flag:
    """
    One environment variable.

    Attributes:
        parse: returns the value; raises ValueError with the expected form.
        doc: one or two sentences for the table of flags.
        secret: whether the value is never shown.
        otherwise: variables of OpenTelemetry to read if this one is not set; the first one wins. A name in lower case
            is an attribute of OTEL_RESOURCE_ATTRIBUTES.
    """

    name: str
    parse: Callable[[str], object]
    doc: str
    secret: bool = False
    otherwise: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlagValue:
    """A flag with its value; `source` is one of `SOURCES`."""

    flag: Flag
    value: object = dataclasses.field(repr=False)
    source: str


def flag(
    name: str,
    parse: Callable[[str], T],
    default: T,
    doc: str,
    *,
    secret: bool = False,
    otherwise: tuple[str, ...] = (),
) -> T:
    """Declare a flag as a field of a group."""
    declared = Flag(name, cast(Callable[[str], object], parse), doc, secret, otherwise)
    return dataclasses.field(default=default, metadata={"flag": declared}, repr=not secret)


def declared_in(group: type) -> list[tuple[str, Flag]]:
    """Return the fields of a group that are flags, in the order of declaration."""
    fields = dataclasses.fields(group)
    return [(field.name, field.metadata["flag"]) for field in fields if "flag" in field.metadata]


__all__ = ["SOURCES", "Flag", "FlagValue", "declared_in", "flag"]
