"""What keeps label sets few: a limit for each family, declared vocabularies, and redaction."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias

from divan_obs_asgi.metrics.family import APPLICATION, Family, Metric
from divan_obs_asgi.redaction import RedactionPolicy

OVERFLOW = "__overflow__"
UNREADABLE = "__unreadable__"
MAX_SERIES = 500
# What is longer was made of something else than a name.
_MAX_VALUE = 500
# OpenMetrics, section "Exemplars": names and values together.
_MAX_EXEMPLAR = 128
# `__` is for Prometheus's own use.
_EXEMPLAR_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")

Cause: TypeAlias = Literal["limit", "vocabulary"]

_logger = logging.getLogger("divan_obs_asgi.metrics")


class CardinalityLimit:
    """
    Says what may be told of label values, and how many label sets a family may have.

    Args:
        overflowed: called with family, cause and how often, whenever values are told as `__overflow__`.
        max_series: label sets of a family at most, the one of the overflow included.
    """

    def __init__(
        self, policy: RedactionPolicy, overflowed: Callable[[str, Cause, int], None], max_series: int = MAX_SERIES
    ) -> None:
        self.max_series = max_series
        self._policy = policy
        self._overflowed = overflowed
        self._vocabulary: dict[str, frozenset[str]] = {}
        self._warned: set[tuple[str, Cause]] = set()
        self._lock = threading.Lock()

    def declare(self, label: str, values: Iterable[str]) -> None:
        """Have `label` take these values only, in every family that the application changes."""
        self._vocabulary[label] = frozenset(values)

    def vocabulary(self, label: str, family: Family[Metric]) -> frozenset[str] | None:
        """
        Return the values of a label; None where any will do.

        The application's word goes before the catalogue's, in what the application counts: its `reason` of a refused
        heartbeat is none of a disconnected client.
        """
        declared = self._vocabulary.get(label) if family.by == APPLICATION else None
        return family.vocabulary.get(label) if declared is None else declared

    def told(self, label: str, value: str) -> str:
        """Return what may be told of `value`: redacted first, then cut, and always UTF-8."""
        told = str(self._policy.redact_field(label, value))
        if len(told) > _MAX_VALUE:
            told = told[:_MAX_VALUE]
        # A lone surrogate would fail the whole scrape.
        return told if told.isascii() else told.encode("utf-8", "replace").decode()

    def exemplar(self, labels: Mapping[str, str]) -> dict[str, str] | None:
        """Return what may be told of an exemplar; None where it is none: too long, or with a name that is none."""
        told = {name: self.told(name, text_of(value)).replace("\0", "\ufffd") for name, value in labels.items()}
        if not can_be_read(told):
            return None
        length = sum(len(name) + len(value) for name, value in told.items())
        return told if length <= _MAX_EXEMPLAR else None

    def count_overflow(self, family: Family[Metric], cause: Cause, times: int) -> None:
        """Count what was told as `__overflow__`."""
        if times:
            self._overflowed(family.name, cause, times)

    def report(self, family: Family[Metric], cause: Cause, given: tuple[str, ...], times: int = 1) -> None:
        """Count an overflow, and warn of a family's first one."""
        self.count_overflow(family, cause, times)
        if (family.name, cause) in self._warned:
            return
        with self._lock:
            if (family.name, cause) in self._warned:
                return
            self._warned.add((family.name, cause))
        labels = zip(family.labels, given, strict=True)
        told = ", ".join(f"{name}={self.told(name, value)!r}" for name, value in labels)
        if cause == "limit":
            _logger.warning(
                "Metric %s has all its %d label sets (OBS_METRICS_MAX_SERIES); others, first %s, are told as %s.",
                family.name,
                self.max_series,
                told,
                OVERFLOW,
            )
        else:
            _logger.warning(
                "Metric %s got a value that is in no vocabulary: %s; it is told as %s.", family.name, told, OVERFLOW
            )


def can_be_read(exemplar: Mapping[str, str]) -> bool:
    """Tell whether Prometheus reads an exemplar; of a page with one that it does not, it reads nothing."""
    return all(
        isinstance(name, str) and _EXEMPLAR_NAME.fullmatch(name) and "\0" not in value
        for name, value in exemplar.items()
    )


def text_of(value: object) -> str:
    """Return a value as text, whatever its `__str__` does."""
    try:
        return str(value)
    except Exception:
        return UNREADABLE


__all__ = ["MAX_SERIES", "OVERFLOW", "UNREADABLE", "CardinalityLimit", "Cause", "can_be_read", "text_of"]
