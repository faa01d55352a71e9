"""The redaction policy: total, pure, bounded, and fails closed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import lru_cache
from typing import Any, Protocol, Self

import orjson

from divan_obs_asgi.redaction.harmless import is_harmless_value
from divan_obs_asgi.redaction.keys import POSITION, KeyIndex, KeyRule, phrases
from divan_obs_asgi.redaction.locales import DEFAULT_LOCALES, locale_rules
from divan_obs_asgi.redaction.places import is_place, names_place
from divan_obs_asgi.redaction.pseudonyms import IpPolicy, Pseudonyms, UserIdPolicy
from divan_obs_asgi.redaction.rules import DEFAULT_RULES, KEEP, FieldRule, Rule, TextRule
from divan_obs_asgi.redaction.siblings import is_input, rule_beside
from divan_obs_asgi.redaction.text import MARKER, TextRedactor, TextRules, marker
from divan_obs_asgi.redaction.tokens import TokenShape
from divan_obs_asgi.redaction.unsettled import needs_another_pass
from divan_obs_asgi.redaction.view import UNREAD, Budget
from divan_obs_asgi.redaction.walk import ID, JSON, Limits, Walk

# Rules read this much of a text beyond the result: a secret that begins in the result ends here, or is hidden to its
# end in any case. The longest secret that can be recognised by its end only is the user info of a URL.
_MARGIN = 2048
# A word that continues across the cut may be a secret that is recognised by its end, such as the first part of a JWT.
# It is left out, whatever its length.
_OPEN_WORD_BACKWARDS = re.compile(r"[\w.%~-]*")
# The budget of a text or a line: characters that rules may read, for each character of the result.
_BUDGET = 16
_LEAST_BUDGET = 32_768
# A traceback may be cut before a frame.
_BETWEEN_FRAMES = re.compile(
    r"^[ |+]*(?:Traceback \(most recent call last\):$|File \"[^\"\n]*\", line [0-9]+)", re.MULTILINE
)
# The maximum number of passes over a text until the result does not change any more.
_TIMES = 4
_FRAME_SIGN = 'File "'
# If a long message follows the last frame: candidates for that frame to check, and characters to keep before it.
_TRIES = 16
_FRAMES = 768
# A private key that continues after a cut. Its lines have base64 or hexadecimal digits only (RFC 7468).
_KEY_SIGN = re.compile(r"-----(?P<what>BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_OPENS = "-----BEGIN PRIVATE KEY-----\n"
_KEY_SEARCHED = 65_536
_DIGITS = re.compile(r"^[ |+>]*[\w+/=.-]{24,}[ \t\r]*$", re.MULTILINE)
_CUT_TEXT = "[cut:length]"
# Words that may be removed from the end of a cut text, and characters that are read for this: a key and a value.
_WORDS = 4
_TAIL = 160
# The first line of a traceback.
TRACEBACK = "Traceback (most recent call last):\n"
_UNREADABLE = marker("unreadable")

# Short texts that occur again and again: a cache replaces the search.
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

    @property
    def locales(self) -> tuple[str, ...]: ...


class RedactionPolicy:
    """
    Decides which parts of a value may leave the process.

    `redact`, `redact_text`, `redact_traceback` and `redact_field` never raise and never change their argument. Their
    own results stay the same. A marker (`[redacted:email]`) names the rule and never the secret.

    Args:
        rules: the rules; `DEFAULT_RULES + (mine,)` adds one.
        keys: further sensitive keys, as words: "shoe size" matches `user_shoeSize`.
        allow_keys: keys whose values are kept in spite of their names, unless a value is a secret by its form.
        user_id: the policy for keys like `user_id`: drop, keyed hash or keep.
        ip: the policy for keys like `client_ip`: drop, keyed hash, network or keep.
        hash_key: the key of the hashes.
        locales: names of `divan_obs_asgi.redaction.locales.LOCALES`, whose rules are added.
        limits: the limits of a result.
        count: called with the name of the rule at every redaction.

    Raises:
        ValueError: for invalid options.
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
        locales: Iterable[str] = DEFAULT_LOCALES,
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
            "locales": tuple(locales),
            "limits": limits,
            "count": count,
        }
        rules = (*self._options["rules"], *locale_rules(self._options["locales"]))
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
            tuple(flags.locales),
        )
        # The bundles of a process usually have the same flags, so one policy caches the keys and texts of all.
        of_flags: Callable[..., Any] = _of_flags if rules is DEFAULT_RULES else _of_flags.__wrapped__
        policy: Self = of_flags(cls, rules, *options)
        return policy

    def having(self, **options: Any) -> Self:
        """Return a copy of this policy with changed options, as for the constructor."""
        if options.keys() == {"count"}:
            return self._counting(options["count"])
        return type(self)(**{**self._options, **options})

    def _counting(self, count: Callable[[str], object] | None) -> Self:
        """Return a copy of this policy with the same rules and the same cache of texts without secrets."""
        other = copy(self)
        other._options = {**self._options, "count": count}
        other._count = count or _uncounted
        other._texts = self._texts.counting(other._count)
        return other

    def redact(self, value: object) -> JSON:
        """Return `value` as strict JSON without secrets, cut to a limited size."""
        try:
            return self._walk().value(value, self._limits.depth)
        except Exception:
            # For example a `__str__` that raises, or an inconsistent mapping. Nothing of it may leave the process.
            return _UNREADABLE

    def redact_record(self, record: Mapping[str, object]) -> dict[str, JSON]:
        """Return the fields of a line or a span as `redact` does, but without a limit on their number."""
        try:
            redacted = self._walk().mapping(record, self._limits.depth, len(record))
            return redacted if isinstance(redacted, dict) else {}
        except Exception:
            return {"redacted": _UNREADABLE}

    def line_budget(self) -> Budget | None:
        """Return a budget for all texts of one log line together, for the methods below."""
        return Budget(self._budget) if self._budget else None

    def redact_text(self, text: str, budget: Budget | None = None, limit: int = 0) -> str:
        """
        Return `text` without secrets, cut to a limited length.

        Args:
            budget: the budget of the line, from `line_budget`.
            limit: maximum characters of the result, if fewer than the limit of the policy.
        """
        try:
            redacted = self._text(text, budget)
            return self._shortened(redacted, limit) if 0 < limit < len(redacted) else redacted
        except Exception:
            return _UNREADABLE

    def redact_traceback(self, text: str, budget: Budget | None = None) -> str:
        """
        Return a traceback without secrets.

        A long traceback keeps its last frames, and the message after them up to a limited length.
        """
        try:
            return self._traceback(text, budget)
        except Exception:
            return _UNREADABLE

    def redact_field(self, key: str, value: object) -> JSON:
        """Return `value` redacted as the value of `key`."""
        try:
            return self._walk().value(self._field(key, value), self._limits.depth)
        except Exception:
            return _UNREADABLE

    def field(self, key: str, value: object) -> object:
        """Return `value`, or its replacement under `key`; the value itself is not redacted."""
        try:
            return self._field(key, value)
        except Exception:
            return _UNREADABLE

    def redact_fields(self, fields: Mapping[Any, object], room: int, budget: Budget | None = None) -> dict[str, JSON]:
        """
        Return the fields of a log line, each as by `redact_field`, with a common limit.

        Args:
            room: maximum characters of keys and values that are read.
            budget: the budget of the line, from `line_budget`.
        """
        walk = self._walk(room, budget)
        redacted: dict[str, JSON] = {}
        for key, value in fields.items():
            try:
                name = walk.text(key if isinstance(key, str) else type(key).__name__)
                redacted[name] = walk.value(self._field(name, value), self._limits.depth)
            except Exception:
                redacted["redacted"] = _UNREADABLE
        return redacted

    def pseudonym(self, text: str) -> str:
        """Return a keyed hash of an id that is a credential: the hash identifies the id, but gives no access."""
        return self._pseudonyms.hashed(text)

    def _walk(self, room: int = 0, budget: Budget | None = None) -> Walk:
        room = room or self._limits.total
        return Walk(
            self._limits,
            self._text,
            self._field,
            self._beside,
            self._plain_keys,
            self._clean,
            budget or self.line_budget,
            room,
        )

    def _beside(self, key: str, value: Mapping[Any, object]) -> object:
        """Return the value of `key`, or its replacement if other fields of its object call it a secret."""
        item = value[key]
        name = rule_beside(self._keys, value, key)
        if name is None or (isinstance(item, str) and MARKER.fullmatch(item)):
            return item
        if name in self._pseudonymous:
            pseudonym = self._pseudonyms.replacement(name, item)
            if pseudonym is not None:
                return pseudonym
        self._count(name)
        return marker(name)

    def _field(self, key: str, value: object) -> object:
        for rule in self._own:
            try:
                replacement = rule(key, value)
            except Exception:
                return marker("rule")
            if replacement is not KEEP:
                return replacement
        name = self._keys.rule_for(key)
        if name is None:
            if is_place(key, value):
                name = POSITION
            elif not self._own and key in self._clean and not is_input(key) and not names_place(key):
                _remember(self._plain_keys, key)
        if name is None or value is None or isinstance(value, bool) or value == "":
            return value
        if is_harmless_value(key, name, value):
            return value
        if isinstance(value, str) and MARKER.fullmatch(value):
            return value
        if name in self._pseudonymous:
            pseudonym = self._pseudonyms.replacement(name, value)
            if pseudonym is not None:
                return pseudonym
        self._count(name)
        return marker(name)

    def _text(self, text: str, budget: Budget | None = None) -> str:
        short = len(text) <= _SHORT
        if short and (text in self._clean or ID.fullmatch(text)):
            return text
        redacted = self._one_pass(text, budget)
        if redacted is not text and self._limits.text and ("%" in text or needs_another_pass(redacted)):
            redacted = self._further_passes(redacted, budget)
        if short and redacted == text:
            _remember(self._clean, text)
        return redacted

    def _further_passes(self, redacted: str, budget: Budget | None) -> str:
        """
        Read the result again until nothing more is found: next to a marker, other text may now look like a secret.

        This is not done for texts without limits, because the number of passes grows with the text.
        """
        for _ in range(_TIMES):
            again = self._one_pass(redacted, budget)
            if again == redacted:
                return redacted
            redacted = again
        return marker(UNREAD)

    def _one_pass(self, text: str, budget: Budget | None) -> str:
        if budget is None and self._budget:
            budget = Budget(self._budget)
        limit = self._limits.text
        cut = 0 < limit < len(text) - _MARGIN
        if cut:
            text = text[: self._read]
        text = _encodable(text)
        if text[:1] in '[{"' and "\\u00" in text:
            text = self._unescaped(text)
        # Redact first, then cut: a secret that was cut would not look like a secret.
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
            # The traceback ends in a long message. The result has the frames before it, the type, and its beginning.
            last = _last_frame(text, len(text) - room)
            if last < 0:
                return self._text(text, budget)
            frame = _BETWEEN_FRAMES.search(text, max(0, last - _FRAMES))
            assert frame is not None
            since, stop = frame.start(), min(len(text), frame.start() + self._read)
            until = None if stop == len(text) else stop
        if not since:
            head = ""
        # A secret that begins before the cut, such as a password of several lines, is hidden to its end.
        start = max(0, since - _MARGIN)
        read = _encodable(text[start:stop])
        if until is not None:
            until = _safe_end(read)
        since -= start
        if _key_is_open(text, start):
            read, since = _KEY_OPENS + read, since + len(_KEY_OPENS)
            until = None if until is None else until + len(_KEY_OPENS)
        redacted = _DIGITS.sub(_CUT_TEXT, self._texts.replaced(read, until, budget, since))
        if until is not None or len(redacted) > room:
            redacted = self._shortened(redacted, room)
        return head + redacted

    def _shortened(self, text: str, limit: int = 0) -> str:
        room = (limit or self._limits.text) - len(_CUT_TEXT)
        for _ in range(_WORDS):
            end = max(0, room)
            # A marker must not be cut in half.
            bracket = text.rfind("[", max(0, end - _SHORT), end)
            if bracket >= 0 and "]" not in text[bracket:end]:
                end = bracket
            # Half a word may look like a secret although the whole word does not: "password: exp" of "password:
            # expired".
            if not end or not self._texts.ends_in_secret(text[max(0, end - _TAIL) : end], _CUT_TEXT):
                break
            room = _word_start(text, end)
        return text[:end] + _CUT_TEXT

    def _unescaped(self, text: str) -> str:
        """Return JSON without escapes of ASCII characters, which would hide secrets from all patterns."""
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
    locales: tuple[str, ...],
) -> RedactionPolicy:
    return cls(rules, keys=keys, allow_keys=allow_keys, user_id=user_id, ip=ip, hash_key=hash_key, locales=locales)


def _key_rules(rules: Iterable[Rule], keys: tuple[str, ...]) -> list[KeyRule]:
    key_rules = [rule for rule in rules if isinstance(rule, KeyRule)]
    own = phrases(",".join(keys))
    return [*key_rules, KeyRule("key", words=own, strict=True)] if own else key_rules


# Cached: each sink has a policy with its own counter, but all of them have the same rules.
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
    """Return the position of the blank before the last word that ends before `end`; less far back for a long word."""
    for start in range(end - 2, max(0, end - _TAIL), -1):
        if text[start].isspace():
            return start
    return max(0, end - _TAIL)


def _encodable(text: str) -> str:
    """Return a text that can be encoded as UTF-8, which JSON needs, without lone surrogates."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _safe_end(text: str) -> int:
    """Return the end of the safe part of a cut text: a secret that begins in that part is complete in the text."""
    word = _OPEN_WORD_BACKWARDS.match(text[::-1])
    assert word is not None
    return max(0, min(len(text) - _MARGIN, len(text) - word.end()))


def _last_frame(text: str, stop: int) -> int:
    """Return the beginning of the last line before `stop` that is a frame of a traceback; -1 if there is none."""
    for _ in range(_TRIES):
        stop = text.rfind(_FRAME_SIGN, 0, stop)
        if stop < 0:
            break
        begin = text.rfind("\n", max(0, stop - _SHORT), stop) + 1
        if begin and _BETWEEN_FRAMES.match(text, begin):
            return begin
    return -1


def _key_is_open(text: str, at: int) -> bool:
    """Return whether a private key begins before `at` and has not ended there."""
    signs = [match["what"] for match in _KEY_SIGN.finditer(text, max(0, at - _KEY_SEARCHED), at)]
    return signs[-1:] == ["BEGIN"]


def _remember(known: set[str], text: str) -> None:
    if len(known) >= _MEMORY:
        known.clear()
    known.add(text)


def _uncounted(rule: str) -> None:
    """Do nothing: the policy has no counter."""


__all__ = ["TRACEBACK", "RedactionPolicy"]
