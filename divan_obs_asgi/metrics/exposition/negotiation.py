"""Content negotiation: format and compression of a response (RFC 9110, sections 12.5.1 and 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from divan_obs_asgi.metrics.exposition.text import Format

# The header of a scraper has five parts; a scraper does not send a longer one.
_MAX_LENGTH = 2000
# RFC 9110, section 12.4.2: at most three digits.
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
OPENMETRICS = "application/openmetrics-text"
# The versions that we can write. None: the client accepts any version.
_VERSIONS = {OPENMETRICS: frozenset({None, "0.0.1", "1.0.0"}), "text/plain": frozenset({None, "0.0.4"})}


def accepted_format(accept: str) -> Format:
    """
    Return the format that an `Accept` header prefers. With equal quality it is the text format.

    It is also the text format if the header accepts neither: every scraper reads it, and a readable page is more useful
    than a 406.
    """
    qualities = _qualities(accept)
    # A wildcard selects text: a client that does not name OpenMetrics may not support it.
    return Format.OPENMETRICS if qualities.get(OPENMETRICS, 0.0) > _quality("text/plain", qualities) else Format.TEXT


def accepted_media_type(accept: str, offers: Sequence[str]) -> str:
    """Return the offer that an `Accept` header prefers: the first of equal ones, and of all if it accepts none."""
    qualities = _qualities(accept)
    return max(offers, key=lambda offer: _quality(offer, qualities))


def _qualities(accept: str) -> dict[str, float]:
    """Return the quality of each media range."""
    qualities: dict[str, float] = {}
    for name, parameters, quality in _parts(accept):
        if name not in _VERSIONS or parameters.get("version") in _VERSIONS[name]:
            qualities[name] = max(qualities.get(name, 0.0), quality)
    return qualities


def _quality(media_type: str, qualities: Mapping[str, float]) -> float:
    """Return the quality of `media_type`, from the most specific range that matches it."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((qualities[one] for one in ranges if one in qualities), 0.0)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an `Accept-Encoding` header accepts gzip; an empty header does not."""
    qualities = {name: quality for name, _, quality in _parts(accept_encoding)}
    return qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0))) > 0


def _parts(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, parameters and quality of each valid part."""
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
