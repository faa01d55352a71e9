# ruff: noqa: E501 - a pattern is one line.
"""Values that a sentence or a command names: `'...' is not valid for password`, `setx DB_PASSWORD ...`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from divan_obs_asgi.redaction.keys import KeyIndex, KeyRule, is_about, split_words, words
from divan_obs_asgi.redaction.pairs import key_sign
from divan_obs_asgi.redaction.placeholders import is_placeholder, is_whole_placeholder
from divan_obs_asgi.redaction.quotations import opening_quote
from divan_obs_asgi.redaction.values import SENTENCES
from divan_obs_asgi.redaction.view import UNREAD, Found, View

_LONGEST = 1024
_NOUN = (
    "(?:field|key|param(?:eter)?|property|attribute|variable|argument|column|option|setting|header|input|flag|entry|name"
    "|member|element|environment variable|env var|env)"
)
_ARTICLE = r"(?:(?:an?|the|your|my|its|this|new|old|current) ){0,2}"
_OF = r"(?:for|as|in|to|of|into|under|on)"
# Words before what holds the field: "object 'user' on field 'password'".
_HOLDER = re.compile(
    rb"(?:class|document|entity|form|model|object|relation|resource|schema|struct|table|type|view) ?[=:]?\\{0,7}[\"'`]\Z",
    re.IGNORECASE,
)
_LONGEST_HOLDER = 24
_JUDGED = r"(?:valid|invalid|correct|incorrect|wrong|weak|acceptable|allowed|accepted|known|strong)"
_VERBS = (
    "(?:given|used|passed|set|sent|provided|supplied|assigned|stored|bound|found|received|entered|specified|rejected"
    "|accepted|allowed|configured|value|mapped|written)"
)
# The words between a value and its name.
_BETWEEN = (
    rf" (?:(?:(?:is|was|were|be|has been|had been|are) )?(?:not )?{_ARTICLE}(?:{_JUDGED} )?(?:{_VERBS} ){{0,2}}{_OF} "
    rf"{_ARTICLE}(?:(?P<noun>{_NOUN}):? )?"
    rf"|(?:is|was) (?:not )?{_ARTICLE}{_JUDGED} |\((?P<inside>{_NOUN}:? ?)?)"
)
_NAME = r"\\{0,7}[\"'`]?(?P<name>[A-Za-z_$][\w.$-]{0,63})(?: (?P<next>[A-Za-z]{1,24}))?"
_AFTER_QUOTE = re.compile((r"(?P<quote>\\{0,7}[\"'`])\)?" + _BETWEEN + _NAME).encode(), re.IGNORECASE)
# Words before a value without quotes, which must look like a secret then.
_AFTER_WORD = re.compile(
    (r"(?:value|input|got|received) (?P<value>[^\s\"'`()]{1,256})" + _BETWEEN + _NAME).encode(), re.IGNORECASE
)
_LETTER_AND_DIGIT = re.compile(rb"(?=[^\s]*[A-Za-z])(?=[^\s]*\d)[^\s]{6,}")
# Words after a name which say that the value is something else: "'bcrypt' for password hashing".
_OTHER = words(
    """
    authentication encryption endpoint endpoints generation hasher hashing lookup refresh request requests rotation
    storage
    """
)
# The names of tokens in compilers are words and signs.
_AMBIGUOUS = frozenset(("token", "tokens", "key", "keys"))
_ALNUM = re.compile(rb"[^\n]*[A-Za-z0-9]")
_TYPES = frozenset(b"string number integer undefined null nan boolean object array int str float none".split())

# Commands and notations that set a variable. Its name precedes the value.
_SETTER = (
    r"(?:setx|setenv|ENV|(?:configure|config|secret|env|kv) set|config (?:--\w{1,16} ){1,3}|config (?:--add )?)"
    r" ?(?:--?[a-z-]{1,32} ){0,3}"
)
_SET = re.compile(
    rf"(?<![\w-])(?:{_SETTER}(?P<key>[\w./:@-]{{1,128}}) +(?P<quote>[\"'])?(?P<value>(?(quote)[^\"'\n]+|[^\s\"'=][^\s\"']*))"
    r"|(?:set-env|set-output|setvariable|add-secret) (?:name|variable)=(?P<workflow>[\w.-]{1,128})[^\[\]\n]{0,64}\]"
    r"(?P<result>[^\r\n]+))".encode()
)
# A change: `password = "..." -> "..."`.
_CHANGE = re.compile(
    rb"(?P<key>[A-Za-z_][\w.-]{0,127})\\{0,7}[\"']?\s{0,16}[=:] ?\\{0,7}\"[^\"\n]{0,1024}\" ?(?:->|=>) ?\\{0,7}\"(?P<value>[^\"\n\\]+)"
)


class MentionRule:
    """Finds values that precede or follow their name in words, with the same index that redacts fields."""

    def __init__(self, index: KeyIndex, rules: Iterable[KeyRule]) -> None:
        self._index = index
        self.sign = (
            rf"(?i)(?:[\"'`]\)?|(?:value|input|got|received) [^\s\"'`]+) (?:[a-z]+ )*(?:\(?(?:{_NOUN}:? ?)?)"
            r"\\*[\"'`]?[\w.$-]*"
            + key_sign(rules).removeprefix("(?i)")
            + r"|(?:-env|-output|setvariable|-secret) (?:name|variable)="
            r"|\b(?:setx|setenv|env|(?:configure|config|secret|env|kv) set|config) |\" ?[-=]> ?\\*\""
        )

    def find(self, view: View) -> Iterator[Found]:
        """Return the values of sensitive names."""
        raw = view.raw
        yield from self._before_names(view)
        for match in _SET.finditer(raw):
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            key, group = (match["key"], "value") if match["key"] is not None else (match["workflow"], "result")
            rule = self._index.rule_for(key.decode())
            if rule is not None and not is_placeholder(raw, *match.span(group)):
                yield *match.span(group), rule
        for match in _CHANGE.finditer(raw):
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            rule = self._index.rule_for(match["key"].decode())
            if rule is not None and not is_whole_placeholder(raw, *match.span("value")):
                yield *match.span("value"), rule

    def _before_names(self, view: View) -> Iterator[Found]:
        raw, done = view.raw, 0
        for match in _AFTER_QUOTE.finditer(raw):
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            end = match.end("quote")
            begin = opening_quote(raw, max(done, end - _LONGEST), end)
            if begin < 0 or _HOLDER.search(raw, max(0, begin - _LONGEST_HOLDER), begin):
                continue
            place = begin, match.start("quote")
            rule = self._rule_of(match, raw[slice(*place)])
            if rule is not None and not is_whole_placeholder(raw, *place):
                done = end
                yield *place, rule
        for match in _AFTER_WORD.finditer(raw):
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            if _LETTER_AND_DIGIT.fullmatch(match["value"]) and (rule := self._rule_of(match, match["value"])):
                yield *match.span("value"), rule

    def _rule_of(self, match: re.Match[bytes], value: bytes) -> str | None:
        if not _ALNUM.match(value) or value.lower() in _TYPES or b"[redacted:" in value:
            return None
        name, following = match["name"].decode(), (match["next"] or b"").decode()
        both = f"{name} {following}"
        both_words = split_words(both)
        # "for password rejected" goes on with a verb, "for password length" with a noun.
        if following.lower() in _OTHER or (is_about(both_words) and not following.lower().endswith("ed")):
            return None
        rule = (self._index.rule_for(both) if following else None) or self._index.rule_for(name)
        explicit = match["noun"] is not None or match["inside"] is not None
        if rule is None or (rule in SENTENCES and not explicit):
            return None
        if not explicit and split_words(name)[-1] in _AMBIGUOUS and not _LETTER_AND_DIGIT.match(value):
            return None
        return rule


__all__ = ["MentionRule"]
