"""The redaction policy: total, pure, bounded, and fails closed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import lru_cache
from typing import Any, Protocol, Self

import orjson

from divan_obs_asgi.redaction.keys import KeyIndex, KeyRule, phrases
from divan_obs_asgi.redaction.pseudonyms import IpPolicy, Pseudonyms, UserIdPolicy
from divan_obs_asgi.redaction.rules import DEFAULT_RULES, KEEP, FieldRule, Rule, TextRule
from divan_obs_asgi.redaction.text import MARKER, TextRedactor, TextRules, marker
from divan_obs_asgi.redaction.tokens import TokenShape
from divan_obs_asgi.redaction.unsettled import may_read_otherwise
from divan_obs_asgi.redaction.view import UNREAD, Budget
from divan_obs_asgi.redaction.walk import ID, JSON, Limits, Walk

# Rules read so much of a text beyond what is told of it: a secret that begins in what is told ends here, or is hidden
# to its end all the same. The longest that shows by its end only is the user info of a URL.
_MARGIN = 2048
# What else may be a secret that shows by its end, as the first part of a JWT is: a word that goes on where the text is
# cut. It is left out, however long it is.
_OPEN_WORD_BACKWARDS = re.compile(r"[\w.%~-]*")
# What rules may read of a text or a line, counted in characters a rule, for each character that is told.
_BUDGET = 16
_LEAST_BUDGET = 32_768
# Where a traceback may be cut: in front of a frame.
_BETWEEN_FRAMES = re.compile(
    r"^[ |+]*(?:Traceback \(most recent call last\):$|File \"[^\"\n]*\", line [0-9]+)", re.MULTILINE
)
# How often a text is read until what is told of it says no more.
_TIMES = 4
_FRAME_SIGN = 'File "'
# Where the last of them stands in front of a long message: so many are looked at, and so much is told in front of it.
_TRIES = 16
_FRAMES = 768
# A key that goes on behind a cut, of which all lines look like nothing: base64 and hexadecimal digits (RFC 7468).
_KEY_SIGN = re.compile(r"-----(?P<what>BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_OPENS = "-----BEGIN PRIVATE KEY-----\n"
_KEY_SEARCHED = 65_536
_DIGITS = re.compile(r"^[ |+>]*[\w+/=.-]{24,}[ \t\r]*$", re.MULTILINE)
_CUT_TEXT = "[cut:length]"
# So many words may be taken from the end of a text that was cut, and so much of it is read for that: a key and a value.
_WORDS = 4
_TAIL = 160
# How Python begins one.
TRACEBACK = "Traceback (most recent call last):\n"
_UNREADABLE = marker("unreadable")

# Short texts that are met again and again: a look instead of a search.
_SHORT = 80
_MEMORY = 2048
_DEFAULT_LIMITS = Limits()


class Flags(Protocol):
    """The flags that describe a policy (`divan_obs_asgi.settings.RedactionSettings`)."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def allow_keys(self) -> tuple[str, ...]: ...

    @property
    def user_id(self) -> str: ...

    @property
    def ip(self) -> str: ...

    @property
    def hash_key(self) -> str | None: ...


class RedactionPolicy:
    """
    Decides what of a value may leave the process.

    `redact`, `redact_text`, `redact_traceback` and `redact_field` never raise, change nothing and give the same for
    their own result; a marker (`[redacted:email]`) names the rule and never the secret.

    Args:
        rules: those that hold; `DEFAULT_RULES + (mine,)` adds one.
        keys: further sensitive keys, as words: "shoe size" covers `user_shoeSize`.
        allow_keys: keys whose values are told in spite of their name, unless their shape gives them away.
        user_id, ip: what is told under keys like `user_id` and `client_ip`: nothing, a keyed hash, the network, all.
        hash_key: of the hashes.
        limits: how much of a value is told.
        count: called with the name of the rule at every redaction.

    Raises:
        ValueError: for options that cannot work.
    """

    def __init__(
        self,
        rules: Iterable[Rule] = DEFAULT_RULES,
        *,
        keys: Iterable[str] = (),
        allow_keys: Iterable[str] = (),
        user_id: UserIdPolicy = "drop",
        ip: IpPolicy = "drop",
        hash_key: str | None = None,
        limits: Limits = _DEFAULT_LIMITS,
        count: Callable[[str], object] | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "rules": tuple(rules),
            "keys": tuple(keys),
            "allow_keys": tuple(allow_keys),
            "user_id": user_id,
            "ip": ip,
            "hash_key": hash_key,
            "limits": limits,
            "count": count,
        }
        rules = self._options["rules"]
        key_rules = _key_rules(rules, self._options["keys"])
        self._own: tuple[FieldRule, ...] = tuple(
            rule for rule in rules if not isinstance(rule, (KeyRule, TokenShape, TextRule))
        )
        self._pseudonyms = Pseudonyms(user_id, ip, hash_key)
        self._pseudonymous = frozenset(rule.name for rule in self._pseudonyms.rules())
        self._keys = KeyIndex([*self._pseudonyms.rules(), *key_rules], self._options["allow_keys"])
        self._limits = limits
        self._read = limits.text + _MARGIN
        self._budget = max(_LEAST_BUDGET, limits.text * _BUDGET) if limits.text else 0
        self._count = count or _uncounted
        for_texts = tuple(rule for rule in rules if isinstance(rule, (KeyRule, TokenShape, TextRule)))
        self._texts = TextRedactor(
            _text_rules(for_texts, self._options["keys"], self._options["allow_keys"]), self._count
        )
        self._clean: set[str] = set()
        self._plain_keys: set[str] = set()

    @classmethod
    def from_settings(cls, flags: Flags, rules: Iterable[Rule] = DEFAULT_RULES) -> Self:
        """Return the policy that the `OBS_REDACT_*` flags describe, with these rules."""
        options = (
            tuple(flags.keys),
            tuple(flags.allow_keys),
            flags.user_id,
            flags.ip,
            flags.hash_key,
        )
        # The bundles of a process have the same flags as a rule: one policy knows the keys and texts of all of them.
        of_flags: Callable[..., Any] = _of_flags if rules is DEFAULT_RULES else _of_flags.__wrapped__
        policy: Self = of_flags(cls, rules, *options)
        return policy

    def having(self, **options: Any) -> Self:
        """Return the same policy but for the options that are given, as for the constructor."""
        if options.keys() == {"count"}:
            return self._counting(options["count"])
        return type(self)(**{**self._options, **options})

    def _counting(self, count: Callable[[str], object] | None) -> Self:
        """Return the same policy, with the same rules and the same memory of what they have found nothing in."""
        other = copy(self)
        other._options = {**self._options, "count": count}
        other._count = count or _uncounted
        other._texts = self._texts.counting(other._count)
        return other

    def redact(self, value: object) -> JSON:
        """Return `value` as strict JSON without secrets, cut to bounded size."""
        try:
            return self._walk().value(value, self._limits.depth)
        except Exception:
            # A `__str__` that raises, a mapping that lies about itself: nothing of it may leave.
            return _UNREADABLE

    def redact_record(self, record: Mapping[str, object]) -> dict[str, JSON]:
        """Return the fields of a line or a span: as `redact`, but with all of them, however many there are."""
        try:
            told = self._walk().mapping(record, self._limits.depth, len(record))
            return told if isinstance(told, dict) else {}
        except Exception:
            return {"redacted": _UNREADABLE}

    def line_budget(self) -> Budget | None:
        """Return what rules may read of all texts of one log line together, for the methods below."""
        return Budget(self._budget) if self._budget else None

    def redact_text(self, text: str, budget: Budget | None = None, limit: int = 0) -> str:
        """
        Return `text` without secrets, cut to bounded length.

        Args:
            budget: of the line, as from `line_budget`.
            limit: characters that are told, where these are fewer than the policy tells.
        """
        try:
            told = self._text(text, budget)
            return self._shortened(told, limit) if 0 < limit < len(told) else told
        except Exception:
            return _UNREADABLE

    def redact_traceback(self, text: str, budget: Budget | None = None) -> str:
        """
        Return a traceback without secrets.

        Of a long one the last frames are told, and the message behind them to bounded length.
        """
        try:
            return self._traceback(text, budget)
        except Exception:
            return _UNREADABLE

    def redact_field(self, key: str, value: object) -> JSON:
        """Return what may be told of `value` under `key`."""
        try:
            return self._walk().value(self._field(key, value), self._limits.depth)
        except Exception:
            return _UNREADABLE

    def field(self, key: str, value: object) -> object:
        """Return `value`, or what stands in its place under `key`; of itself nothing is redacted."""
        try:
            return self._field(key, value)
        except Exception:
            return _UNREADABLE

    def redact_fields(self, fields: Mapping[Any, object], room: int, budget: Budget | None = None) -> dict[str, JSON]:
        """
        Return what may be told of the fields of a log line: as `redact_field` each, and bounded all together.

        Args:
            room: characters of keys and values that are read.
            budget: of the line, as from `line_budget`.
        """
        walk = self._walk(room, budget)
        told: dict[str, JSON] = {}
        for key, value in fields.items():
            try:
                name = walk.text(key if isinstance(key, str) else type(key).__name__)
                told[name] = walk.value(self._field(name, value), self._limits.depth)
            except Exception:
                told["redacted"] = _UNREADABLE
        return told

    def pseudonym(self, text: str) -> str:
        """Return a keyed hash of an id that is a credential: it joins what belongs together, and opens nothing."""
        return self._pseudonyms.hashed(text)

    def _walk(self, room: int = 0, budget: Budget | None = None) -> Walk:
        room = room or self._limits.total
        return Walk(
            self._limits, self._text, self._field, self._plain_keys, self._clean, budget or self.line_budget, room
        )

    def _field(self, key: str, value: object) -> object:
        for rule in self._own:
            try:
                told = rule(key, value)
            except Exception:
                return marker("rule")
            if told is not KEEP:
                return told
        name = self._keys.rule_for(key)
        if name is None and not self._own and key in self._clean:
            _remember(self._plain_keys, key)
        if name is None or value is None or isinstance(value, bool) or value == "":
            return value
        if isinstance(value, str) and MARKER.fullmatch(value):
            return value
        if name in self._pseudonymous:
            pseudonym = self._pseudonyms.told(name, value)
            if pseudonym is not None:
                return pseudonym
        self._count(name)
        return marker(name)

    def _text(self, text: str, budget: Budget | None = None) -> str:
        short = len(text) <= _SHORT
        if short and (text in self._clean or ID.fullmatch(text)):
            return text
        told = self._found(text, budget)
        if told is not text and self._limits.text and ("%" in text or may_read_otherwise(told)):
            told = self._settled(told, budget)
        if short and told == text:
            _remember(self._clean, text)
        return told

    def _settled(self, told: str, budget: Budget | None) -> str:
        """
        Read what is told again, until nothing more is found: what has lost its neighbour may be a secret now.

        Not where texts are read without limits: how often it takes grows with the text.
        """
        for _ in range(_TIMES):
            again = self._found(told, budget)
            if again == told:
                return told
            told = again
        return marker(UNREAD)

    def _found(self, text: str, budget: Budget | None) -> str:
        if budget is None and self._budget:
            budget = Budget(self._budget)
        limit = self._limits.text
        cut = 0 < limit < len(text) - _MARGIN
        if cut:
            text = text[: self._read]
        text = _encodable(text)
        if text[:1] in '[{"' and "\\u00" in text:
            text = self._unescaped(text)
        # Redact first, cut after: a secret that was cut would no longer look like one.
        if cut:
            return self._shortened(self._texts.replaced(text, _safe_end(text), budget))
        text = self._texts.replaced(text, None, budget)
        return text if not limit or len(text) <= limit else self._shortened(text)

    def _traceback(self, text: str, budget: Budget | None) -> str:
        limit = self._limits.text
        if not limit or len(text) <= limit:
            return self._text(text, budget)
        if budget is None:
            budget = Budget(self._budget)
        head = f"{TRACEBACK if text.startswith(TRACEBACK) else ''}{_CUT_TEXT}\n"
        room = limit - len(head)
        if room < _SHORT:
            return self._text(text, budget)
        frame = _BETWEEN_FRAMES.search(text, len(text) - room)
        if frame is not None:
            since, until, stop = frame.start(), None, len(text)
        else:
            # It ends in a long message: the frames in front of it, its type and its beginning are told.
            last = _last_frame(text, len(text) - room)
            if last < 0:
                return self._text(text, budget)
            frame = _BETWEEN_FRAMES.search(text, max(0, last - _FRAMES))
            assert frame is not None
            since, stop = frame.start(), min(len(text), frame.start() + self._read)
            until = None if stop == len(text) else stop
        if not since:
            head = ""
        # What begins in front of the cut, as a password of several lines, is hidden to its end.
        start = max(0, since - _MARGIN)
        read = _encodable(text[start:stop])
        if until is not None:
            until = _safe_end(read)
        since -= start
        if _key_is_open(text, start):
            read, since = _KEY_OPENS + read, since + len(_KEY_OPENS)
            until = None if until is None else until + len(_KEY_OPENS)
        told = _DIGITS.sub(_CUT_TEXT, self._texts.replaced(read, until, budget, since))
        if until is not None or len(told) > room:
            told = self._shortened(told, room)
        return head + told

    def _shortened(self, text: str, limit: int = 0) -> str:
        room = (limit or self._limits.text) - len(_CUT_TEXT)
        for _ in range(_WORDS):
            end = max(0, room)
            # Half a marker would be none.
            bracket = text.rfind("[", max(0, end - _SHORT), end)
            if bracket >= 0 and "]" not in text[bracket:end]:
                end = bracket
            # Half a word may be a secret where the whole was none: "password: exp" of "password: expired".
            if not end or not self._texts.ends_in_secret(text[max(0, end - _TAIL) : end], _CUT_TEXT):
                break
            room = _word_start(text, end)
        return text[:end] + _CUT_TEXT

    def _unescaped(self, text: str) -> str:
        """Return JSON without its escapes for what is ASCII, where secrets hide from every pattern."""
        try:
            return orjson.dumps(orjson.loads(text)).decode()
        except ValueError:
            return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


@lru_cache(maxsize=16)
def _of_flags(
    cls: Callable[..., RedactionPolicy],
    rules: tuple[Rule, ...],
    keys: tuple[str, ...],
    allow_keys: tuple[str, ...],
    user_id: UserIdPolicy,
    ip: IpPolicy,
    hash_key: str | None,
) -> RedactionPolicy:
    return cls(rules, keys=keys, allow_keys=allow_keys, user_id=user_id, ip=ip, hash_key=hash_key)


def _key_rules(rules: Iterable[Rule], keys: tuple[str, ...]) -> list[KeyRule]:
    key_rules = [rule for rule in rules if isinstance(rule, KeyRule)]
    own = phrases(",".join(keys))
    return [*key_rules, KeyRule("key", words=own, strict=True)] if own else key_rules


# Each sink has a policy that counts for it, and all of them have the same rules.
@lru_cache(maxsize=16)
def _text_rules(
    rules: tuple[KeyRule | TokenShape | TextRule, ...], keys: tuple[str, ...], allow_keys: tuple[str, ...]
) -> TextRules:
    key_rules = _key_rules(rules, keys)
    shapes = [rule for rule in rules if isinstance(rule, TokenShape)]
    text_rules = [rule for rule in rules if isinstance(rule, TextRule)]
    return TextRules(KeyIndex(key_rules, allow_keys), key_rules, shapes, text_rules)


_ESCAPE = re.compile(r"\\u00([2-7][0-9a-fA-F])")


def _word_start(text: str, end: int) -> int:
    """Return where the blank before the last word in front of `end` stands; somewhat before, where that is long."""
    for start in range(end - 2, max(0, end - _TAIL), -1):
        if text[start].isspace():
            return start
    return max(0, end - _TAIL)


def _encodable(text: str) -> str:
    """Return text that JSON can have: UTF-8, which a lone surrogate is not."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _safe_end(text: str) -> int:
    """Return up to where a text may be told that was cut at its end: a secret that begins in front of it is whole."""
    word = _OPEN_WORD_BACKWARDS.match(text[::-1])
    assert word is not None
    return max(0, min(len(text) - _MARGIN, len(text) - word.end()))


def _last_frame(text: str, stop: int) -> int:
    """Return where the last line begins in front of `stop` that is a frame of a traceback; -1 where none is."""
    for _ in range(_TRIES):
        stop = text.rfind(_FRAME_SIGN, 0, stop)
        if stop < 0:
            break
        begin = text.rfind("\n", max(0, stop - _SHORT), stop) + 1
        if begin and _BETWEEN_FRAMES.match(text, begin):
            return begin
    return -1


def _key_is_open(text: str, at: int) -> bool:
    """Tell whether a private key begins in front of `at` that has not ended there."""
    signs = [match["what"] for match in _KEY_SIGN.finditer(text, max(0, at - _KEY_SEARCHED), at)]
    return signs[-1:] == ["BEGIN"]


def _remember(known: set[str], text: str) -> None:
    if len(known) >= _MEMORY:
        known.clear()
    known.add(text)


def _uncounted(rule: str) -> None:
    """Count for nobody."""


__all__ = ["TRACEBACK", "RedactionPolicy"]
