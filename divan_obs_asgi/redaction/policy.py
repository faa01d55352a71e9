"""The redaction policy: total, pure, bounded, and fails closed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

MAX_ITEMS = 10
MAX_DEPTH = 6
MAX_TEXT = 2048

# Words of a key, so that `userLat`, `user_lat` and `X-User-Lat` are the same, and `latency` is not `lat`.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    [
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "secret",
        "token",
        "jwt",
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "apikey",
        "csrf",
        "session",
        "sid",
        "signature",
        "otp",
        "pin",
        "email",
        "mail",
        "phone",
        "msisdn",
        "body",
        "content",
        "lat",
        "lon",
        "lng",
        "latitude",
        "longitude",
        "coordinates",
        "geo",
    ]
)
_SECRET_PAIRS = frozenset(
    {("api", "key"), ("private", "key"), ("access", "key"), ("file", "key"), ("s3", "key"), ("object", "key")}
    | {("first", "name"), ("last", "name"), ("full", "name"), ("given", "name"), ("family", "name")}
)

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?")
_SCHEME = re.compile(r"\b(bearer|basic) +[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^\s/@:]{0,128}:[^\s/@]{1,256}@")
_PAIR = re.compile(
    r"\b((?:password|passwd|pwd|secret|token|api_?key|access_token|signature|sig|sid)[\"']?\s{0,2}[=:]\s{0,2}[\"']?)[^\s\"'&,;]{1,512}",
    re.IGNORECASE,
)


class RedactionPolicy:
    """
    Decides what of a value may leave the process.

    `redact` and `redact_text` never raise, change nothing and give the same for their own result; a marker
    names the rule and never the secret.
    """

    def redact(self, value: object) -> JSON:
        """Return `value` as strict JSON without secrets, cut to bounded size."""
        try:
            return self._value(value, MAX_DEPTH)
        except Exception:
            # A `__str__` that raises, a mapping that lies about itself: nothing of it may leave.
            return "[redacted:unreadable]"

    def redact_text(self, text: str) -> str:
        """Return `text` without secrets, cut to bounded length."""
        try:
            return self._text(text)
        except Exception:
            return "[redacted:unreadable]"

    def redact_field(self, key: str, value: object) -> JSON:
        """Return what may be told of `value` under `key`."""
        if _sensitive(key):
            return "[redacted:key]"
        return self.redact(value)

    def _value(self, value: object, depth: int) -> JSON:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if -(2**53) < value < 2**53 else self._text(str(int(value)))
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        if isinstance(value, str):
            return self._text(value)
        if depth == 0:
            return "[cut:depth]"
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._items(value, depth)
        # Fail closed: what is unknown is named by its type only.
        return f"[redacted:type {type(value).__name__}]"

    def _mapping(self, value: Mapping[object, object], depth: int) -> JSON:
        kept: dict[str, JSON] = {}
        for key, item in value.items():
            if len(kept) == MAX_ITEMS:
                kept["..."] = f"[cut:{len(value) - MAX_ITEMS} more]"
                break
            name = self._text(str(key))
            kept[name] = "[redacted:key]" if _sensitive(name) else self._value(item, depth - 1)
        return kept

    def _items(self, value: list[object] | tuple[object, ...] | set[object] | frozenset[object], depth: int) -> JSON:
        kept: list[JSON] = []
        for item in value:
            if len(kept) == MAX_ITEMS:
                kept.append(f"[cut:{len(value) - MAX_ITEMS} more]")
                break
            kept.append(self._value(item, depth - 1))
        return kept

    def _text(self, text: str) -> str:
        clean = text.encode("utf-8", "replace").decode("utf-8")
        if "@" in clean:
            clean = _USER_INFO.sub("[redacted:userinfo]@", clean)
            clean = _EMAIL.sub("[redacted:email]", clean)
        if "eyJ" in clean:
            clean = _JWT.sub("[redacted:jwt]", clean)
        if "=" in clean or ":" in clean:
            clean = _PAIR.sub(r"\1[redacted:pair]", clean)
        clean = _SCHEME.sub(r"\1 [redacted:credentials]", clean)
        # Redact first, truncate after: a cut secret would no longer look like one.
        return clean if len(clean) <= MAX_TEXT else clean[: MAX_TEXT - 12] + "[cut:length]"


def _sensitive(key: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(key)]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return not _SECRET_PAIRS.isdisjoint(pairwise(words))


__all__ = ["JSON", "RedactionPolicy"]
