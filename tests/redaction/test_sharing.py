"""Policies of one set of flags share what they know, and count each for itself."""

from __future__ import annotations

from collections import Counter

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings

SECRET = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"


def test_each_counts_for_itself() -> None:
    """Of two bundles with the same flags, too."""
    counts = [Counter[str](), Counter[str]()]
    first, second = (
        RedactionPolicy.from_settings(Settings.from_env({}).redaction).having(
            count=lambda rule, own=own: own.update([rule])
        )
        for own in counts
    )
    for text in ("nothing", SECRET):
        first.redact_text(text)
    assert (counts[0].total(), counts[1].total()) == (1, 0)
    second.redact_text(SECRET)
    assert (counts[0].total(), counts[1].total()) == (1, 1)


def test_other_flags_are_another_policy() -> None:
    """What one has found harmless is not, under other flags."""
    plain = RedactionPolicy.from_settings(Settings.from_env({}).redaction)
    strict = RedactionPolicy.from_settings(Settings.from_env({"OBS_REDACT_KEYS": "shoe size"}).redaction)
    assert plain.redact_field("shoe_size", "44") == "44"
    assert strict.redact_field("shoe_size", "44") != "44"
    assert plain.redact_field("shoe_size", "44") == "44"
