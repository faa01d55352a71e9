"""Environment variables that look like a flag but are not one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

# How similar a variable must be to a flag to count as a misspelling of it, by the beginning of its name. Variables of
# other programs seldom begin with LOG_SAMPLING. An application may have a HEALTH_URL, and more likely a LOG_FILE.
_SIMILARITY = {
    "OBS_": 0.7,
    "LOG_SAMPLING": 0.7,
    "LOG_RECORDER": 0.7,
    "HEALTH_": 0.8,
    "LOG_": 0.9,
}


class MisspeltFlag(NamedTuple):
    """A variable that nothing reads, and the nearest flag; None if no flag is similar."""

    name: str
    nearest: str | None


def misspelt_flags(environ: Mapping[str, str], flags: Collection[str]) -> Iterator[MisspeltFlag]:
    """
    Yield each variable that is probably meant as a flag, by name.

    A variable that begins with OBS_ is always among them: no flag may be similar, or it may belong to another program.
    """
    for name in sorted(environ.keys() - set(flags)):
        nearest = _nearest(name, environ, flags)
        if nearest or name.startswith("OBS_"):
            yield MisspeltFlag(name, nearest)


def _nearest(name: str, environ: Mapping[str, str], flags: Collection[str]) -> str | None:
    upper = name.upper()
    similarity = next((value for prefix, value in _SIMILARITY.items() if upper.startswith(prefix)), None)
    if upper in flags:
        # `database_url` beside DATABASE_URL belongs to another program.
        return upper if similarity is not None or upper not in environ else None
    if similarity is None:
        return None
    for other in (upper.removeprefix("OBS_"), f"OBS_{upper}"):
        if other in flags:
            return other
    if upper.startswith("OBS_"):
        # Without the prefix: with it, OBS_SCENE is similar to OBS_ENV.
        own = [flag.removeprefix("OBS_") for flag in flags if flag.startswith("OBS_")]
        near = get_close_matches(upper.removeprefix("OBS_"), own, 1, similarity)
        return f"OBS_{near[0]}" if near else None
    near = get_close_matches(upper, flags, 1, similarity)
    return near[0] if near else None


__all__ = ["MisspeltFlag", "misspelt_flags"]
