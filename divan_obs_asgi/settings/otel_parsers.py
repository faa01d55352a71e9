"""Parsers of the variables of OpenTelemetry's SDK."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from urllib.parse import unquote

DEFAULT_PROPAGATORS = ("tracecontext", "baggage")
# OpenTelemetry's propagators are entry points of this group.
PROPAGATOR_GROUP = "opentelemetry_propagator"
_PROPAGATOR_PACKAGES = {
    "b3": "opentelemetry-propagator-b3",
    "b3multi": "opentelemetry-propagator-b3",
    "jaeger": "opentelemetry-propagator-jaeger",
    "ottrace": "opentelemetry-propagator-ot-trace",
    "xray": "opentelemetry-propagator-aws-xray",
}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def disabled(text: str) -> bool:
    """Read a switch as the specification does: only `true` is true, in any case."""
    return text.strip().lower() == "true"


def limit(text: str) -> int:
    """Read a limit: a whole number from 0, or `unset` for none, which OpenTelemetry's SDK has as -1."""
    if text.strip().lower() == "unset":
        return -1
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise ValueError("a whole number from 0")
    return int(text)


def propagator_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of propagators; `none` switches all of them off."""
    # In the case that was given, because OpenTelemetry's own reader compares it.
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        return DEFAULT_PROPAGATORS
    if any(each.lower() == "none" for each in names):
        return ()
    if not all(_NAME.fullmatch(each) for each in names):
        raise ValueError("names of propagators, separated by commas: tracecontext,baggage,b3")
    return names


def missing_propagators(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each propagator that is not installed, and what is expected instead."""
    # Reading the entry points takes milliseconds.
    others = [each for each in names if each not in DEFAULT_PROPAGATORS]
    there = {each.name for each in entry_points(group=PROPAGATOR_GROUP)} if others else set()
    for each in others:
        if each not in there and each in _PROPAGATOR_PACKAGES:
            yield each, f"it to be installed: pip install {_PROPAGATOR_PACKAGES[each]}"
        elif each not in there:
            yield each, "tracecontext, baggage, b3, b3multi, jaeger, xray, or the name of another installed propagator"


def attribute_pairs(text: str) -> tuple[tuple[str, str], ...]:
    """
    Read `name=value` pairs, percent-encoded, separated by commas.

    A malformed pair is left out, as OpenTelemetry's SDK does; `malformed_pairs` counts them.
    """
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    found = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
    return tuple((name, value) for name, value in found.items() if name)


def malformed_pairs(text: str) -> int:
    """Return how many pairs of a list have no name or no `=`."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return sum(1 for part in parts if "=" not in part or part.startswith("="))


def patterns(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of regular expressions."""
    given = tuple(part.strip() for part in text.split(",") if part.strip())
    for each in given:
        try:
            re.compile(each)
        except re.error as error:
            raise ValueError(f"regular expressions, separated by commas: {error}") from None
    return given


__all__ = [
    "DEFAULT_PROPAGATORS",
    "PROPAGATOR_GROUP",
    "attribute_pairs",
    "disabled",
    "limit",
    "malformed_pairs",
    "missing_propagators",
    "patterns",
    "propagator_names",
]
