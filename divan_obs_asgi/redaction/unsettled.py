"""Which redacted texts are read once more: what has lost its neighbour may be a secret now."""

from __future__ import annotations

from divan_obs_asgi.redaction.prefilter import Signs

# What may read otherwise once something near to it has been hidden: an entry of a list of pairs or of the errors of a
# validator, a scheme, a header or a key whose value has gone, a cut, and a marker that something stands against.
_NO_MARKER = r"(?:[^\s\"'\[]|\[(?:[^r]|\z))"
_SIGN = (
    r"[(\[]\s?b?\\*['\"]|['\"]loc|\[cut:"
    rf"|(?i:bearer|basic)\s+[\"']*{_NO_MARKER}|(?i:cookie):\s*[\"']*{_NO_MARKER}"
    rf"|(?i:passw|token|secret)\w*[\"']?\s*[:=]\s*[\"']*{_NO_MARKER}"
    r"|\[redacted:validation\]|\[redacted:\w+\](?:[^\s\"',;&}]|[,;}][^\s\"']|&[^\w])"
)
# Most told texts hold nothing of the kind, which RE2 tells in a microsecond, `re` in ten.
_SIGNS = Signs([_SIGN])


def may_read_otherwise(told: str) -> bool:
    """Tell whether rules may find more in a text from which something has been hidden."""
    return not told.isascii() or bool(_SIGNS.needed(told.encode()))


__all__ = ["may_read_otherwise"]
