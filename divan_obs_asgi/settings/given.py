"""The text of a flag: where it is read from, and how an error shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from divan_obs_asgi.settings.flag import Flag
from divan_obs_asgi.settings.otel_parsers import attribute_pairs

# An error shows a bad value, unless it may contain credentials (`@`, `?`) or is long.
_SHOWN = re.compile(r"[^@?]{0,120}", re.DOTALL)
HIDDEN = "set to a bad value"
_RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"


def given(one: Flag, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the variable that a flag is read from, and its text; None if it is not set."""
    for name in (one.name, *one.otherwise):
        if name.isupper() and (environ.get(name, "").strip() or (name in environ and not one.otherwise)):
            return name, environ[name]
        if name.islower():
            # A value that is invalid as the flag is ignored: it may be meant for a backend only.
            found = dict(attribute_pairs(environ.get(_RESOURCE, ""))).get(name)
            with suppress(ValueError):
                if found is not None and one.parse(found):
                    return _RESOURCE, found
    return one.name, None


def shown(text: str) -> str:
    """Return a bad value as an error may show it."""
    return repr(text) if _SHOWN.fullmatch(text) else HIDDEN


__all__ = ["HIDDEN", "given", "shown"]
