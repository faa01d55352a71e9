"""Named secrets in texts: `password=...`, `"token": "..."`, `Cookie: ...`, `<secret>...</secret>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from divan_obs_asgi.redaction.harmless import (
    NETWORK,
    NETWORK_WORDS,
    are_messages,
    has_unit_of_time,
    is_harmless_value,
    last_word,
    may_be_message,
)
from divan_obs_asgi.redaction.keys import (
    BODY,
    GLUED_WORDS,
    PAYMENT,
    PERSON,
    PHONE,
    POSITION,
    KeyIndex,
    KeyRule,
    split_words,
    words,
)
from divan_obs_asgi.redaction.languages import ADDRESS, BIRTH_DATE, NATIONAL_ID
from divan_obs_asgi.redaction.patterns import JOINT, any_of
from divan_obs_asgi.redaction.view import SEPARATOR, UNREAD, Found, View

# Unifies the characters between key and value: separators become "=", quotes and closing brackets become '"'.
_ALIKE = bytes.maketrans(b":>'\\`[]\tABCDEFGHIJKLMNOPQRSTUVWXYZ", b'=="""""\x20abcdefghijklmnopqrstuvwxyz')
_ENCODED = (
    (b"%255b", b'"""""'),
    (b"%255d", b'"""""'),
    (b"%253d", b"    ="),
    (b"%253a", b"    ="),
    (b"%5b", b'"""'),
    (b"%5d", b'"""'),
    (b"%3d", b"  ="),
    (b"%3a", b"  ="),
    (b"%22", b'"""'),
    (b"%27", b'"""'),
    (b"%20", b"   "),
)
# Without these characters in a key or around it, every sensitive key is a sequence of words and a separator.
_AROUND = b"\"'`\\[] \t-_.0123456789"
_NO_DIGITS = str.maketrans("", "", "0123456789")
# Words that a key may add to its sensitive word: `password_2`, `token_value`, `secretRaw`.
_SUFFIXES = """
    value raw plain text str string data encrypted enc hash hex base64 b64 id new old confirm confirmation again
    bytes json pem no nr num number
"""

_OPENING = re.compile(
    rb"[=>]{0,2}[ \t]{0,8}(?:\r?\n[ \t]{0,16}){0,2}(?:[bBrRuUfF]{1,2}(?=['\"]))?(?P<quote>(?:\\{0,7}[\"'`])|%22|%27)?"
)
# The first characters before a value, apart from one blank. Any other character begins the value itself.
_OPENS = b" =>\t\r\n\\\"'`%"
# Python's prefixes of a quote.
_PREFIXES = b"bBrRuUfF"
_BEHIND_PREFIX = frozenset(bytes([char]) for char in _PREFIXES + b"\"'")
_END_QUOTED = {
    b'"': re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL),
    # SQL escapes a quote by doubling it.
    b"'": re.compile(rb"(?:[^'\\]|\\.|'')*+", re.DOTALL),
    b"`": re.compile(rb"[^`]*+"),
}
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
_IN_TAGS = re.compile(rb"[^<]+")
_BRACKETS = re.compile(rb"[\[\]{}()\"']")
_CLOSING = {b"[": b"]", b"{": b"}", b"(": b")"}

# `$token->expires_at`
_MEMBER = re.compile(rb"[A-Za-z_]{1,64}(?![\w.!#$%&*+/=-])")
# A key at the beginning of a line, after blanks and the dash of a list.
_LINE_START = re.compile(rb"(?:\A|\n|\\n)(?P<indent>[ \t]{0,32}(?:- )?)[\"']?\Z")
# YAML's text blocks, `|` and `>`; an escaped line end.
_BLOCK = re.compile(rb"[|>][-+]?[0-9]?[ \t]{0,8}(?:\r?\n|\\n)[ \t]{1,32}")
_ABOVE = (b"|", b">")
_ESCAPED_LINE = re.compile(rb"(?:\\r)?\\n[ \t]{1,32}")
_REST = re.compile(rb"(?:[^\r\n\\]|\\(?![rn])){0,1024}")
_NEXT_LINE = re.compile(rb"(?:\r?\n|(?:\\r)?\\n)(?P<indent>[ \t]{1,32})(?=[^\s])")
_MAX_LINES = 16
# Another key below this one, a frame of a traceback, or its marks.
_CODE = re.compile(rb"[\w.\"'-]{1,64}:(?:\s|\Z)|File \"|[~^]{2}|(?:return|raise|if|for|await|with|try|pass)\b")
_ALONE = re.compile(rb"[^\s=:]{1,256}(?=[ \t]*(?:\r?\n|\Z))")
_VALUE = re.compile(rb"(?:[bBuUrR]{1,2}(?=['\"]))?(?P<quote>\\{0,7}[\"'])?")
_ITEM = re.compile(rb"[^\s,()\[\]{}]+")

# Values that are not secrets: placeholders, code, types, results of a check.
_NO_SECRET = re.compile(
    rb"""
    \[(?:redacted:[\w -]{1,64}|cut:[\w -]{1,32})\]|\*+|\.{3}|-+|
    \{\{?\s?[\w.]*\s?\}?\}|\$\{?[\w.]+\}?|%[(\w).-]*[sdr]|<[\w .-]*>?|\#\{\w+\}|
    (?:self|cls|settings|config|conf|cfg|os|env|environ|args|opts|options|request|process\.env)\.[\w.]+
    """,
    re.VERBOSE | re.DOTALL,
)
# First characters of such values that are not letters, and other characters with a meaning of their own there.
_NO_SECRET_BEGINS = b"[*.-{$%<#"
_SPECIAL = b"|>\\[{("
_WORD = re.compile(rb"[A-Za-z/]+(?:-[a-z]+)?")
_NO_SECRETS = frozenset(
    word.encode()
    for word in words(
        """
    a absent accepted an and anonymous any await bad basic bearer bool bytes can cannot changed cls created default
    deleted denied dict disabled does empty enabled error expired failed failure false filtered found has hidden ignored
    incorrect int invalid is issued ko list malformed masked mismatch missing must n/a nan nil no no-store none not null
    number object off ok on optional or present redacted refused rejected removed required reset revoked rotated scheme
    self granted pending pinned set should skipped str string the too true unpinned unset undefined unexpected
    unknown unsupported updated used valid verified
    was will wrong yes
        """
    )
)
_MASK = re.compile(rb"[xX]{3,}")
_DELIMITERS = b" \t\r\n,)]}&\"'<|`"
_CALL = re.compile(rb"[A-Za-z_][\w.]{0,63}[(\[]")
_SECRET_LOOK = re.compile(rb"[^\s]*[\d_!#$%^&*+/=~-]|[a-z]+[A-Z]|[^\s]{20}")
_AMOUNT = re.compile(rb"\d+(?:\.\d+)?\s?(?:[kKmMgG]i?)?[bB](?:ytes?)?\b|\d+ (?:chars|characters|items|lines|parts)\b")
# `Authorization` and `Cookie` are headers, whose values have spaces and semicolons.
_TO_THE_END = words("cookie set-cookie set_cookie authorization proxy-authorization proxy_authorization")
# Their values do not end at the next blank.
_SENTENCES = frozenset({BODY, PERSON, PHONE, POSITION, ADDRESS, BIRTH_DATE, NATIONAL_ID})
# Values inside something: Rust, Haskell and Swift; Go; PHP's var_dump; YAML's tags and anchors.
_WRAPPER = re.compile(
    rb"(?:(?:Some|Just|Ok|Optional|Secret|Value|String|Text|Right)[( ]\s?|\[\]string\{|string\(\d{1,6}\) "
    rb"|!!?[A-Za-z]{1,16} |&\w{1,32} )(?=[^\s*])"
)
_WRAPS = b"SJOVTRs[!&"
_MAX_BRACKETS = 64
_LONGEST_HARMLESS = 256
_AMBIGUOUS = ("geo", "lat", "sig")


class _Key(NamedTuple):
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


class PairRule:
    """
    Finds values by the key before them, with the same index that redacts fields.

    Texts are read backwards: a separator is a literal, so the search is very fast, and then the last letters of the key
    decide whether it is sensitive.
    """

    # As many as in the cache of the index. A larger number means that data is used as keys.
    _MEMORY = 4096

    def __init__(self, index: KeyIndex, rules: Iterable[KeyRule]) -> None:
        self._index = index
        self._known: dict[bytes, _Key | None] = {}
        rules = tuple(rules)
        endings = _endings(rules)
        self.sign = f"{key_sign(rules)}(?:[\"'`\\\\\\[\\] \\t0-9]|%2[027]|%(?:25)?5[bd])*(?:-?[=:>]|%(?:25)?3[ad])"
        suffixes = any_of([suffix[::-1] for suffix in _SUFFIXES.split()])
        bare = any_of(["".join(words).translate(_NO_DIGITS)[::-1] for words in endings])
        self._signs = re.compile(f"=(?:{bare}|(?:{suffixes})(?:{bare}))".encode())
        keys = any_of([JOINT.join(words)[::-1] for words in endings])
        self._key = re.compile(
            f'=-? {{0,4}}"{{0,12}}(?P<key>(?:(?:{suffixes}|[0-9]{{1,3}})(?:[-_. ]|"{{1,5}})?)?'
            f"(?:{keys})[-_.a-z0-9]{{0,48}})".encode()
        )

    def find(self, view: View) -> Iterable[Found]:
        """Return the values of sensitive keys."""
        alike = view.raw
        if view.encoded:
            alike = view.lower
            for code, char in _ENCODED:
                alike = alike.replace(code, char)
        alike = alike.translate(_ALIKE)
        signs = alike.translate(None, _AROUND)[::-1]
        matches = self._signs.finditer(signs)
        first = next(matches, None)
        if first is None:
            return ()
        size = len(alike)
        # At most half of the rest, so that some places can be examined.
        wanted = alike.count(b"=")
        read = view.takes(wanted, SEPARATOR)
        if read < wanted:
            size -= len(alike.split(b"=", read)[-1])
            alike = alike[:size]
            signs = alike.translate(None, _AROUND)[::-1]
            places = [match.start() for match in self._signs.finditer(signs)]
        else:
            places = [first.start(), *(match.start() for match in matches)]
        # With a budget, the first places of the text are examined. They are the last ones here.
        unread = len(places) - view.takes(len(places))
        return self._values(view.raw, alike[::-1], signs, places, unread)

    def _values(self, raw: bytes, backwards: bytes, signs: bytes, places: list[int], unread: int) -> Iterator[Found]:
        size = len(backwards)
        # Both have the same separators in the same order; `lengths[n] + n` characters precede the one at `n`.
        lengths = list(accumulate(map(len, backwards.split(b"="))))
        passed = counted = 0
        ends = _Ends()
        known = self._known
        if unread:
            passed = signs.count(b"=", 0, places[unread - 1])
            yield size - lengths[passed] - passed, len(raw), UNREAD
            passed = 0
        elif size < len(raw):
            yield size, len(raw), UNREAD
        for at in places[unread:]:
            passed += signs.count(b"=", counted, at)
            counted = at
            match = self._key.match(backwards, lengths[passed] + passed)
            if match is None:
                continue
            begins, ends_at = match.span("key")
            start, key_start, key_end = size - match.start(), size - ends_at, size - begins
            text = raw[key_start:key_end]
            key = known.get(text) or self._key_of(text)
            # A marker before a separator is not a key.
            if key is None or (raw[key_start - 1] == 58 and raw[key_start - 10 : key_start] == b"[redacted:"):
                continue
            place = _value(raw, start, key_start, key, key.glues and key_end == start - 1, ends)
            if place is not None:
                yield *place, key.rule

    def _key_of(self, text: bytes) -> _Key | None:
        try:
            return self._known[text]
        except KeyError:
            pass
        name, key = self._index.rule_for(text.decode()), None
        if name is not None:
            header = text.decode().lower() in _TO_THE_END
            glues = not header and name not in _SENTENCES and b" " not in text
            key = _Key(name, header, glues, (split_words(text.decode()) or ("",))[-1])
        if len(self._known) < self._MEMORY:
            self._known[text] = key
        return key


def key_sign(rules: Iterable[KeyRule]) -> str:
    """Return an RE2 pattern for the end of each key that may be sensitive."""
    joint = "(?:[-_. \\t]|%20)?"
    ends = "|".join(sorted(joint.join(map(re.escape, words)) for words in _endings(rules)))
    return f"(?i)(?:{ends})(?:{joint}(?:{'|'.join(_SUFFIXES.split())}|[0-9]{{1,3}}))?"


class _Ends(dict[bytes, tuple[int, int]]):
    """
    Cached positions in the text after the current place. Texts are read backwards, so no part is read twice.

    Attributes:
        brackets: for each opening bracket of a value, the end of the value.
        next_key: the beginning of the last sentence, and the position of the next key after it.
        blanks: for each end of a sentence, the beginning of the blanks before it.
        bare: the beginning of the key of the last bare value, and the end of the value: in `sid=pin=x` both keys have
            it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.brackets: dict[int, int] = {}
        self.next_key: tuple[int, int] | None = None
        self.blanks: dict[int, int] = {}
        self.bare = (-1, -1)


def _run(pattern: re.Pattern[bytes], raw: bytes, begin: int, ends: _Ends) -> tuple[int, int] | None:
    """Match a run. Texts are read backwards, so if it reaches the previous run, the rest is cached."""
    # The cache key is the source: a pattern computes its hash at each look-up, a bytes object only once.
    known, stop = ends.get(pattern.pattern) or (len(raw), len(raw))
    ahead = begin < known
    match = pattern.match(raw, begin, known if ahead else len(raw))
    if match is None:
        return None
    end = stop if ahead and match.end() == known else match.end()
    ends[pattern.pattern] = found = (begin, end)
    return found


def _value(raw: bytes, start: int, key_start: int, key: _Key, glued: bool, ends: _Ends) -> tuple[int, int] | None:
    """Return the place of the value that begins at `start`, or None if it need not be hidden."""
    if raw[start - 1] == 62:  # ">"
        if raw[start - 2] == 45:  # "->"
            return None if _MEMBER.match(raw, start) else _after_arrow(raw, start, ends)
        # Of "<password>".
        if raw[key_start - 1 : key_start] not in (b"<", b":"):
            return None
        return _unless_placeholder(raw, _run(_IN_TAGS, raw, start, ends))
    begin = start + raw.startswith(b" ", start)
    if begin == len(raw):
        return None
    first = raw[begin]
    if first in _OPENS or (first in _PREFIXES and raw[begin + 1 : begin + 2] in _BEHIND_PREFIX):
        opening = _OPENING.match(raw, start)
        assert opening is not None
        begin, quote = opening.end(), opening["quote"]
        if quote:
            if raw.startswith(2 * quote, begin) and quote in _END_QUOTED:
                return _quoted(raw, begin + 2, 3 * quote)  # A value of several lines, as in Python and TOML.
            return _unless_harmless(raw, _quoted(raw, begin, quote), key)
        if begin == len(raw):
            return None
        first = raw[begin]
        if first not in b"[{" and b"\n" in opening[0]:
            return _below(raw, key_start, begin)
        # In `sid==`
        glued = glued and raw.count(b"=", start, begin) == begin - start
    elif begin > start:
        glued = False
    if glued and begin == ends.bare[0]:
        ends.bare = key_start, ends.bare[1]
        return begin, ends.bare[1]
    if first in _SPECIAL:
        if first in b"|>" and (block := _BLOCK.match(raw, begin)) is not None:
            return _below(raw, key_start, block.end(), block=True)
        if (
            first == 92
            and (line := _ESCAPED_LINE.match(raw, begin))
            and (below := _below(raw, key_start, line.end())) is not None
        ):
            return below
    if first in _WRAPS and (wrapper := _WRAPPER.match(raw, begin)) is not None:
        return value_at(raw, wrapper.end(), ends)
    if key.header:
        return _unless_placeholder(raw, _run(_LINE, raw, begin, ends))
    word = _WORD.match(raw, begin)
    if (
        first in _NO_SECRET_BEGINS
        if word is None
        else first in b"xX" or word[0].lower() in _NO_SECRETS or raw.startswith(b".", word.end())
    ) and _is_placeholder(raw, begin, len(raw)):
        return None
    if first in b"[{(":
        end = matching_bracket(raw, begin, ends)
        return None if first == 91 and may_be_message(key.rule) and are_messages(raw, begin, end) else (begin, end)
    if key.rule in _SENTENCES:
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
            return _run(_LINE, raw, begin, ends) if raw[start - 1] == 58 else _sentence(_WORDS, raw, begin, ends)
        if key.rule in (BODY, PERSON) and raw[key_start - 1 : key_start] not in (b'"', b"'"):
            if key.rule == PERSON:
                return _sentence(_NAMES, raw, begin, ends)
            return None if word is None and _AMOUNT.match(raw, begin) else _sentence(_WORDS, raw, begin, ends)
    value = _run(_BARE, raw, begin, ends)
    if value is None:
        return None
    if glued:
        ends.bare = key_start, value[1]
    if raw[value[1] - 1] in b"([" and _CALL.fullmatch(raw, *value):
        return None
    spaced = begin > start and raw[start - 1] == 58  # ":"
    if spaced and _in_prose(raw, key_start) and not (key.rule != PAYMENT and _SECRET_LOOK.match(raw, *value)):
        return None  # "Unexpected token: comma"
    return _unless_harmless(raw, value, key)


def _sentence(pattern: re.Pattern[bytes], raw: bytes, begin: int, ends: _Ends) -> tuple[int, int] | None:
    """Return the place of the words that begin here, up to a delimiter, or to the blank before the next key."""
    run = _run(pattern, raw, begin, ends)
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


def _after_arrow(raw: bytes, start: int, ends: _Ends) -> tuple[int, int] | None:
    return value_at(raw, start + len(raw[start : start + 8]) - len(raw[start : start + 8].lstrip(b" \t")), ends)


def _below(raw: bytes, key_start: int, begin: int, *, block: bool = False) -> tuple[int, int] | None:
    """Return the place of a value below its key, as in YAML and folded headers (RFC 9112, section 5.2)."""
    before = _LINE_START.search(raw, max(0, key_start - 40), key_start)
    column = len(raw[max(0, begin - 33) : begin]) - len(raw[max(0, begin - 33) : begin].rstrip(b" \t"))
    if raw.startswith(b"- ", begin):
        begin += 2
    if before is None or (not block and (_CODE.match(raw, begin) or _is_placeholder(raw, begin, len(raw)))):
        return None
    own = len(before["indent"])
    if column <= own:
        word = _ALONE.match(raw, begin)
        return word.span() if word is not None and _SECRET_LOOK.match(raw, *word.span()) else None
    end = _REST.match(raw, begin).end()  # type: ignore[union-attr]
    for _ in range(_MAX_LINES):
        following = _NEXT_LINE.match(raw, end)
        if following is None or len(following["indent"]) <= own or (not block and _CODE.match(raw, following.end())):
            break
        end = _REST.match(raw, following.end()).end()  # type: ignore[union-attr]
    return begin, end


def value_at(raw: bytes, begin: int, ends: _Ends | None = None) -> tuple[int, int] | None:
    """Return the place of the Python or JSON value that begins here; None if it need not be hidden."""
    opening = _VALUE.match(raw, begin)
    assert opening is not None
    if opening["quote"]:
        return _quoted(raw, opening.end(), opening["quote"])
    if _is_placeholder(raw, begin, len(raw)):
        return None
    if raw[begin : begin + 1] in _CLOSING:
        return begin, matching_bracket(raw, begin, ends)
    return _span(_ITEM.match(raw, begin))


def _span(value: re.Match[bytes] | None) -> tuple[int, int] | None:
    return None if value is None else value.span()


def _unless_harmless(raw: bytes, value: tuple[int, int] | None, key: _Key) -> tuple[int, int] | None:
    if value is None or value[1] - value[0] > _LONGEST_HARMLESS:
        return value
    text = raw[value[0] : value[1]]
    # Most values are neither a count nor a message nor a region.
    if not (text.isdigit() or b" " in text or key.text in _AMBIGUOUS):
        return value
    return None if is_harmless_value(key.text, key.rule, text.decode()) else value


def _unless_placeholder(raw: bytes, value: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if value is None or _is_placeholder(raw, *value) else value


def _is_placeholder(raw: bytes, begin: int, end: int) -> bool:
    """Return whether the value is a word of a sentence or a placeholder and not a secret."""
    stop = _end_of_placeholder(raw, begin, end)
    if stop in (0, end):
        return stop > 0
    # "expired." ends a sentence, "no.7f3c" does not.
    return raw[stop] in _DELIMITERS or (
        raw[stop] in b".!?;" and raw[stop + 1 : stop + 2] in (b"", b" ", b"\n", b'"', b"'")
    )


def _is_whole_placeholder(raw: bytes, begin: int, end: int) -> bool:
    return _end_of_placeholder(raw, begin, end) == end


def _end_of_placeholder(raw: bytes, begin: int, end: int) -> int:
    word = _WORD.match(raw, begin, end)
    if word is not None:
        text, stop = word[0], word.end()
        if text.lower() in _NO_SECRETS:
            return stop
        if raw[stop : stop + 1] != b".":
            return stop if text[0] in b"xX" and _MASK.fullmatch(text) else 0
    elif begin == end or raw[begin] not in _NO_SECRET_BEGINS:
        return 0
    other = _NO_SECRET.match(raw, begin, end)
    return other.end() if other is not None else 0


def _quoted(raw: bytes, begin: int, quote: bytes) -> tuple[int, int] | None:
    plain = _END_QUOTED.get(quote)
    if plain is not None:
        match = plain.match(raw, begin)
        assert match is not None
        end = match.end()
    else:
        # Escaped quotes, as in JSON inside JSON, and encoded quotes: up to the next one of the same kind.
        end = raw.find(quote, begin)
    if end < 0:
        end = len(raw)
    return None if begin == end or _is_whole_placeholder(raw, begin, end) else (begin, end)


def matching_bracket(raw: bytes, begin: int, ends: _Ends | None = None) -> int:
    """Return the position after the bracket that closes the one at `begin`; the end of the text if there is none."""
    if ends is None:
        ends = _Ends()
    ends.brackets[begin] = end = _end_of_bracket(raw, begin, ends)
    return end


def _end_of_bracket(raw: bytes, begin: int, ends: _Ends) -> int:
    depth = 0
    position = begin
    for _ in range(_MAX_BRACKETS):
        match = _BRACKETS.search(raw, position)
        if match is None:
            return len(raw)
        char = match[0]
        position = ends.brackets.get(match.start(), 0)
        if position:
            continue
        position = match.end()
        if char in (b'"', b"'"):
            skipped = _run(_END_QUOTED[char], raw, position, ends)
            assert skipped is not None
            position = skipped[1] + 1
        elif char in _CLOSING:
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return position
    return len(raw)


def _in_prose(raw: bytes, key_start: int) -> bool:
    """Return whether a word precedes the key, as in a sentence."""
    return key_start > 1 and raw[key_start - 1] == 32 and raw[key_start - 2 : key_start - 1].isalpha()


def _endings(rules: Iterable[KeyRule]) -> set[tuple[str, ...]]:
    """Return the words at the end of keys that one of the rules may match."""
    endings = {tuple(phrase.split()) for rule in rules for phrase in rule.words | rule.last | rule.exact}
    if any(rule.glued for rule in rules):
        endings |= {(word,) for word in GLUED_WORDS}
    return endings


__all__ = ["PairRule", "key_sign", "matching_bracket", "value_at"]
