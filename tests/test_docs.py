"""The documents say what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import anyio
from click.testing import CliRunner

import divan_obs_asgi as obs
from divan_obs_asgi import cli
from divan_obs_asgi.redaction import DEFAULT_RULES, KeyRule, TokenShape
from divan_obs_asgi.testing import CONTRACT
from tests.redaction import score

ROOT = Path(__file__).resolve().parents[1]


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)


def redacted(lines: str) -> str:
    result = CliRunner().invoke(cli.main, ["redact"], input=lines)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_of_flags_is_the_declarations() -> None:
    """`python tools/flags_table.py` has been run since a flag was changed."""
    tool = runpy.run_path(str(ROOT / "tools" / "flags_table.py"))
    readme = (ROOT / "README.md").read_text()
    assert tool["written_into"](readme) == readme


def test_links_lead_somewhere() -> None:
    """Every relative link of a document names a file that is there."""
    broken = [
        f"{path.name}: {target}"
        for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
        for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_documented_middleware_keeps_the_contract() -> None:
    """What docs/middleware.md shows can be copied as it stands."""
    code = blocks("middleware.md", "python")[0]
    shown: dict[str, type[obs.RecordMiddleware]] = {}
    exec(code, shown)
    bundle = obs.Observability.from_env({"OBS_ENV": "prod"})
    for check in CONTRACT:
        anyio.run(check, lambda app: shown["SlowRequestMiddleware"](app, bundle))


def test_the_map_has_a_row_for_everything_that_is_exposed() -> None:
    """Flags and metric families of the code stand in docs/spec-map.md or in the README."""
    told = (ROOT / "docs" / "spec-map.md").read_text() + (ROOT / "README.md").read_text()
    from divan_obs_asgi.metrics import FAMILIES

    missing = [family.name for family in FAMILIES if f"divan_{family.name}" not in told]
    assert missing == []


def test_the_documented_command_prints_what_is_shown() -> None:
    """Who pastes the example of docs/redaction.md or of the README into a shell reads what stands there."""
    given, told, *_ = blocks("redaction.md", "text")
    assert redacted(given) == told
    example = re.search(r"^    \$ echo '(.*)' \| divan-obs redact\n    (.*)$", (ROOT / "README.md").read_text(), re.M)
    assert example is not None
    assert redacted(f"{example[1]}\n") == f"{example[2]}\n"


def test_the_documented_redactions_happen() -> None:
    """The examples of docs/redaction.md run one after the other, and what they assert holds."""
    shown: dict[str, object] = {}
    for code in blocks("redaction.md", "python"):
        exec(code, shown)


def test_every_marker_is_documented() -> None:
    """A marker that somebody finds in a log can be looked up in docs/redaction.md."""
    told = (ROOT / "docs" / "redaction.md").read_text()
    names = {rule.name for rule in DEFAULT_RULES if isinstance(rule, (KeyRule, TokenShape))}
    assert sorted(name for name in names if f"`{name}`" not in told) == []


def test_the_documented_score_is_the_present_one() -> None:
    """The figures in docs/redaction.md are those of the corpus that is there."""
    *_, total = score.table(score.scores())
    assert blocks("redaction.md", "text")[-1] == f"{total}\n"
