"""Flags of redaction. Redaction itself has no switch: it is always on."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.redaction.locales import DEFAULT_LOCALES, LOCALES
from divan_obs_asgi.redaction.pseudonyms import IP_POLICIES, USER_ID_POLICIES
from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean, key_words, one_of, secret_text, some_of


@dataclass(frozen=True, kw_only=True)
class RedactionSettings:
    """What is redacted beyond the rules of the library, and how users and addresses appear."""

    request_view_enabled: bool = flag(
        "OBS_REQUEST_VIEW_ENABLED",
        boolean,
        True,
        "Run RedactionMiddleware: a redacted view of each request for log lines, and redacted error bodies. "
        "Log lines, spans and metrics are redacted in any case.",
    )
    keys: tuple[str, ...] = flag(
        "OBS_REDACT_KEYS", key_words, (), "Additional keys whose values are redacted, separated by commas."
    )
    allow_keys: tuple[str, ...] = flag(
        "OBS_REDACT_ALLOW_KEYS", key_words, (), "Keys whose values are never redacted by name."
    )
    user_id: str = flag(
        "OBS_REDACT_USER_ID", one_of(*USER_ID_POLICIES), "drop", "How user ids appear: drop, hash or keep."
    )
    ip: str = flag(
        "OBS_REDACT_IP", one_of(*IP_POLICIES), "drop", "How IP addresses appear: drop, hash, truncate or keep."
    )
    hash_key: str | None = flag(
        "OBS_REDACT_HASH_KEY", secret_text, None, "Key for `hash`; at least 16 characters.", secret=True
    )
    locales: tuple[str, ...] = flag(
        "OBS_REDACT_LOCALES",
        some_of(*LOCALES),
        DEFAULT_LOCALES,
        "Countries whose keys, national ids and phone numbers are redacted as well, separated by commas: `tr,br,us`. "
        "An empty value turns them off.",
    )
    error_bodies: bool = flag(
        "OBS_REDACT_ERROR_BODIES", boolean, False, "Redact text bodies of responses with status 500 and above."
    )


__all__ = ["RedactionSettings"]
