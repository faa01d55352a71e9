"""Explains redactions: which rule redacted what, and which values stayed beside a word that names a secret."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from divan_obs_asgi.redaction.keys import KEY_RULES, KeyIndex, KeyRule, meaningful_words
from divan_obs_asgi.redaction.letters import LOOK_ALIKES
from divan_obs_asgi.redaction.lines import redacted_lines
from divan_obs_asgi.redaction.locales import locale_rules
from divan_obs_asgi.redaction.policy import RedactionPolicy

_MARKER = re.compile(r"\[redacted:(?P<rule>[a-z0-9_ -]{1,64})\]")
_NAME = re.compile(r"[^\W\d_][\w.-]{1,63}")
# A value beside a word: behind a separator, or a word with a digit behind a blank.
_VALUE = re.compile(
    r"[\"'\\]{0,4}(?:\s{0,2}(?:=>|->|:=|[:=])\s{0,2}|[ \t](?:is |was |= )?)[\"'\\]{0,4}"
    r"(?P<value>[^\s\"'\\,;&<>()\[\]{}]{1,64})"
)
_BEHIND_SEPARATOR = re.compile(r"[:=>]")
_MOST_NEAR = 8
_EXAMPLES = 10
_AROUND = 48


@dataclass(frozen=True, slots=True)
class Taken:
    """A redaction: the rule, and the place of the marker in the redacted line."""

    rule: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Near:
    """A value that stayed: the word beside it, the rule of this word, and the place in the redacted line."""

    rule: str
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Explained:
    """A redacted line, what was redacted in it, and what stayed."""

    line: str
    taken: tuple[Taken, ...]
    near: tuple[Near, ...]

    def __str__(self) -> str:
        """Return the line, and a line below it for each redaction and each value that stayed."""
        rows = [self.line.rstrip("\r\n")]
        if self.taken:
            marks = [" "] * max(taken.end for taken in self.taken)
            for taken in self.taken:
                marks[taken.start : taken.end] = "^" * (taken.end - taken.start)
            rows.append("".join(marks).rstrip())
        rows += [f"  redacted by {taken.rule} at column {taken.start + 1}" for taken in self.taken]
        rows += [
            f"  stayed at column {near.start + 1}: {value!r} beside {near.word!r} ({near.rule})"
            for near in self.near
            for value in (self.line[near.start : near.end],)
        ]
        return "\n".join(rows) + "\n"


class Explainer:
    """Redacts lines with a policy, and explains the result."""

    def __init__(self, policy: RedactionPolicy, locales: Iterable[str] = ()) -> None:
        self._policy = policy
        rules = [*KEY_RULES, *(rule for rule in locale_rules(tuple(locales)) if isinstance(rule, KeyRule))]
        # Each word that a key of a rule may end in, in any place of a key here.
        self._index = KeyIndex(KeyRule(rule.name, words=rule.words | rule.last | rule.exact) for rule in rules)

    def explained(self, lines: Iterable[str]) -> Iterator[Explained]:
        """Yield each line redacted and explained."""
        for line in redacted_lines(lines, self._policy):
            taken = tuple(Taken(match["rule"], *match.span()) for match in _MARKER.finditer(line))
            yield Explained(line, taken, tuple(self._near(line)))

    def _near(self, line: str) -> Iterator[Near]:
        found = end = 0
        for name in _NAME.finditer(line):
            if found == _MOST_NEAR:
                return
            if name.start() < end:
                continue
            value = _VALUE.match(line, name.end())
            if value is None:
                continue
            text = value["value"]
            between = line[name.end() : value.start("value")]
            named = _BEHIND_SEPARATOR.search(between) is not None
            if text.startswith("redacted:") or not (named or any(char.isdigit() for char in text)):
                continue
            rule = self._rule_for(name[0])
            if rule is not None and line[max(0, name.start() - 10) : name.start()] != "[redacted:":
                found += 1
                end = value.end()
                yield Near(rule, name[0], *value.span("value"))

    def _rule_for(self, name: str) -> str | None:
        rule = self._index.rule_for(name)
        if rule is None:
            # `token_type`, `max_tokens`: a key that describes a secret only.
            words = meaningful_words(name.translate(LOOK_ALIKES))
            rule = next((known for word in words if (known := self._index.rule_for(word))), None)
        return rule


@dataclass
class Report:
    """Counts of redactions by rule, with some redacted contexts of each."""

    lines: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    near: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, explained: Explained) -> None:
        """Count what was redacted in a line and what stayed."""
        self.lines += 1
        for taken in explained.taken:
            self.taken[taken.rule] += 1
            self._remember(taken.rule, explained.line, taken.start, taken.end)
        for near in explained.near:
            self.near[near.rule] += 1
            self._remember(f"{near.rule} stayed", explained.line, near.start, near.end)

    def __str__(self) -> str:
        """Return the report: first what was redacted, most frequent rules first, then what stayed."""
        rows = [f"{self.taken.total()} redactions and {self.near.total()} values that stayed, in {self.lines} lines"]
        for counts, suffix in ((self.taken, ""), (self.near, " stayed")):
            for rule, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
                rows += ["", f"{count:>8} {rule}{suffix}"]
                rows += [f"         {example}" for example in self._examples[f"{rule}{suffix}"]]
        return "\n".join(rows) + "\n"

    def _remember(self, name: str, line: str, start: int, end: int) -> None:
        known = self._examples.setdefault(name, {})
        if len(known) < _EXAMPLES:
            known[_context(line, start, end)] = None


def _context(line: str, start: int, end: int) -> str:
    """Return a part of a redacted line; a marker at its edge may be cut."""
    begin, stop = max(0, start - _AROUND), min(len(line), end + _AROUND)
    part = line[begin:stop]
    return ("..." if begin else "") + " ".join(part.split()) + ("..." if stop < len(line.rstrip()) else "")


__all__ = ["Explained", "Explainer", "Near", "Report", "Taken"]
