"""The documentation agrees with the code."""

from __future__ import annotations

import ast
import inspect
import io
import re
import runpy
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette

import divan_obs_asgi as obs
from divan_obs_asgi import ops, testing
from divan_obs_asgi.cli import main as cli
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.ops import openapi
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.parts import endpoints
from divan_obs_asgi.redaction import DEFAULT_RULES, KeyRule, TokenShape
from divan_obs_asgi.testing import CONTRACT, converse, http_scope
from divan_obs_asgi.testing.telemetry import telemetry as collecting
from divan_obs_asgi.types import Receive, Scope, Send
from tests.redaction import score

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "examples" / "divan" / "README.md"]
# Folders that documents name and this repository does not have: of exported assets, and of a service.
ELSEWHERE = {"alertmanager", "collector", "grafana", "k6", "kubernetes", "prometheus"}
ELSEWHERE |= {"app", "lib", "myproject", "requests", "site-packages"}
# Loggers and scope keys of the library: they have its name, and are not modules.
LOGGERS_AND_KEYS = {
    f"divan_obs_asgi.{name}" for name in ("access", "audit", "loguru", "record", "redaction", "route", "uncaught")
}


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced code blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)


def redacted(lines: str) -> str:
    result = CliRunner().invoke(cli.main, ["redact"], input=lines)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_tables_of_flags_and_metrics_are_the_declarations() -> None:
    """`python tools/tables.py` has been run since a flag or a metric was changed."""
    tool = runpy.run_path(str(ROOT / "tools" / "tables.py"))
    for document in tool["DOCUMENTS"]:
        present = document.read_text()
        assert tool["written_into"](present) == present
    assert len(tool["MAIN"]) == 10


def test_the_readmes_first_application_is_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first example of the README serves a request with an id, and counts it by its template."""
    monkeypatch.setenv("LOG_LEVEL", "ERROR")  # Its lines go to standard output.
    shown: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0], shown)
    done = anyio.run(converse, shown["app"], http_scope(path="/users/42"))
    assert done.status == 200
    assert len(done.header(b"x-request-id")) == 1
    counted = {"route": "/users/{id}", "method": "GET", "status": "200"}
    assert shown["observability"].metrics.registry.get_sample_value("divan_http_requests_total", counted) == 1


def api_modules() -> set[str]:
    """Return the modules whose names are on the pages of the API reference."""
    pages = (ROOT / "docs" / "api").glob("*.md")
    return {name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)}


def test_every_public_package_is_in_the_api_reference() -> None:
    """Each package with an `__all__` has an entry on a page of docs/api, and each page is listed in docs/api.md."""
    package = Path(inspect.getfile(obs)).parent
    public = {
        ".".join((package.name, *file.parent.relative_to(package).parts))
        for file in package.rglob("__init__.py")
        if "__all__ = [" in file.read_text()
    }
    assert public - api_modules() == set(), "name them in a page of docs/api, and in the table of docs/api.md"
    table = (ROOT / "docs" / "api.md").read_text()
    assert [page.name for page in (ROOT / "docs" / "api").glob("*.md") if f"(api/{page.name})" not in table] == []
    assert {name for name in api_modules() if f"`{name}`" not in table} == set()


def test_what_documents_import_is_in_the_api_reference() -> None:
    """A module that an example imports from is public."""
    imported = {
        (path.name, name)
        for path in DOCUMENTS
        for name in re.findall(r"^ *from (divan_obs_asgi[\w.]*) import", path.read_text(), re.MULTILINE)
    }
    assert {(document, name) for document, name in imported if name not in api_modules()} == set()


def test_files_that_documents_name_are_there() -> None:
    """A path such as `logs/lines.py` or `divan_obs_asgi/probes/` is one of the repository or of the package."""
    package = Path(inspect.getfile(obs)).parent
    path_with_folder = r"(?<![\w/.-])((?:[\w.-]+/)+(?:[\w.-]+\.(?:cfg|ini|js|json|md|py|sh|toml|ts|ya?ml)|(?=`)))"
    missing = [
        f"{document.name}: {name}"
        for document in [*ROOT.glob("*.md"), *DOCUMENTS, *ROOT.glob("benchmarks/*.md"), ROOT / "Makefile"]
        for name in re.findall(path_with_folder, document.read_text())
        if not name.startswith("./") and not ELSEWHERE & set(name.split("/"))
        if not any((folder / name).exists() for folder in (ROOT, package, package.parent, document.parent))
    ]
    assert missing == []


def test_tests_that_tox_runs_are_there() -> None:
    """Each folder and file of tests that an environment names exists: pytest fails if it finds no tests."""
    named = re.findall(r"{posargs:(.*)}", (ROOT / "tox.ini").read_text())
    tests = [word for arguments in named for word in arguments.split() if word.startswith("tests")]
    assert len(tests) > 5
    assert [path for path in tests if not list((ROOT / path).rglob("test_*.py")) and not (ROOT / path).is_file()] == []


def test_modules_that_documents_name_are_there() -> None:
    """A dotted name such as `divan_obs_asgi.testing.contract` is a module, or a name in one."""
    missing = [
        f"{document.name}: {name}"
        for document in [*ROOT.glob("*.md"), *DOCUMENTS]
        for name in set(re.findall(r"(?<![\w/.-])divan_obs_asgi(?:\.\w+)+", document.read_text())) - LOGGERS_AND_KEYS
        if not is_in_the_package(name)
    ]
    assert missing == []


def is_in_the_package(dotted: str) -> bool:
    """Return whether a name is that of a module, or occurs in the module before it; no extra is imported."""
    path = Path(inspect.getfile(obs)).parents[1]
    for name in dotted.split("."):
        if path.is_dir() and ((path / name).is_dir() or (path / f"{name}.py").exists()):
            path = path / name if (path / name).is_dir() else path / f"{name}.py"
        else:
            source = path / "__init__.py" if path.is_dir() else path
            return re.search(rf"\b{name}\b", source.read_text()) is not None
    return True


def test_relative_links_name_files_that_exist() -> None:
    """A relative link of a document names an existing file."""
    broken = [
        f"{path.name}: {target}"
        for path in [*ROOT.glob("*.md"), *DOCUMENTS, *ROOT.glob("docs/api/*.md"), *ROOT.glob("benchmarks/*.md")]
        for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_documented_middleware_keeps_the_contract() -> None:
    """The middleware of docs/middleware.md can be copied as it is, and its test passes."""
    shown: dict[str, Any] = {}
    for code in blocks("middleware.md", "python"):
        exec(code, shown)
    for check in CONTRACT:
        shown["test_the_contract"](check)


def test_the_documented_middleware_counts_slow_requests() -> None:
    """It counts, and it is left out of the stack in development."""
    shown: dict[str, Any] = {}
    exec(blocks("middleware.md", "python")[0], shown)
    bundle = obs.Observability.from_env({"OBS_ENV": "prod"})
    stack = obs.build_stack(sleepy, bundle, [shown["SlowRequestMiddleware"]])
    done = anyio.run(converse, stack, http_scope())
    assert done.header(b"x-served-by") == [b"divan"]
    slow = bundle.metrics.registry.get_sample_value("divan_slow_requests_total", {"route": "__unmatched__"})
    assert slow == 1
    assert obs.build_stack(sleepy, obs.Observability.from_env({}), [shown["SlowRequestMiddleware"]]) is sleepy


async def sleepy(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond, as if that took two seconds."""
    scope[RECORD_KEY]._started -= 2
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def test_the_documented_metrics_count() -> None:
    """The examples of docs/metrics.md can be copied, and their series are on the page afterwards."""
    bundle = obs.Observability.from_env({})
    for code in blocks("metrics.md", "python"):
        exec(code, {"observability": bundle})
    page = bundle.metrics.render().decode()
    for sample in (
        "divan_chat_send_total 1.0",
        'divan_presence_heartbeats_total{campus_id="north"} 1.0',
        'divan_proximity_queries_total{radius="500"} 1.0',
        'divan_coffees_total{size="large"} 1.0',
        'divan_coffees_total{size="small"} 0.0',
    ):
        assert f"{sample}\n" in page


@pytest.mark.parametrize("document", ["jobs.md", "logs.md", "drain.md", "health.md", "ops.md"])
def test_the_examples_of_a_document_run(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They can be copied, one after the other; examples of other libraries are in test_docs_with_extras.py."""
    monkeypatch.setenv("LOG_LEVEL", "ERROR")  # Their lines go to standard output.
    shown: dict[str, Any] = {"obs": obs, "observability": obs.Observability.from_env({}), "app": Starlette()}
    for code in blocks(document, "python"):
        if not any(library in code for library in ("structlog", "loguru", "redis")):
            exec(code, shown)


@pytest.mark.slow
def test_the_documented_tests_pass() -> None:
    """docs/testing.md can be copied into a test file."""
    shown: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Starlette's client recommends a newer httpx.
        warnings.simplefilter("ignore")
        for code in blocks("testing.md", "python"):
            exec(code, shown)
    tests = [value for name, value in shown.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        with collecting() as collected:
            test(collected)


def texts() -> Iterator[tuple[str, str]]:
    """Yield the texts that users read, each with its place: documents, and strings and comments of the code."""
    for path in [*ROOT.glob("*.md"), *DOCUMENTS[1:], *ROOT.glob("benchmarks/*.md")]:
        yield path.name, path.read_text()
    for path in [*Path(inspect.getfile(obs)).parent.rglob("*.py"), *ROOT.glob("examples/**/*.py")]:
        code = path.read_text()
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.name}:{node.lineno}", node.value
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.COMMENT:
                yield f"{path.name}:{token.start[0]}", token.string


@pytest.mark.slow
def test_names_after_obs_and_observability_exist() -> None:
    """`obs` is the module and `observability` the bundle: a dotted name after one of them can be copied."""
    roots = {"obs": obs, "observability": obs.Observability.from_env({})}
    missing = []
    for place, text in texts():
        for root, path in re.findall(r"(?<![\w./-])(obs|observability)(?!\.[EW][0-9]{3}\b)((?:\.[A-Za-z_]\w*)+)", text):
            found: object = roots[root]
            try:
                for name in path[1:].split("."):
                    # `observability.py` is a file.
                    found = found if name == "py" else getattr(found, name)
            except ImportError:
                continue  # It exists, and the error names the extra.
            except AttributeError:
                missing.append(f"{place}: {root}{path}")
    assert missing == []


def test_flags_that_documents_name_exist() -> None:
    """A flag that you copy from a document into an environment has an effect."""
    declared = {flag.name for flag, _ in obs.Settings.flags()}
    written = {
        (path.name, name)
        for path in DOCUMENTS
        for name in re.findall(r"\b(?:OBS|LOG|HEALTH)_[A-Z][A-Z_]*[A-Z]\b", path.read_text())
    }
    assert sorted((document, name) for document, name in written if name not in declared) == []


def test_metrics_that_documents_name_exist() -> None:
    """A metric that you copy from a document into a dashboard is exposed, except the metrics of examples."""
    declared = {f"divan_{family.name}" for family in FAMILIES}
    own = {"divan_coffees_total", "divan_slow_requests_total", "divan_token", "divan_traces"}
    # Keys of messages between the processes of a Socket.IO server.
    own |= {"divan_age", "divan_number"}
    written = {
        (path.name, name)
        for path in DOCUMENTS
        for name in re.findall(r"\bdivan_(?!obs_asgi)[a-z_]+[a-z]\b(?![*/.:])", path.read_text())
    }
    unknown = {
        (document, name)
        for document, name in written
        if not {name, re.sub("_(bucket|count|sum)$", "", name)} & (declared | own)
    }
    assert sorted(unknown) == []


@pytest.mark.parametrize("module", [obs, obs.middlewares, ops, testing])
def test_public_names_are_documented(module: ModuleType) -> None:
    """A document explains each public name of the library, its middlewares and its test helpers."""
    documents = DOCUMENTS
    words = set(re.findall(r"\w+", "".join(path.read_text() for path in documents)))
    assert sorted(name for name in module.__all__ if name not in words and not name.startswith("__")) == []


def test_every_metric_is_documented() -> None:
    """docs/spec-map.md or docs/metrics.md has each metric of the catalogue."""
    documented = (ROOT / "docs" / "spec-map.md").read_text() + (ROOT / "docs" / "metrics.md").read_text()
    missing = [family.name for family in FAMILIES if f"divan_{family.name}" not in documented]
    assert missing == []


def test_the_documented_command_prints_what_is_shown() -> None:
    """The command in docs/redaction.md and in the README prints the output that they show."""
    given, expected, *_ = blocks("redaction.md", "text")
    assert redacted(given) == expected
    example = re.search(r"^    \$ echo '(.*)' \| divan-obs redact\n    (.*)$", (ROOT / "README.md").read_text(), re.M)
    assert example is not None
    assert redacted(f"{example[1]}\n") == f"{example[2]}\n"


@pytest.mark.slow
def test_the_documented_redactions_happen() -> None:
    """The examples of docs/redaction.md run one after the other, and their assertions hold."""
    shown: dict[str, object] = {}
    for code in blocks("redaction.md", "python"):
        exec(code, shown)


def test_the_documented_parameters_of_assets_work() -> None:
    """The examples of docs/alerts.md and docs/dashboards.md run, and their assertions hold."""
    for code in [*blocks("alerts.md", "python"), *blocks("dashboards.md", "python")]:
        exec(code, {})


def test_the_documented_ways_to_set_flags_work() -> None:
    """The example of docs/flags.md runs."""
    shown: dict[str, Any] = {"obs": obs}
    for code in blocks("flags.md", "python"):
        exec(code, shown)
    assert shown["observability"].settings.service.env == "prod"


def test_the_links_of_the_readme_name_files_that_exist() -> None:
    """They are absolute, because a package index shows the README without the files beside it."""
    repository = re.search(r"^    Source = (.*)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert repository is not None
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    paths = [link.removeprefix(f"{repository[1]}/blob/main/") for link in links]
    assert [path for path in paths if not (ROOT / path).is_file()] == []
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180


def test_the_table_of_endpoints_is_the_declarations() -> None:
    """docs/ops.md lists every endpoint with its summary, in the order of the index."""
    bundle = obs.Observability.from_env({})
    declared = [
        (f"{operation.method} {endpoint.path}", operation.summary)
        for endpoint in endpoints(bundle, Guard(bundle.settings, bundle.faults))
        for operation in endpoint.operations
    ]
    table = re.findall(r"^\| `((?:GET|POST) /\S*)` \| (.*) \|$", (ROOT / "docs" / "ops.md").read_text(), re.M)
    assert table == declared


def test_the_table_of_refusals_is_the_guards() -> None:
    """docs/ops.md has the statuses that the OpenAPI document declares for guarded endpoints."""
    table = (ROOT / "docs" / "ops.md").read_text().partition("## The guard\n")[2].partition("\n## ")[0]
    assert {int(status) for status in re.findall(r"^\| (\d+) \|", table, re.M)} == set(openapi.GUARD_RESPONSES)


def test_every_marker_is_documented() -> None:
    """docs/redaction.md explains every marker that can appear in a log."""
    documented = (ROOT / "docs" / "redaction.md").read_text()
    names = {rule.name for rule in DEFAULT_RULES if isinstance(rule, (KeyRule, TokenShape))}
    assert sorted(name for name in names if f"`{name}`" not in documented) == []


@pytest.mark.slow
def test_the_documented_score_is_the_present_one() -> None:
    """The figures in docs/redaction.md are those of the present corpus."""
    assert blocks("redaction.md", "text")[-1].splitlines() == list(score.summary())


def test_every_promise_names_tests_that_exist() -> None:
    """SECURITY.md names a test for each promise; the test exists."""
    text = (ROOT / "SECURITY.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 15
    for row in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert tests, row
        for path, name in tests:
            source = (ROOT / path).read_text()
            assert f"def {name or 'test_'}" in source, (path, name)
