"""The table of layers in docs/architecture.md is the architecture: no module imports upwards."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import divan_obs_asgi

PACKAGE = Path(divan_obs_asgi.__file__).parent
TABLE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
# What the text below the table says of neighbours in one layer.
WITHIN = {
    "record": {"failures", "headers", "faults", "later", "routes"},
    "channel": {"hang_ups", "record"},
    "hang_ups": {"later"},
    "ids": {"faults"},
    "operations": {"record"},
    "taps": {"record"},
    "readers": {"redaction"},
    "settings": {"env_file", "readers", "redaction"},
    "observability": {"canaries"},
    "integration": {"stack"},
    "stack": {"lifespan"},
    "cli": {"asking", "checks"},
    "__main__": {"cli"},
}
# The façade.
OUTSIDE = {"__init__"}


def layers() -> dict[str, int]:
    """Return the layer of each top-level module, from the table."""
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", TABLE.read_text(), re.MULTILINE)
    return {name: int(layer) for layer, names in rows for name in re.findall(r"`(\w+)`", names)}


def part_of(path: Path) -> str:
    """Return the top-level module or subpackage that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield what a file imports of the package when it runs, with full names."""
    for node in run_time_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from run_time_nodes(child)


def edges() -> Iterator[tuple[Path, str, str]]:
    """Yield each import of one part by another: the file, its part, the part that it imports."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in imported(path):
            top, _, rest = name.partition(".")
            if top == PACKAGE.name and rest:
                yield path, part_of(path), rest.partition(".")[0]


def test_every_module_has_a_layer() -> None:
    """A new module is put in the table, and an old one leaves it."""
    there = {part_of(path) for path in PACKAGE.rglob("*.py")} - OUTSIDE
    assert there == set(layers())


def test_modules_import_from_lower_layers_only() -> None:
    """The table stays the diagram."""
    layer = layers()
    upwards = [
        f"{path.relative_to(PACKAGE)} imports {theirs}"
        for path, ours, theirs in edges()
        if ours not in OUTSIDE
        and theirs in layer
        and theirs != ours
        and theirs not in WITHIN.get(ours, set())
        and layer[theirs] >= layer[ours]
    ]
    assert upwards == []


def test_middlewares_do_not_know_each_other() -> None:
    """Each works alone: what two of them need stands below."""
    siblings = [
        f"{path.name} imports {name}"
        for path in (PACKAGE / "middlewares").glob("*.py")
        if path.name != "__init__.py"
        for name in imported(path)
        if name.startswith(f"{PACKAGE.name}.middlewares")
    ]
    assert siblings == []


def test_the_core_imports_no_extra() -> None:
    """Without extras everything imports; what needs one is imported where it is used, or in a module of its own."""
    extras = {
        "opentelemetry",
        "grpc",
        "socketio",
        "engineio",
        "redis",
        "databases",
        "sqlalchemy",
        "asyncpg",
        "fastapi",
        "dotenv",
        "strawberry",
    }
    names = """
        attributes carrying clients current deferring encoding exporting fast_spans global_provider natives parents
        provider redacting sampling server_span span tracer_spans unrecorded
    """
    own_modules = {f"tracing/{name}.py" for name in names.split()}
    own_modules |= {"middlewares/contrib_tracing.py", "graphql/strawberry.py", "testing/span_tap.py"}
    own_modules |= {"socketio_ext/server.py", "socketio_ext/calls.py", "tracing/event_span.py"}
    loaded = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if str(path.relative_to(PACKAGE)) not in own_modules
        for name in at_load(path)
        if name.partition(".")[0] in extras
    ]
    assert loaded == []


def at_load(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
