"""Every alert has a runbook with a fixed structure and valid queries."""

from __future__ import annotations

import re
from importlib.resources import files as resources
from pathlib import Path

import pytest

from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.ops_assets.files import files
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.ops_assets.runbook import FOLDER, renamed, runbooks
from divan_obs_asgi.settings import Settings
from tests.ops_assets.held import problems
from tests.ops_assets.pages import HEADINGS, blocks, page
from tests.ops_assets.test_expressions import recorded

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = Parameters()
ACME = Parameters("acme", "shop", 99.5, 95.0, 0.3)
STRANGE = Parameters("acme", 'a "divan_x": job\'s \\1 job="divan"')
CHOICES = {"default": DEFAULT, "acme": ACME, "strange": STRANGE}
README = f"{FOLDER}/README.md"
TEXTS = runbooks(DEFAULT)
NAMES = sorted({alert.name for alert in rules(DEFAULT).alerts})
FLAGS = {flag.name for flag, _ in Settings.flags()}


def test_alerts_and_runbooks_are_the_same_names() -> None:
    """Every alert has a runbook, and every runbook has an alert."""
    assert sorted(TEXTS.keys() - {README}) == [f"{FOLDER}/{name}.md" for name in NAMES]


def test_each_alert_links_to_its_runbook() -> None:
    """The URL in the alert is that of an exported file."""
    parameters = Parameters(runbook_url="https://git.example.com/ops/runbooks/")
    exported = {f"https://git.example.com/ops/{name}" for name in files(parameters)}
    assert {parameters.runbook(name) for name in NAMES} <= exported


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_has_the_fixed_structure(name: str) -> None:
    """It has four sections and three questions, and fits on one screen."""
    text = TEXTS[f"{FOLDER}/{name}.md"]
    read = page(text)
    assert read.title == f"# {name}\n\n"
    assert list(read.sections) == HEADINGS
    assert 15 <= len(text.splitlines()) <= 30
    assert max(map(len, text.splitlines())) <= 140
    assert all(body.strip() for body in read.sections.values())
    assert len(read.questions) == 3
    assert {question.block.language for question in read.questions} <= {"promql", "sh"}
    assert re.findall("^- ", read.sections["What to do"], re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_links_and_flags_of_a_runbook_exist(name: str) -> None:
    """It links to other runbooks, and names existing flags."""
    text = TEXTS[f"{FOLDER}/{name}.md"]
    assert set(re.findall(r"\]\(([^)]+)\)", text)) <= {f"{other}.md" for other in NAMES} - {name}
    flags = set(re.findall(r"\b(?:OBS|OTEL|LOG|HEALTH|REDIS|DATABASE)_[A-Z_]+\b", text))
    assert flags <= FLAGS


@pytest.mark.parametrize("parameters", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("name", NAMES)
def test_each_query_of_a_runbook_fits_the_catalogue(name: str, parameters: Parameters) -> None:
    """Families, labels and types are those of the catalogue, with the configured namespace and job."""
    text = runbooks(parameters)[f"{FOLDER}/{name}.md"]
    queries = [block.code for block in blocks(text) if block.language == "promql"]
    wrong = {query: problems(query, parameters.namespace, recorded(parameters))[0] for query in queries}
    assert {query: found for query, found in wrong.items() if found} == {}
    job = f"job={parameters.job!r}" if parameters is STRANGE else f'job="{parameters.job}"'
    assert parameters is STRANGE or all(job in query for query in queries)


@pytest.mark.parametrize("parameters", [ACME, STRANGE], ids=["acme", "strange"])
def test_the_default_namespace_is_replaced(parameters: Parameters) -> None:
    """Only the names of the library, its command and its loggers still contain divan."""
    for name, text in runbooks(parameters).items():
        bare = text.replace(parameters.job.replace("\\", "\\\\").replace('"', '\\"'), "")
        assert re.findall(r"\w*divan(?!-obs|_obs_asgi)\w*", bare) == [], name


def test_quoted_log_lines_exist_in_the_code() -> None:
    """The quoted words are in the source code."""
    package = Path(str(resources("divan_obs_asgi")))
    written = "".join(path.read_text() for path in package.rglob("*.py"))
    searched = {
        words
        for text in TEXTS.values()
        for words in re.findall(r'"([^"\n]+ [^"\n]+)"', re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL))
    }
    assert "The event loop was blocked for" in searched
    assert {words for words in searched if words not in written} == set()


def test_series_in_the_text_are_in_the_catalogue() -> None:
    """This includes series outside queries."""
    known = {f"divan_{family.name}" for family in FAMILIES}
    for text in TEXTS.values():
        outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        assert set(re.findall(r"\bdivan_(?!obs_asgi\b)\w+", outside)) <= known


RENAMED = [
    ('divan_redis_up{job="divan"}', 'acme_redis_up{job="shop"}'),
    ('divan:http_errors:ratio_rate5m{job="divan",x="y"}', 'acme:http_errors:ratio_rate5m{job="shop",x="y"}'),
    ("divan_obs_build_info and divan_obs_errors_total", "acme_obs_build_info and acme_obs_errors_total"),
    ("the logger `divan_obs_asgi.jobs`, `divan-obs assets`", "the logger `divan_obs_asgi.jobs`, `divan-obs assets`"),
    ("my_divan_thing, divan, divans_", "my_divan_thing, divan, divans_"),
]


@pytest.mark.parametrize(("text", "expected"), RENAMED)
def test_series_and_jobs_are_renamed(text: str, expected: str) -> None:
    """Nothing else is changed."""
    assert renamed(text, ACME) == expected
    assert renamed(text, DEFAULT) == text


def test_a_job_is_escaped_for_promql() -> None:
    """Any job name is one PromQL string, and its content is not renamed."""
    assert renamed('up{job="divan"}', STRANGE) == r'up{job="a \"divan_x\": job' r"'" r's \\1 job=\"divan\""}'


def test_there_is_one_copy() -> None:
    """docs/runbooks links to the folder in the package."""
    docs = ROOT / "docs" / "runbooks"
    assert docs.is_symlink()
    assert docs.resolve() == ROOT / "divan_obs_asgi" / "ops_assets" / FOLDER
    packaged = {page.name for page in (resources("divan_obs_asgi.ops_assets") / FOLDER).iterdir()}
    assert packaged == {page.name for page in docs.iterdir()}
