"""In which format, and whether compressed, a client wants the page (RFC 9110, sections 12.5.1 and 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.metrics.rendering import Format

# What a scraper sends has five parts; what is longer was not sent by one.
_MAX_LENGTH = 2000
# RFC 9110, section 12.4.2: three digits at most.
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_OPENMETRICS = "application/openmetrics-text"
# Of a version that we do not write, nothing can be sent. None was asked for: any will do.
_VERSIONS = {_OPENMETRICS: frozenset({None, "0.0.1", "1.0.0"}), "text/plain": frozenset({None, "0.0.4"})}


def accepted_format(accept: str) -> Format:
    """
    Return the format that an `Accept` header prefers; the text format of two that it likes the same.

    Also that of one which accepts neither: every scraper reads text, and a page that can be read helps more than a 406.
    """
    likes = {Format.OPENMETRICS: 0.0, Format.TEXT: 0.0}
    of_range: dict[str, float] = {}
    for name, parameters, quality in _parts(accept):
        if name in _VERSIONS and parameters.get("version") in _VERSIONS[name]:
            form = Format.OPENMETRICS if name == _OPENMETRICS else Format.TEXT
            likes[form] = max(likes[form], quality)
            of_range.setdefault(name, quality)
        elif name in ("*/*", "text/*", "application/*"):
            of_range[name] = quality
    if "text/plain" not in of_range:
        # Only text by a wildcard: who does not name OpenMetrics may not know it.
        likes[Format.TEXT] = of_range.get("text/*", of_range.get("*/*", 0.0))
    return Format.OPENMETRICS if likes[Format.OPENMETRICS] > likes[Format.TEXT] else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an `Accept-Encoding` header takes gzip; without one nobody is sent what they have not asked for."""
    qualities = {name: quality for name, _, quality in _parts(accept_encoding)}
    return qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0))) > 0


def _parts(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, parameters and quality of each part that can be read."""
    for part in header[:_MAX_LENGTH].lower().split(","):
        name, *rest = (piece.strip() for piece in part.split(";"))
        parameters = dict(_parameter(piece) for piece in rest)
        quality = parameters.pop("q", "1")
        if name and _QUALITY.fullmatch(quality):
            yield name, parameters, float(quality)


def _parameter(piece: str) -> tuple[str, str]:
    key, _, value = piece.partition("=")
    return key.strip(), value.strip().strip('"')


__all__ = ["accepted_format", "accepts_gzip"]
