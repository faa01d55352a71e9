"""What people read is plain English: the two habits that are easy to count stay rare."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import divan_obs_asgi
import pytest_divan_obs

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(inspect.getfile(divan_obs_asgi)).parent

WORD = re.compile(r"[A-Za-z']{2,}")
HABITS = {
    # "Metrics are told", "this tells which": exposed, logged, returned, shown. Names count too: `tell_ready`, `_told`.
    "tell": re.compile(r"(?<![A-Za-z])(?:tell(?:s|ing|er)?|told)(?![A-Za-z])", re.IGNORECASE),
    # "What is no number", "there is none": is not a number, missing. `is None` is code.
    "is no": re.compile(r"\b(?:[Ii]s|[Aa]re|[Ww]as|[Ww]ere|be) (?:no|none)\b"),
}
# Starlette, httpx and structlog have 0.6 to 1.7 forms of "tell".
MOST_IN_10_000_WORDS = 3.0


def texts() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each document, and of each module of the package with its names."""
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        # A changelog quotes old names; the runbooks are in the package, and docs/ has a link to them.
        if path.name != "CHANGELOG.md":
            yield str(path.relative_to(ROOT)), path.read_text()
    for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.md"), Path(inspect.getfile(pytest_divan_obs))]:
        yield str(path.relative_to(PACKAGE.parent)), path.read_text()


@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_is_rare(habit: str) -> None:
    """At most three in 10,000 words of the package and its documentation; the error lists all of them."""
    words, found = 0, []
    for name, text in texts():
        words += len(WORD.findall(text))
        for number, line in enumerate(text.splitlines(), 1):
            found += [f"{name}:{number}: {line.strip()}"] * len(HABITS[habit].findall(line))
    assert words > 100_000
    share = len(found) * 10_000 / words
    assert share <= MOST_IN_10_000_WORDS, f"{share:.1f} in 10,000 words:\n" + "\n".join(sorted(found))


@pytest.mark.parametrize(
    ("habit", "text", "times"),
    [
        ("tell", "New series are told nowhere; this tells of those. `tell_ready`, `_told`, Told", 5),
        ("tell", "the teller, and telling", 2),
        ("tell", "satellite, intelligence, untold, retelling, foretell", 0),
        ("is no", "what is no number; there are none of them, and be no label", 3),
        ("is no", "it is not a number, no one is, is nobody, this noise", 0),
        ("is no", "if value is None: return", 0),
    ],
)
def test_a_habit_is_counted_as_words(habit: str, text: str, times: int) -> None:
    """A part of another word does not count; a part of a name does."""
    assert len(HABITS[habit].findall(text)) == times
