"""Objects with `x` and `y` that are a position, because their key names a place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from divan_obs_asgi.redaction.keys import split_words

# Keys of an object whose `x` and `y` are a position. The others are also those of pixels, which have no four decimals.
_PLACES = frozenset(
    [
        "location",
        "loc",
        "geo",
        "geom",
        "geometry",
        "gps",
        "geopoint",
        "geolocation",
        "coordinate",
        "coordinates",
        "coords",
        "coord",
        "latlng",
        "place",
        "venue",
        "home",
        "address",
        "pickup",
        "dropoff",
        "destination",
        "checkin",
        "whereabouts",
        "konum",
        "koordinat",
        "koordinatlar",
        "ubicacion",
        "standort",
        "lugar",
        "lieu",
    ]
)
_POINTS = frozenset(
    ["position", "pos", "point", "center", "centre", "centroid", "marker", "pin", "target", "origin", "waypoint"]
)


def is_geo_object(key: str, x: float, y: float) -> bool:
    """Return whether `x` and `y` under a key are a position."""
    words = split_words(key)
    word = words[-1] if words else ""
    known = word in _PLACES or any(each in ("geo", "gps", "geom") for each in words)
    if not (known or word in _POINTS) or not (math.isfinite(x) and math.isfinite(y)):
        return False
    if not (min(abs(x), abs(y)) <= 90 and max(abs(x), abs(y)) <= 180):
        return False
    # "13.0" may be written for 13, but a place has at least one fraction.
    if known:
        return x != int(x) or y != int(y)
    return all(len(repr(number).partition(".")[2]) >= 4 for number in (x, y))


_SCALARS = frozenset({str, int, float, bool, type(None), list})


@lru_cache(maxsize=1024)
def names_place(key: str) -> bool:
    """Return whether an object with `x` and `y` under this key may be a position."""
    return any(word in _PLACES or word in _POINTS for word in split_words(key))


def is_place(key: str, value: object) -> bool:
    """Return whether a value is an object whose `x` and `y` are a position."""
    if type(value) in _SCALARS or not names_place(key):
        return False
    x, y = (value.get("x"), value.get("y")) if isinstance(value, Mapping) else (_of(value, "x"), _of(value, "y"))
    return isinstance(x, float) and isinstance(y, float) and is_geo_object(key, x, y)


def _of(value: object, name: str) -> object:
    # Named tuples and dataclasses. Any other attribute may run code of its own.
    known: Any = getattr(type(value), "_fields", None) or getattr(type(value), "__dataclass_fields__", ())
    return getattr(value, name, None) if name in known else None


__all__ = ["is_geo_object", "is_place", "names_place"]
