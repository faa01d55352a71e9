"""Raw ASGI headers: reading and replacing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from divan_obs_asgi.types import Message, RawHeaders, Scope

_PAIRS = (tuple, list)
_ALLOW_ORIGIN = b"access-control-allow-origin"
_EXPOSE = b"access-control-expose-headers"
_CREDENTIALS = b"access-control-allow-credentials"


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return the values of all headers called `name`, in order; names are in lower case, as ASGI requires."""
    return [value for key, value in headers if key == name]


def joined(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """Return the values of all headers called `name` as one list (RFC 9110, section 5.3)."""
    return b", ".join(values(headers, name)).decode("latin-1")


def lasting(headers: Any) -> Any:
    """
    Return headers that can be read several times; a list or tuple of pairs is returned as it is.

    ASGI requires only an iterable of two-item iterables, and Falcon's test client passes an iterator: the first reader
    leaves nothing for the next one. A value that is not iterable is returned as it is, too.
    """
    kind = type(headers)
    if (kind is list or kind is tuple) and (not headers or isinstance(headers[0], _PAIRS)):
        return headers
    return (
        [pair if isinstance(pair, _PAIRS) else tuple(pair) for pair in headers]
        if hasattr(headers, "__iter__")
        else headers
    )


def keep_headers(scope: Scope) -> None:
    """Replace the headers of a scope by headers that can be read several times, where necessary."""
    given = scope.get("headers")
    if type(given) is list and (not given or type(given[0]) is tuple):
        return  # As servers pass them.
    kept = lasting(given)
    if kept is not given:
        scope["headers"] = kept


def with_lasting_headers(message: Message) -> Message:
    """Return a message whose headers can be read several times: itself, or a copy."""
    given = message.get("headers")
    if type(given) is list and (not given or type(given[0]) is tuple):
        return message  # As frameworks send them.
    kept = lasting(given)
    return message if kept is given else {**message, "headers": kept}


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name; of several with one name the last."""
    try:
        return dict(headers)
    except TypeError:
        return {_bytes(name): value for name, value in headers}


def replaced(headers: Iterable[tuple[bytes, bytes]], new: Mapping[bytes, bytes]) -> RawHeaders:
    """Return a copy of `headers` in which each name of `new` (lower case) stands once, with its new value."""
    try:
        kept = [pair for pair in headers if pair[0].lower() not in new]
    except (AttributeError, TypeError):
        kept = [pair for pair in headers if _bytes(pair[0]).lower() not in new]
    kept.extend(new.items())
    return kept


def allows_origin(headers: RawHeaders) -> bool:
    """Return whether a response allows scripts of another origin to read it."""
    # A loop: a comprehension costs twice as much, and this runs for every response.
    for pair in headers:  # noqa: SIM110
        if pair[0] == _ALLOW_ORIGIN:
            return True
    return False


def exposed(headers: RawHeaders, names: Iterable[bytes]) -> RawHeaders:
    """
    Return `headers` with `names` in `Access-Control-Expose-Headers`; scripts of another origin can read only these.

    The application's own names stay, and no name is repeated. Its `*` stands for all names, unless the response allows
    credentials: then `*` is the name of a header (Fetch, section "HTTP-network fetch").
    """
    # The length first: it excludes most headers at no cost.
    lines = [
        place
        for place, pair in enumerate(headers)
        if len(pair[0]) == len(_EXPOSE) and _bytes(pair[0]).lower() == _EXPOSE
    ]
    if not lines:
        return [*headers, (_EXPOSE, b", ".join(dict.fromkeys(names)))]
    listed = {name.strip().lower() for place in lines for name in _bytes(headers[place][1]).split(b",")}
    missing = [name for name in dict.fromkeys(names) if name not in listed]
    if not missing or (b"*" in listed and _is_without_credentials(headers)):
        return headers
    changed = list(headers)
    name, value = changed[lines[-1]]
    own = [_bytes(value)] if _bytes(value).strip() else []
    changed[lines[-1]] = name, b", ".join([*own, *missing])
    return changed


def _is_without_credentials(headers: RawHeaders) -> bool:
    """Return whether a browser hides this response from scripts where the request carried credentials."""
    lowered = {_bytes(name).lower(): _bytes(value) for name, value in headers}
    # Without an allowed origin a middleware further out decides on both.
    return _ALLOW_ORIGIN in lowered and lowered.get(_CREDENTIALS, b"").strip() != b"true"


def _bytes(part: object) -> bytes:
    """Return a header's name or value as bytes: servers take a bytearray or a memoryview, too."""
    return memoryview(part).tobytes()  # type: ignore[arg-type]


__all__ = [
    "allows_origin",
    "by_name",
    "exposed",
    "joined",
    "keep_headers",
    "lasting",
    "replaced",
    "values",
    "with_lasting_headers",
]
