"""Flags of the ops console."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.parsers import boolean, is_guessable, positive_integer, token

TRACE_ID = "{trace_id}"
# Less than this would keep less than one request of each kind.
LEAST_BYTES = 256 * 1024
_EXPECTED = f"a URL with {TRACE_ID}, like https://tempo.example/trace/{TRACE_ID}"


def trace_url(text: str) -> str | None:
    """Read the URL of a trace in the trace UI."""
    value = text.strip()
    if not value:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError(_EXPECTED) from None
    # Any other scheme (`javascript:`) would be code in the page. The name of a user would be shown with its password.
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(_EXPECTED)
    if value.count(TRACE_ID) != 1 or not value.isprintable() or " " in value or TRACE_ID in parts.netloc:
        raise ValueError(_EXPECTED)
    return value


def console_bytes(text: str) -> int:
    """Read the memory of the console."""
    value = positive_integer(text)
    if value < LEAST_BYTES:
        raise ValueError(f"an integer of at least {LEAST_BYTES}")
    return value


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings:
    """Whether GET /ops/console exists, and how much it keeps."""

    enabled: bool = flag(
        "OBS_CONSOLE_ENABLED",
        boolean,
        False,
        "Serve the ops console at /ops/console; its data needs the admin token in every OBS_ENV.",
    )
    max_bytes: int = flag(
        "OBS_CONSOLE_BYTES",
        console_bytes,
        8 * 1024 * 1024,
        "Maximum memory of each worker for the requests, errors and changes that the console shows.",
    )
    trace_url: str | None = flag(
        "OBS_TRACE_URL",
        trace_url,
        None,
        f"URL of a trace in your trace UI, with `{TRACE_ID}`: the console links to it.",
    )
    debug_key: str | None = flag(
        "OBS_DEBUG_KEY",
        token,
        None,
        "Key that signs `X-Divan-Debug`: a request with this header logs all its DEBUG lines, and is traced.",
        secret=True,
    )

    def guessable_key(self, env: str) -> list[str]:
        """Return a sentence if the key is easy to guess."""
        if self.debug_key and is_guessable(self.debug_key):
            return [
                f"OBS_DEBUG_KEY can be guessed, with OBS_ENV={env!r}: anybody could make requests log DEBUG lines. "
                "Set a random one: openssl rand -hex 32."
            ]
        return []


__all__ = ["LEAST_BYTES", "TRACE_ID", "ConsoleSettings", "console_bytes", "trace_url"]
