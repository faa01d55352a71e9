"""Secrets that a text gives a name to: `password=...`, `"token": "..."`, `Cookie: ...`, `<secret>...</secret>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from divan_obs_asgi.redaction.keys import (
    BODY,
    GLUED_WORDS,
    PAYMENT,
    PERSON,
    PHONE,
    POSITION,
    KeyIndex,
    KeyRule,
    words,
)
from divan_obs_asgi.redaction.patterns import JOINT, any_of
from divan_obs_asgi.redaction.view import SEPARATOR, UNREAD, Found, View

# What stands between key and value, made one: separators "=", quotes and closing brackets '"'.
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
# Without what may stand in a key or around it, every key that matters is its own words and the separator.
_AROUND = b"\"'`\\[] \t-_.0123456789"
_NO_DIGITS = str.maketrans("", "", "0123456789")
# What a key may add to the word that gives it away: `password_2`, `token_value`, `secretRaw`.
_SUFFIXES = """
    value raw plain text str string data encrypted enc hash hex base64 b64 id new old confirm confirmation again
    bytes json pem no nr num number
"""

_OPENING = re.compile(
    rb"[=>]{0,2}[ \t]{0,8}(?:\r?\n[ \t]{0,16}){0,2}(?:[bBrRuUfF]{1,2}(?=['\"]))?(?P<quote>(?:\\{0,7}[\"'`])|%22|%27)?"
)
# What the opening of a value begins with, but for one blank; any other character begins the value itself.
_OPENS = b" =>\t\r\n\\\"'`%"
# Of Python, in front of a quote.
_PREFIXES = b"bBrRuUfF"
_BEHIND_PREFIX = frozenset(bytes([char]) for char in _PREFIXES + b"\"'")
_END_QUOTED = {
    b'"': re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL),
    # SQL doubles the quote that it means.
    b"'": re.compile(rb"(?:[^'\\]|\\.|'')*+", re.DOTALL),
    b"`": re.compile(rb"[^`]*+"),
}
_BARE = re.compile(rb"[^\s&,;)\]}>\"'<|`]+")
_LINE = re.compile(rb"(?i:digest|oauth|signature|aws4-hmac-sha256)\s[^\r\n]+|[^\r\n\"']*[^\s\"']")
_WORDS = re.compile(rb"[^\r\n&\"'|]+")
_NAMES = re.compile(rb"[^\r\n&\"'|,;)(<>]+")
# Ends both: the next key.
_NEXT_KEY = re.compile(rb"\s{1,8}[\w.-]{1,64}[\"']?[=:]")
_LONGEST_NEXT_KEY = 80
_BLANK = re.compile(rb"\s")
_NUMBERS = re.compile(rb"[-+]?\d[-+\d.,; \t]*(?:\d|[NSEW](?![A-Za-z]))|[-+]?\d")
_DIALLED = re.compile(rb"\+?[\d(][\d ().\-/]{3,24}\d")
_IN_TAGS = re.compile(rb"[^<]+")
_BRACKETS = re.compile(rb"[\[\]{}()\"']")
_CLOSING = {b"[": b"]", b"{": b"}", b"(": b")"}

# `$token->expires_at`
_MEMBER = re.compile(rb"[A-Za-z_]{1,64}(?![\w.!#$%&*+/=-])")
# Where a key begins a line, with nothing in front but blanks and the dash of a list.
_LINE_START = re.compile(rb"(?:\A|\n|\\n)(?P<indent>[ \t]{0,32}(?:- )?)[\"']?\Z")
# YAML's block of text, `|` and `>`; an end of line that is escaped.
_BLOCK = re.compile(rb"[|>][-+]?[0-9]?[ \t]{0,8}(?:\r?\n|\\n)[ \t]{1,32}")
_ABOVE = (b"|", b">")
_ESCAPED_LINE = re.compile(rb"(?:\\r)?\\n[ \t]{1,32}")
_REST = re.compile(rb"(?:[^\r\n\\]|\\(?![rn])){0,1024}")
_NEXT_LINE = re.compile(rb"(?:\r?\n|(?:\\r)?\\n)(?P<indent>[ \t]{1,32})(?=[^\s])")
_MAX_LINES = 16
# Another key below this one, a frame of a traceback, its marks.
_CODE = re.compile(rb"[\w.\"'-]{1,64}:(?:\s|\Z)|File \"|[~^]{2}|(?:return|raise|if|for|await|with|try|pass)\b")
_ALONE = re.compile(rb"[^\s=:]{1,256}(?=[ \t]*(?:\r?\n|\Z))")
# A header of ASGI, an item of a form, and how lists of both are written. A list of two is one only among lists: two
# names in a list are as common.
_PAIR = re.compile(
    rb"""
    (?:\(|(?P<list>\[)|\b(?P<name>name|key|header|field)\\{0,7}['"]?\s?[:=]\s?)\s?
    [bBuU]?(?P<quote>\\{0,7}['"])(?P<key>[\w\ .$%-]{1,64}(?:\[\d{0,3}\])?)(?P=quote)\s?,\s{0,16}
    (?(name)\\{0,7}['"]?value\\{0,7}['"]?\s?[:=]\s?)
    """,
    re.VERBOSE,
)
_AMONG_LISTS = re.compile(rb"[\[,]\s{0,16}\Z")
_PAIR_ENDS = re.compile(rb"\\{0,7}['\"]?\s?,?\s?(?:[)\]]|\Z)")
_VALUE = re.compile(rb"(?:[bBuUrR]{1,2}(?=['\"]))?(?P<quote>\\{0,7}[\"'])?")
_ITEM = re.compile(rb"[^\s,()\[\]{}]+")

# What stands in the place of a secret and is none: placeholders, code, types, results of a check.
_NO_SECRET = re.compile(
    rb"""
    \[(?:redacted:[\w -]{1,64}|cut:[\w -]{1,32})\]|\*+|\.{3}|-+|
    \{\{?\s?[\w.]*\s?\}?\}|\$\{?[\w.]+\}?|%[(\w).-]*[sdr]|<[\w .-]*>?|\#\{\w+\}|
    (?:self|cls|settings|config|conf|cfg|os|env|environ|args|opts|options|request|process\.env)\.[\w.]+
    """,
    re.VERBOSE | re.DOTALL,
)
# What such a thing begins with that is no word, and what else has a meaning of its own at the beginning of a value.
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
    self set should str string the too true unset undefined unexpected unknown unsupported updated used valid verified
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
# Their values end otherwise than at the next blank.
_SENTENCES = frozenset({BODY, PERSON, PHONE, POSITION})
_MAX_BRACKETS = 64


class _Key(NamedTuple):
    """
    What is known of a key, worked out once for each.

    Attributes:
        rule: the name of the rule that redacts its value.
        header: whether its value ends with the line.
        glues: whether a value that follows without a blank may be the one of the next key as well.
    """

    rule: str
    header: bool
    glues: bool


class PairRule:
    """
    Finds values by the key that stands in front of them, by the same index that redacts fields.

    Texts are read backwards: a separator is a literal, which is searched for very fast, and whether the key behind it
    matters is decided by its last letters.
    """

    # As many as the index remembers; what is beyond this is data.
    _MEMORY = 4096

    def __init__(self, index: KeyIndex, rules: Iterable[KeyRule]) -> None:
        self._index = index
        self._known: dict[bytes, _Key | None] = {}
        endings = _endings(rules)
        self.sign = f"{_key_sign(endings)}(?:[\"'`\\\\\\[\\] \\t0-9]|%2[027]|%(?:25)?5[bd])*(?:-?[=:>]|%(?:25)?3[ad])"
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
        if self._signs.search(signs) is None:
            return ()
        size = len(alike)
        # Of what is left half at most, so that some places can be looked at.
        wanted = alike.count(b"=")
        read = view.takes(wanted, SEPARATOR)
        if read < wanted:
            size -= len(alike.split(b"=", read)[-1])
            alike = alike[:size]
            signs = alike.translate(None, _AROUND)[::-1]
        # In a bounded text those that stand first are looked at: they are the last ones here.
        places = [match.start() for match in self._signs.finditer(signs)]
        unread = len(places) - view.takes(len(places))
        return self._values(view.raw, alike[::-1], signs, places, unread)

    def _values(self, raw: bytes, backwards: bytes, signs: bytes, places: list[int], unread: int) -> Iterator[Found]:
        size = len(backwards)
        # The separators of both, in order, are the same; in front of the one at `n` stand `lengths[n] + n` characters.
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
            # A marker that stands in front of a separator is no key.
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
            key = _Key(name, header, not header and name not in _SENTENCES and b" " not in text)
        if len(self._known) < self._MEMORY:
            self._known[text] = key
        return key


class EntryRule:
    """Finds values that stand second in an entry, where the key stands first: `('password', '...')`."""

    def __init__(self, index: KeyIndex, rules: Iterable[KeyRule]) -> None:
        self._index = index
        self.sign = _key_sign(_endings(rules)) + r"(?:\[\d*\])?\\*[\"']\s?,"

    def find(self, view: View) -> Iterator[Found]:
        """Return the values of sensitive keys."""
        raw, at = view.raw, 0
        while (match := _PAIR.search(raw, at)) is not None:
            start, at = match.start(), match.end()
            if not view.takes():
                yield at, len(raw), UNREAD
                return
            name = self._index.rule_for(match["key"].decode())
            alone = match["list"] is not None and not _AMONG_LISTS.search(raw, max(0, start - 17), start)
            value = None if name is None or alone else value_at(raw, at)
            if name is None or value is None or (match["name"] is None and not _PAIR_ENDS.match(raw, value[1])):
                continue
            at = max(at, value[1])
            yield *value, name


def _key_sign(endings: Iterable[Sequence[str]]) -> str:
    """Return a pattern of RE2 for the end of each key that may be sensitive."""
    joint = "(?:[-_. \\t]|%20)?"
    ends = "|".join(sorted(joint.join(map(re.escape, words)) for words in endings))
    return f"(?i)(?:{ends})(?:{joint}(?:{'|'.join(_SUFFIXES.split())}|[0-9]{{1,3}}))?"


class _Ends(dict[bytes, tuple[int, int]]):
    """
    What is known of the text behind a place, which is read backwards: nothing of it is read twice.

    Attributes:
        brackets: for each bracket that opened a value, where its value ends.
        next_key: where the last sentence began, and where the next key behind it stands.
        blanks: for each end of a sentence, where the blanks in front of it begin.
        bare: where the key of the last bare value begins, and where that value ends: in `sid=pin=x` it is both's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.brackets: dict[int, int] = {}
        self.next_key: tuple[int, int] | None = None
        self.blanks: dict[int, int] = {}
        self.bare = (-1, -1)


def _run(pattern: re.Pattern[bytes], raw: bytes, begin: int, ends: _Ends) -> tuple[int, int] | None:
    """Match a run; texts are read backwards, so where it meets the last one the rest is known."""
    # A pattern hashes all of itself whenever it is asked, its source only once.
    known, stop = ends.get(pattern.pattern) or (len(raw), len(raw))
    ahead = begin < known
    match = pattern.match(raw, begin, known if ahead else len(raw))
    if match is None:
        return None
    end = stop if ahead and match.end() == known else match.end()
    ends[pattern.pattern] = found = (begin, end)
    return found


def _value(raw: bytes, start: int, key_start: int, key: _Key, glued: bool, ends: _Ends) -> tuple[int, int] | None:
    """Return where the value is that begins at `start`, or None where there is none worth hiding."""
    if raw[start - 1] == 62:  # ">"
        if raw[start - 2] == 45:  # "->"
            return None if _MEMBER.match(raw, start) else _after_arrow(raw, start, ends)
        # Of "<password>".
        if raw[key_start - 1 : key_start] not in (b"<", b":"):
            return None
        return _kept(raw, _run(_IN_TAGS, raw, start, ends))
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
                return _quoted(raw, begin + 2, 3 * quote)  # Of several lines, as Python and TOML have it.
            return _quoted(raw, begin, quote)
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
    if key.header:
        return _kept(raw, _run(_LINE, raw, begin, ends))
    word = _WORD.match(raw, begin)
    if (
        first in _NO_SECRET_BEGINS
        if word is None
        else first in b"xX" or word[0].lower() in _NO_SECRETS or raw.startswith(b".", word.end())
    ) and _stands_for_none(raw, begin, len(raw)):
        return None
    if first in b"[{(":
        return begin, matching_bracket(raw, begin, ends)
    if key.rule in _SENTENCES:
        if key.rule == POSITION and (numbers := _NUMBERS.match(raw, begin)):
            return numbers.span()
        if key.rule == PHONE and (dialled := _DIALLED.match(raw, begin)):
            return dialled.span()
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
    return value


def _sentence(pattern: re.Pattern[bytes], raw: bytes, begin: int, ends: _Ends) -> tuple[int, int] | None:
    """Return where the words are that begin here: up to a delimiter, or to the next key with its blank."""
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
    # Where all in front of the end is blank, there is another value's.
    return (begin, blanks) if blanks > begin else None


def _after_arrow(raw: bytes, start: int, ends: _Ends) -> tuple[int, int] | None:
    return value_at(raw, start + len(raw[start : start + 8]) - len(raw[start : start + 8].lstrip(b" \t")), ends)


def _below(raw: bytes, key_start: int, begin: int, *, block: bool = False) -> tuple[int, int] | None:
    """Return a value that stands below its key, as YAML and folded headers (RFC 9112, section 5.2) have it."""
    before = _LINE_START.search(raw, max(0, key_start - 40), key_start)
    column = len(raw[max(0, begin - 33) : begin]) - len(raw[max(0, begin - 33) : begin].rstrip(b" \t"))
    if raw.startswith(b"- ", begin):
        begin += 2
    if before is None or (not block and (_CODE.match(raw, begin) or _stands_for_none(raw, begin, len(raw)))):
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
    """Return the value that a text of Python or JSON has here; None where there is none worth hiding."""
    opening = _VALUE.match(raw, begin)
    assert opening is not None
    if opening["quote"]:
        return _quoted(raw, opening.end(), opening["quote"])
    if _stands_for_none(raw, begin, len(raw)):
        return None
    if raw[begin : begin + 1] in _CLOSING:
        return begin, matching_bracket(raw, begin, ends)
    return _span(_ITEM.match(raw, begin))


def _span(value: re.Match[bytes] | None) -> tuple[int, int] | None:
    return None if value is None else value.span()


def _kept(raw: bytes, value: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if value is None or _stands_for_none(raw, *value) else value


def _stands_for_none(raw: bytes, begin: int, end: int) -> bool:
    """Tell whether what begins here is no secret: a word of a sentence, a placeholder."""
    stop = _end_of_nothing(raw, begin, end)
    if stop in (0, end):
        return stop > 0
    # "expired." ends a sentence, "no.7f3c" does not.
    return raw[stop] in _DELIMITERS or (
        raw[stop] in b".!?;" and raw[stop + 1 : stop + 2] in (b"", b" ", b"\n", b'"', b"'")
    )


def _is_nothing(raw: bytes, begin: int, end: int) -> bool:
    return _end_of_nothing(raw, begin, end) == end


def _end_of_nothing(raw: bytes, begin: int, end: int) -> int:
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
        # Escaped quotes, as JSON inside JSON has them, and encoded ones: up to the next of the same kind.
        end = raw.find(quote, begin)
    if end < 0:
        end = len(raw)
    return None if begin == end or _is_nothing(raw, begin, end) else (begin, end)


def matching_bracket(raw: bytes, begin: int, ends: _Ends | None = None) -> int:
    """Return the end of what the bracket at `begin` opens; the end of the text where it is not closed."""
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
    """Tell whether a word stands before the key, as in a sentence."""
    return key_start > 1 and raw[key_start - 1] == 32 and raw[key_start - 2 : key_start - 1].isalpha()


def _endings(rules: Iterable[KeyRule]) -> set[tuple[str, ...]]:
    """Return the words in which a key ends that one of the rules may cover."""
    endings = {tuple(phrase.split()) for rule in rules for phrase in rule.words | rule.last | rule.exact}
    if any(rule.glued for rule in rules):
        endings |= {(word,) for word in GLUED_WORDS}
    return endings


__all__ = ["EntryRule", "PairRule", "matching_bracket", "value_at"]
