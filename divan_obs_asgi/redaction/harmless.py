"""What speaks against a secret in spite of its key or its form: messages of forms, units, counts, words."""

from __future__ import annotations

import re

from divan_obs_asgi.redaction.keys import BODY, COOKIE, CREDENTIAL, PERSON, POSITION, split_words, words
from divan_obs_asgi.redaction.languages import ADDRESS

# A message of a form about a field: "Not a valid email address." Words of lower case, one of which says what is wrong.
_MESSAGE = (
    r"(?:Not|This|Enter|Ensure|Must|May|Field|Value|Missing|Invalid|Required|Too|Unknown|Already|Please|Should|Is|Cannot"
    r"|A|An|The|is|are|has|must|may|should|cannot|can't|not|too|already|does|do|did|was|please|enter|invalid|missing)"
    r"(?: (?:[a-z]{1,24}|[a-z]{1,12}'[a-z]{1,2}|e-mail|[A-Z]{2,5}|\d{1,3})[,;]?){1,16}\.?"
)
_WRONG = re.compile(
    rb"(?i)\b(?:valid|invalid|required|blank|empty|null|short|long|common|numeric|exists?|taken|match|characters|missing"
    rb"|field|allowed|unique|wrong|incorrect|similar|expired|weak|unknown|digits?|must|cannot)\b"
)
_IS_MESSAGE = re.compile(_MESSAGE.encode())
_STRING = rb"(?:ErrorDetail\(string=)?[\"']" + _IS_MESSAGE.pattern + rb"[\"'](?:, code=[\"']\w{1,32}[\"']\))?"
_MESSAGES = re.compile(rb"\[\s?(?:" + _STRING + rb",?\s{0,8}){1,8}\]")
# Rules whose values may be sentences.
_SAYINGS = frozenset({BODY, PERSON})

_TIME = r"(?:[mun\u00b5]?s|ms|msec|usec|nsec|secs?|seconds?|mins?|minutes?|h|hours?|hz|[kmg]hz|fps|rps|%|percent)"
_UNIT = re.compile(
    rb"[ \t]?"
    rb"(?:[mun]?s|msec|usec|nsec|secs?|seconds?|mins?|minutes?|milliseconds?|microseconds?|hours?|[kMG]?Hz|%)(?![\w/])"
)
_OTHER_COORDINATE = re.compile(rb"[\s,;&]{0,3}(?:lo?ng?|longitude)\b", re.IGNORECASE)
# Units behind a number, apart from those that end in the letter of a direction.
_AFTER_NUMBER = re.compile(
    rb"[ \t]?"
    rb"(?:[munp]?s|msec|usec|secs?|seconds?|mins?|minutes?|milliseconds?|hours?|[kMG]?Hz|%|[kKMGT]i?B(?:/s)?|[kKMGT]?bytes?|B"
    rb"|m?V|m?A|k?W|kWh|C|F|K|[hk]?Pa|bar|psi|px|pts?|rpm|fps|dB|lines|rows|items|acc|loss|epochs?|USD|EUR|TRY|x)(?![\w])"
)
# The last word before a number which says that it is something other than a position or a phone number.
_MEASURES = frozenset(
    rb"""
    acc accuracy adj allocated auc average avg balance bias bytes change changed cost count cpu delta diff duration
    elapsed epoch epochs error evals f1 factor files free gain gc grad gradient heap iops iter iteration jitter
    lag latency load loss lr mae max mean median mem memory min mse norm offset p50 p75 p90 p95 p99 percent
    percentile percentiles precision pressure price profit progress quantile quantiles
    rate ratio recall rmse rps rss rtt score share shift
    size speed std stddev stdev step steps sum temp temperature time timing took total throughput tps train uptime usage
    utilization ns us ms sec secs usec msec nsec val validation var variance version voltage volume wall weight weights
    """.split()
)
_BEFORE = 40
_PHONE_WORD = re.compile(
    rb"(?i)(?:tel|phone|fax|mobile|cell|call|called|caller|calling|sms|dial|dialled|whatsapp|msisdn|text|number|contact|gsm|to|from|ring)\b"
)

_COUNTED = words("tokens secrets cookies passwords credentials phones emails")
_SMALL = words("pass pin auth sig token secret bearer")
_REGION = re.compile(
    r"(?:eu|us|ap|sa|af|me|ca|cn|uk|il|mx|asia|europe|africa|australia|northamerica|southamerica|global)(?:-[a-z]{2,12}){0,3}(?:-?\d)?|[A-Z]{2}"
)
_SIGNAL = re.compile(r"SIG[A-Z]{2,6}\d?")
_MEASURED = re.compile(rf"[-+]?\d+(?:\.\d+)? ?{_TIME}", re.IGNORECASE)
# An address of a machine, of a page or in memory, and words before the name of such an address.
NETWORK = re.compile(
    rb"(?:\d{1,3}\.){3}\d|[a-z]{2,8}://|0x[0-9a-f]|/|localhost|\[?[0-9a-f]{0,4}:[0-9a-f]{0,4}:|(?:[\w-]{1,63}\.){1,8}[a-z]{2,12}(?::\d|/|\s|\Z)"
    rb"|(?:[0-9a-f]{2}[:-]){5}|[\w.-]{1,64}:\d{2,5}(?!\d)",
    re.IGNORECASE,
)
NETWORK_WORDS = frozenset(
    b"ip ipv4 ipv6 mac web http url email mail bind listen server host memory remote wallet".split()
)
_MOST_COUNT, _MOST_SMALL = 10**6, 100


def is_message(text: bytes) -> bool:
    """Return whether a text is the message of a form about a field."""
    return _IS_MESSAGE.fullmatch(text) is not None and _WRONG.search(text) is not None


def are_messages(raw: bytes, begin: int, end: int) -> bool:
    """Return whether a bracket holds messages of a form about a field, and nothing else."""
    return _MESSAGES.fullmatch(raw, begin, end) is not None and _WRONG.search(raw, begin, end) is not None


def may_be_message(rule: str) -> bool:
    """Return whether the value of a key of this rule is not a message of its own."""
    return rule not in _SAYINGS


def is_harmless_value(key: str, rule: str, value: object) -> bool:
    """Return whether a value under a sensitive key is a count, a duration, a region, or messages about the field."""
    if isinstance(value, (list, tuple)):
        return (
            0 < len(value) <= 8
            and rule not in _SAYINGS
            and all(isinstance(item, str) and is_message(item.encode("ascii", "replace")) for item in value)
        )
    if isinstance(value, str):
        if rule not in _SAYINGS and " " in value and is_message(value.encode("ascii", "replace")):
            return True
        return len(value) < 40 and _is_plain(key, rule, value)
    return type(value) is int and rule in (CREDENTIAL, COOKIE) and is_count(key, value)


def _is_plain(key: str, rule: str, value: str) -> bool:
    if rule == POSITION:
        word = split_words(key)[-1:]
        return (word == ("lat",) and _MEASURED.fullmatch(value) is not None) or (
            word == ("geo",) and _REGION.fullmatch(value) is not None
        )
    if rule == ADDRESS:
        return NETWORK.match(value.encode("ascii", "replace")) is not None
    if rule in (CREDENTIAL, COOKIE):
        return (value.isdecimal() and value.isascii() and is_count(key, int(value)) and str(int(value)) == value) or (
            split_words(key)[-1:] == ("sig",) and _SIGNAL.fullmatch(value) is not None
        )
    return False


def is_count(key: str, value: int) -> bool:
    """Return whether a number under this key is a count: `pass: 12`, `tokens: 900`."""
    word = (split_words(key) or ("",))[-1]
    return (word in _COUNTED and 0 <= value < _MOST_COUNT) or (word in _SMALL and 0 <= value < _MOST_SMALL)


def has_unit_of_time(raw: bytes, end: int) -> bool:
    """Return whether a unit follows a number: `lat=3.2ms` is a latency."""
    unit = _UNIT.match(raw, end)
    return unit is not None and _OTHER_COORDINATE.match(raw, unit.end()) is None


def is_measure(raw: bytes, begin: int, end: int) -> bool:
    """Return whether the word before numbers, or the unit behind them, says that they are measured."""
    return _AFTER_NUMBER.match(raw, end) is not None or last_word(raw, begin) in _MEASURES


def is_measure_name(key: str) -> bool:
    """Return whether the values of a key are measured."""
    return any(word.encode() in _MEASURES for word in split_words(key)[-2:])


def last_word(raw: bytes, begin: int) -> bytes:
    """Return the word before a position, in lower case."""
    before = raw[max(0, begin - _BEFORE) : begin][::-1]
    match = _WORD_BACKWARDS.match(before)
    return b"" if match is None else match[1][::-1].lower()


_WORD_BACKWARDS = re.compile(
    rb"[\s:=(\[,~\"']{0,4}(?:[)\]](?=(?:sun|su|sm|s?ces[mun]?)[(\[])|[\s:=(\[,~\"'])(\d{0,2}[A-Za-z]{1,24})(?![A-Za-z0-9])"
)


def is_difference(raw: bytes, begin: int, end: int) -> bool:
    """Return whether a number with a plus sign is a difference and not a phone number, whose digits are in groups."""
    if not raw[begin + 1 : end].isdigit():
        return False
    word = last_word(raw, begin)
    if _PHONE_WORD.fullmatch(word):
        return False
    return (
        end - begin <= _SHORTEST_PHONE
        or word in _MEASURES
        or _AFTER_NUMBER.match(raw, end) is not None
        or raw.startswith(b"@@", max(0, begin - 2))
    )


# No country has an international number this short.
_SHORTEST_PHONE = 9

__all__ = [
    "NETWORK",
    "NETWORK_WORDS",
    "are_messages",
    "has_unit_of_time",
    "is_count",
    "is_difference",
    "is_harmless_value",
    "is_measure",
    "is_measure_name",
    "is_message",
    "may_be_message",
]
