"""In which format, and whether compressed, a client wants an answer (RFC 9110, sections 12.5.1 and 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from divan_obs_asgi.metrics.exposition.text import Format

# What a scraper sends has five parts; what is longer was not sent by one.
_MAX_LENGTH = 2000
# RFC 9110, section 12.4.2: three digits at most.
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
OPENMETRICS = "application/openmetrics-text"
# Of a version that we do not write, nothing can be sent. None was asked for: any will do.
_VERSIONS = {OPENMETRICS: frozenset({None, "0.0.1", "1.0.0"}), "text/plain": frozenset({None, "0.0.4"})}


def accepted_format(accept: str) -> Format:
    """
    Return the format that an `Accept` header prefers; the text format of two that it likes the same.

    Also that of one which accepts neither: every scraper reads text, and a page that can be read helps more than a 406.
    """
    liked = _qualities(accept)
    # Only text by a wildcard: who does not name OpenMetrics may not know it.
    return Format.OPENMETRICS if liked.get(OPENMETRICS, 0.0) > _quality("text/plain", liked) else Format.TEXT


def accepted_media_type(accept: str, offers: Sequence[str]) -> str:
    """Return which of `offers` an `Accept` header prefers; the earlier of two, and the first where it takes none."""
    liked = _qualities(accept)
    return max(offers, key=lambda offer: _quality(offer, liked))


def _qualities(accept: str) -> dict[str, float]:
    """Return how much each media range is liked."""
    liked: dict[str, float] = {}
    for name, parameters, quality in _parts(accept):
        if name not in _VERSIONS or parameters.get("version") in _VERSIONS[name]:
            liked[name] = max(liked.get(name, 0.0), quality)
    return liked


def _quality(media_type: str, liked: Mapping[str, float]) -> float:
    """Return how much `media_type` is liked, by the range that fits it most closely."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((liked[one] for one in ranges if one in liked), 0.0)


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


__all__ = ["OPENMETRICS", "accepted_format", "accepted_media_type", "accepts_gzip"]
