"""Bounds the label sets of metrics: a limit for each family, declared vocabularies, and redaction of values."""

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
# A longer value is not a name.
_MAX_VALUE = 500
# OpenMetrics, section "Exemplars": the length of all names and values together.
_MAX_EXEMPLAR = 128
# Prometheus reserves names that begin with `__`.
_EXEMPLAR_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")

Cause: TypeAlias = Literal["limit", "vocabulary"]

_logger = logging.getLogger("divan_obs_asgi.metrics")


class CardinalityLimit:
    """
    Decides which label values are exposed, and how many label sets a family may have.

    Args:
        count: called with family, cause and number, whenever values are replaced by `__overflow__`.
        max_series: the maximum number of label sets of a family, including the overflow.
    """

    def __init__(
        self, policy: RedactionPolicy, count: Callable[[str, Cause, int], None], max_series: int = MAX_SERIES
    ) -> None:
        self.max_series = max_series
        self._policy = policy
        self._count = count
        self._vocabulary: dict[str, frozenset[str]] = {}
        self._warned: set[tuple[str, Cause]] = set()
        self._lock = threading.Lock()

    def declare(self, label: str, values: Iterable[str]) -> None:
        """Allow only these values of `label`, in every family that the application changes."""
        self._vocabulary[label] = frozenset(values)

    def vocabulary(self, label: str, family: Family[Metric]) -> frozenset[str] | None:
        """
        Return the allowed values of a label, or None if any value is allowed.

        A declaration of the application comes before the catalogue, but only in families that the application changes:
        its `reason` of a rejected heartbeat has other values than the `reason` of a Socket.IO disconnect.
        """
        declared = self._vocabulary.get(label) if family.by == APPLICATION else None
        return family.vocabulary.get(label) if declared is None else declared

    def redacted(self, label: str, value: str) -> str:
        """Return a value that may be exposed: redacted, then truncated, and always valid UTF-8."""
        redacted = str(self._policy.redact_field(label, value))
        if len(redacted) > _MAX_VALUE:
            redacted = redacted[:_MAX_VALUE]
        # A lone surrogate would fail the whole scrape.
        return redacted if redacted.isascii() else redacted.encode("utf-8", "replace").decode()

    def exemplar(self, labels: Mapping[str, str]) -> dict[str, str] | None:
        """Return the redacted labels of an exemplar, or None if they are too long or a name is invalid."""
        redacted = {name: self.redacted(name, text_of(value)).replace("\0", "\ufffd") for name, value in labels.items()}
        if not is_valid_exemplar(redacted):
            return None
        length = sum(len(name) + len(value) for name, value in redacted.items())
        return redacted if length <= _MAX_EXEMPLAR else None

    def count_overflow(self, family: Family[Metric], cause: Cause, times: int) -> None:
        """Count label values that were replaced by `__overflow__`."""
        if times:
            self._count(family.name, cause, times)

    def report(self, family: Family[Metric], cause: Cause, given: tuple[str, ...], times: int = 1) -> None:
        """Count an overflow, and log a warning for the first one of a family."""
        self.count_overflow(family, cause, times)
        if (family.name, cause) in self._warned:
            return
        with self._lock:
            if (family.name, cause) in self._warned:
                return
            self._warned.add((family.name, cause))
        labels = zip(family.labels, given, strict=True)
        text = ", ".join(f"{name}={self.redacted(name, value)!r}" for name, value in labels)
        if cause == "limit":
            _logger.warning(
                "Metric %s has reached its limit of %d label sets (OBS_METRICS_MAX_SERIES). Further ones, first %s, "
                "are counted as %s.",
                family.name,
                self.max_series,
                text,
                OVERFLOW,
            )
        else:
            _logger.warning(
                "Metric %s got a label value that is not in its vocabulary: %s. It is counted as %s.",
                family.name,
                text,
                OVERFLOW,
            )


def is_valid_exemplar(labels: Mapping[str, str]) -> bool:
    """Return whether Prometheus can read an exemplar. It rejects a whole page that has an invalid one."""
    return all(
        isinstance(name, str) and _EXEMPLAR_NAME.fullmatch(name) and "\0" not in value for name, value in labels.items()
    )


def text_of(value: object) -> str:
    """Return a value as text, or `__unreadable__` if its `__str__` raises."""
    try:
        return str(value)
    except Exception:
        return UNREADABLE


__all__ = ["MAX_SERIES", "OVERFLOW", "UNREADABLE", "CardinalityLimit", "Cause", "is_valid_exemplar", "text_of"]
