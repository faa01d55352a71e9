"""The value that a sensitive key has in a text."""

from __future__ import annotations

import re
from typing import NamedTuple

from divan_obs_asgi.redaction.below import below
from divan_obs_asgi.redaction.brackets import END_QUOTED, Ends, matching_bracket, quoted, run_at, value_at
from divan_obs_asgi.redaction.harmless import (
    NETWORK,
    NETWORK_WORDS,
    are_messages,
    has_unit_of_time,
    is_harmless_value,
    last_word,
    may_be_message,
)
from divan_obs_asgi.redaction.keys import BODY, PAYMENT, PERSON, PHONE, POSITION
from divan_obs_asgi.redaction.languages import ADDRESS, BIRTH_DATE, NATIONAL_ID
from divan_obs_asgi.redaction.placeholders import (
    NO_SECRET_BEGINS,
    NO_SECRETS,
    SECRET_LOOK,
    WORD,
    is_placeholder,
    unless_placeholder,
)

_OPENING = re.compile(
    rb"[=>]{0,2}[ \t]{0,8}(?:\r?\n[ \t]{0,16}){0,2}"
    rb"(?:[bBrRuUfFnNeE]{1,2}(?=['\"]))?(?P<quote>(?:\\{0,7}[\"'`])|%22|%27)?"
)
# The first characters before a value, apart from one blank. Any other character begins the value itself.
_OPENS = b" =>\t\r\n\\\"'`%"
# Prefixes of a quote in Python and SQL.
_PREFIXES = b"bBrRuUfFnNeE"
_BEHIND_PREFIX = frozenset(bytes([char]) for char in _PREFIXES + b"\"'")
_BARE = re.compile(rb"[^\s&,;)\]}>\"'<|`]+")
_LINE = re.compile(rb"(?i:digest|oauth|signature|aws4-hmac-sha256)\s[^\r\n]+|[^\r\n\"']*[^\s\"']")
_WORDS = re.compile(rb"[^\r\n&\"'|]+")
_NAMES = re.compile(rb"[^\r\n&\"'|,;)(<>]+")
# The next key ends both.
_NEXT_KEY = re.compile(rb"\s{1,8}[\w.-]{1,64}[\"']?[=:]")
_LONGEST_NEXT_KEY = 80
_BLANK = re.compile(rb"\s")
_NUMBERS = re.compile(rb"[-+]?\d[-+\d.,; \t]*(?:\d|[NSEW](?![A-Za-z]))|[-+]?\d")
_DIALLED = re.compile(rb"\+?[\d(][\d ().\-/]{3,24}\d")
# Ids and dates whose groups are separated by blanks.
_ID = re.compile(
    rb"(?:[A-Za-z]{0,4}\d{8,}|\w{1,7}(?:[ ./-]{1,2}[A-Z0-9]{0,6}\d[A-Z0-9]{0,6}){1,6}(?: [A-Z])?)(?![\w./-])"
)
_DATE = re.compile(
    rb"(?:\d{1,4}(?:st|nd|rd|th)?[./ -]{1,2}(?:de |of )?(?:\d{1,2}|[A-Za-z]{3,12}\.?)[./, -]{1,2}(?:de )?\d{1,4}"
    rb"|[A-Za-z]{3,12}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})(?!\d)"
)
_GOES_ON = re.compile(rb"[\"'`]? ")
_IN_TAGS = re.compile(rb"[^<]+")
# `$token->expires_at`
_MEMBER = re.compile(rb"[A-Za-z_]{1,64}(?![\w.!#$%&*+/=-])")
# YAML's text blocks, `|` and `>`; an escaped line end.
_BLOCK = re.compile(rb"[|>][-+]?[0-9]?[ \t]{0,8}(?:\r?\n|\\n)[ \t]{1,32}")
_ESCAPED_LINE = re.compile(rb"(?:\\r)?\\n[ \t]{1,32}")
_SPECIAL = b"|>\\[{("
# The name of a test after its result: "--- PASS: TestLogin (0.00s)".
_TEST = re.compile(rb"(?:Test[A-Z_]|tests?[_/.])\w")
_CALL = re.compile(rb"(?:[A-Za-z_][\w.]{0,63}[(\[]){1,8}")
# Calls that change how a value is written, or hash it: `password = crypt('...', gen_salt('bf'))`.
_CONVERSION = re.compile(
    rb"(?:(?:[A-Za-z_]\w{0,31}\.){0,3}(?:aes_encrypt|b64encode|base64_encode|bcrypt|bytearray|bytes|cast|concat|convert(?:_to)?"
    rb"|crypt|digest|encode|encrypt|hash(?:pw|_password)?|hashbytes|hex|hmac|lower|make_password|md5|old_password|password"
    rb"|pgp_sym_encrypt|pwdencrypt|quote|repr|secret(?:str|bytes)?|sha\d{0,3}|str|to_base64|trim|unhex|upper)\(\s?){1,4}\Z",
    re.IGNORECASE,
)
# How LDAP and frameworks say what has hashed a password: `{SSHA}...`, `{bcrypt}...`.
_SCHEME = re.compile(
    rb"\{(?:S?(?:SHA|MD5)[-\d]{0,4}|CRYPT|PLAIN|CLEARTEXT|LDAP|NOOP|PBKDF2[\w@-]{0,24}|ARGON2\w{0,24}|[BS]CRYPT(?:@\w{1,24})?"
    rb"|(?:CRAM-MD5|BLF-CRYPT|(?:MD5|SHA\d{3}|DES)-CRYPT))\}(?=[\w$+/.=])",
    re.IGNORECASE,
)
_AMOUNT = re.compile(rb"\d+(?:\.\d+)?\s?(?:[kKmMgG]i?)?[bB](?:ytes?)?\b|\d+ (?:chars|characters|items|lines|parts)\b")
# Their values do not end at the next blank.
SENTENCES = frozenset({BODY, PERSON, PHONE, POSITION, ADDRESS, BIRTH_DATE, NATIONAL_ID})
# Values inside something: Rust, Haskell and Swift; Go; PHP's var_dump; YAML's tags and anchors.
_WRAPPER = re.compile(
    rb"(?:(?:Some|Just|Ok|Optional|Secret|Value|String|Text|Right)[( ]\s{0,24}|\[\]string\{|string\(\d{1,6}\) "
    rb"|!!?[A-Za-z]{1,16} |&\w{1,32} )(?=[^\s*])"
)
_WRAPS = b"SJOVTRs[!&"
_LONGEST_HARMLESS = 256
_AMBIGUOUS = ("geo", "lat", "sig")


class Key(NamedTuple):
    """
    The cached properties of a key.

    Attributes:
        rule: the name of the rule that redacts its value.
        header: whether its value ends with the line.
        glues: whether a value that follows without a blank may also be the value of the next key.
        text: its last word.
    """

    rule: str
    header: bool
    glues: bool
    text: str


def value_of(raw: bytes, start: int, key_start: int, key: Key, glued: bool, ends: Ends) -> tuple[int, int] | None:
    """Return the place of the value that begins at `start`, or None if it need not be hidden."""
    if raw[start - 1] == 62:  # ">"
        if raw[start - 2] == 45:  # "->"
            return None if _MEMBER.match(raw, start) else _after_arrow(raw, start, ends)
        # Of "<password>".
        if raw[key_start - 1 : key_start] not in (b"<", b":"):
            return None
        inside = run_at(_IN_TAGS, raw, start, ends)
        # "AUTH <password> called without any": words behind a word in brackets, without a closing tag.
        if inside is not None and inside[1] == len(raw) and _GOES_ON.match(raw, start):
            return None
        return unless_placeholder(raw, inside)
    # LDIF: two colons before base64 (RFC 2849).
    start += raw.startswith(b": ", start)
    begin = start + raw.startswith(b" ", start)
    if begin == len(raw):
        return None
    first = raw[begin]
    if first in _OPENS or (first in _PREFIXES and raw[begin + 1 : begin + 2] in _BEHIND_PREFIX):
        opening = _OPENING.match(raw, start)
        assert opening is not None
        begin, quote = opening.end(), opening["quote"]
        if quote:
            if raw.startswith(2 * quote, begin) and quote in END_QUOTED:
                return quoted(raw, begin + 2, 3 * quote)  # A value of several lines, as in Python and TOML.
            return _unless_harmless(raw, quoted(raw, begin, quote), key)
        if begin == len(raw):
            return None
        first = raw[begin]
        if first not in b"[{" and b"\n" in opening[0]:
            return below(raw, key_start, begin)
        # In `sid==`
        glued = glued and raw.count(b"=", start, begin) == begin - start
    elif begin > start:
        glued = False
    if glued and begin == ends.bare[0]:
        ends.bare = key_start, ends.bare[1]
        return begin, ends.bare[1]
    if first in _SPECIAL:
        if first in b"|>" and (block := _BLOCK.match(raw, begin)) is not None:
            return below(raw, key_start, block.end(), block=True)
        if (
            first == 92
            and (line := _ESCAPED_LINE.match(raw, begin))
            and (folded := below(raw, key_start, line.end())) is not None
        ):
            return folded
    if first in _WRAPS and (wrapper := _WRAPPER.match(raw, begin)) is not None:
        return value_at(raw, wrapper.end(), ends)
    if key.header:
        return unless_placeholder(raw, run_at(_LINE, raw, begin, ends))
    word = WORD.match(raw, begin)
    if first in b"Tt" and raw[key_start:start] == b"PASS:" and _TEST.match(raw, begin):
        return None
    if (
        first in NO_SECRET_BEGINS
        if word is None
        else first in b"xX" or word[0].lower() in NO_SECRETS or raw.startswith(b".", word.end())
    ) and is_placeholder(raw, begin, len(raw)):
        return None
    if first == 123 and (scheme := _SCHEME.match(raw, begin)) is not None:
        hashed = run_at(_BARE, raw, scheme.end(), ends)
        return None if hashed is None else (begin, hashed[1])
    if first in b"[{(":
        end = matching_bracket(raw, begin, ends)
        return None if first == 91 and may_be_message(key.rule) and are_messages(raw, begin, end) else (begin, end)
    if key.rule in SENTENCES:
        if key.rule == POSITION and (numbers := _NUMBERS.match(raw, begin)):
            return None if key.text == "lat" and has_unit_of_time(raw, numbers.end()) else numbers.span()
        if key.rule == PHONE and (dialled := _DIALLED.match(raw, begin)):
            return dialled.span()
        if key.rule == BIRTH_DATE and (date := _DATE.match(raw, begin)):
            return date.span()
        if key.rule == NATIONAL_ID and (number := _ID.match(raw, begin)):
            return number.span()
        if key.rule == ADDRESS and (NETWORK.match(raw, begin) or last_word(raw, key_start) in NETWORK_WORDS):
            return None
        if key.rule == ADDRESS and raw[key_start - 1 : key_start] not in (b'"', b"'", b"&", b"?"):
            # `adres: Moda Cad. No: 5` has a colon of its own.
            return run_at(_LINE, raw, begin, ends) if raw[start - 1] == 58 else _sentence(_WORDS, raw, begin, ends)
        if key.rule in (BODY, PERSON) and raw[key_start - 1 : key_start] not in (b'"', b"'"):
            if key.rule == PERSON:
                return _sentence(_NAMES, raw, begin, ends)
            return None if word is None and _AMOUNT.match(raw, begin) else _sentence(_WORDS, raw, begin, ends)
    value = run_at(_BARE, raw, begin, ends)
    if value is None:
        return None
    if glued:
        ends.bare = key_start, value[1]
    if raw[value[1] - 1] in b"([" and _CALL.fullmatch(raw, *value):
        if raw[value[1] : value[1] + 1] not in (b"'", b'"') or _CONVERSION.match(raw, *value) is None:
            return None
        return begin, matching_bracket(raw, raw.index(b"(", begin), ends)
    spaced = begin > start and raw[start - 1] == 58  # ":"
    if spaced and _in_prose(raw, key_start) and not (key.rule != PAYMENT and SECRET_LOOK.match(raw, *value)):
        return None  # "Unexpected token: comma"
    return _unless_harmless(raw, value, key)


def _sentence(pattern: re.Pattern[bytes], raw: bytes, begin: int, ends: Ends) -> tuple[int, int] | None:
    """Return the place of the words that begin here, up to a delimiter, or to the blank before the next key."""
    run = run_at(pattern, raw, begin, ends)
    if run is None:
        return None
    known, next_key = ends.next_key or (len(raw), len(raw))
    blank = _BLANK.search(raw, begin + 1, known + 1)
    if blank is not None:
        match = _NEXT_KEY.search(raw, blank.start(), known + _LONGEST_NEXT_KEY)
        if match is not None and (found := match.start()) <= known:
            next_key = found
    ends.next_key = (begin, next_key)
    end = run[1] if run[1] < next_key else next_key
    blanks = ends.blanks.get(end)
    if blanks is None:
        ends.blanks[end] = blanks = begin + len(raw[begin:end].rstrip())
    # If everything before the end is blank, the end belongs to another value.
    return (begin, blanks) if blanks > begin else None


def _after_arrow(raw: bytes, start: int, ends: Ends) -> tuple[int, int] | None:
    return value_at(raw, start + len(raw[start : start + 8]) - len(raw[start : start + 8].lstrip(b" \t")), ends)


def _unless_harmless(raw: bytes, value: tuple[int, int] | None, key: Key) -> tuple[int, int] | None:
    if value is None or value[1] - value[0] > _LONGEST_HARMLESS:
        return value
    text = raw[value[0] : value[1]]
    # Most values are neither a count nor a message nor a region.
    if not (text.isdigit() or b" " in text or key.text in _AMBIGUOUS):
        return value
    return None if is_harmless_value(key.text, key.rule, text.decode()) else value


def _in_prose(raw: bytes, key_start: int) -> bool:
    """Return whether a word precedes the key, as in a sentence."""
    return key_start > 1 and raw[key_start - 1] == 32 and raw[key_start - 2 : key_start - 1].isalpha()


__all__ = ["SENTENCES", "Key", "value_of"]
