"""The paths that have no span, by OTEL_PYTHON_EXCLUDED_URLS and its kind. Works without the extra `tracing`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import re2

# A longer path is not compared with a pattern that RE2 does not have, such as `^/(?!api/)`: `re` may take exponential
# time for it, and the path is the client's.
_LENGTH = 256


def path_matcher(patterns: Sequence[str]) -> Callable[[str], bool] | None:
    """
    Return a function that returns whether a path has no span; None if every path has one.

    As in OpenTelemetry's instrumentations, a pattern may match any part of the text. They compare the whole URL, and
    a client can choose its host; here it is the path.
    """
    if not patterns:
        return None
    options = re2.Options()
    options.log_errors = False
    linear, others = [], []
    for pattern in patterns:
        try:
            linear.append(re2.compile(pattern, options))
        except re2.error:
            others.append(re.compile(pattern))

    def excludes(path: str) -> bool:
        return any(each.search(path) for each in linear) or (
            len(path) <= _LENGTH and any(each.search(path) for each in others)
        )

    return excludes


__all__ = ["path_matcher"]
