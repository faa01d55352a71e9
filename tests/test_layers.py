"""The table of layers in docs/architecture.md is the architecture: no module imports upwards."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import divan_obs_asgi
from tests.conftest import LIBRARY_OF_PART

PACKAGE = Path(divan_obs_asgi.__file__).parent
TABLE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
# Modules that middlewares share: their base class, and the bodies of error responses.
SHARED = {"base", "error_bodies"}
# The package itself.
OUTSIDE = {"__init__"}


def layers() -> dict[str, int]:
    """Return the layer of each top-level module, from the table."""
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", TABLE.read_text(), re.MULTILINE)
    return {name: int(layer) for layer, names in rows for name in re.findall(r"`(\w+)`", names)}


def part_of(path: Path) -> str:
    """Return the top-level module or subpackage that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


# Cached, because three tests ask about every file of the package.
@cache
def imported(path: Path) -> tuple[str, ...]:
    """Return what a file imports of the package, in functions and for the type checker too, with full names."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            names += (f"{node.module or ''}.{alias.name}" for alias in node.names)
    return tuple(names)


def edges() -> Iterator[tuple[Path, str, str]]:
    """Yield each import of one part by another: the file, its part, the part that it imports."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in imported(path):
            top, _, rest = name.partition(".")
            if top == PACKAGE.name and rest:
                yield path, part_of(path), rest.partition(".")[0]


def module_of(path: Path) -> str:
    """Return the full name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_module_has_a_layer() -> None:
    """A new module is put in the table, and an old one leaves it."""
    there = {part_of(path) for path in PACKAGE.rglob("*.py")} - OUTSIDE
    assert there == set(layers())


def test_modules_import_from_lower_layers_only() -> None:
    """The table is the diagram: modules of one layer do not import each other."""
    layer = layers()
    upwards = [
        f"{path.relative_to(PACKAGE)} imports {theirs}"
        for path, ours, theirs in edges()
        if ours not in OUTSIDE and theirs in layer and theirs != ours and layer[theirs] >= layer[ours]
    ]
    assert upwards == []


def test_no_import_is_part_of_a_circle() -> None:
    """Each module can be read after those that it imports, in functions and for the type checker too."""
    paths = {module_of(path): path for path in PACKAGE.rglob("*.py")}
    # Of `from package import name` the package itself is meant where `name` is not a module.
    before = {
        module: {name if name in paths else name.rpartition(".")[0] for name in imported(path)}
        & paths.keys() - {module}
        for module, path in paths.items()
    }
    assert len(list(TopologicalSorter(before).static_order())) == len(paths)


def test_middlewares_do_not_know_each_other() -> None:
    """Each works alone: shared code is in a lower layer."""
    siblings = [
        f"{path.name} imports {name}"
        for path in (PACKAGE / "middlewares").glob("*.py")
        if path.name != "__init__.py"
        for name in imported(path)
        if name.startswith(f"{PACKAGE.name}.middlewares") and name.split(".")[2] not in SHARED
    ]
    assert siblings == []


def test_the_core_imports_no_extra() -> None:
    """Everything can be imported without extras; an extra is imported where it is used, or in a separate module."""
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
    own_modules = {
        f"{module.removeprefix('divan_obs_asgi.').replace('.', '/')}.py" for module, library in LIBRARY_OF_PART.items()
    }
    own_modules |= {"socketio_ext/server.py", "socketio_ext/handlers.py", "testing/span_tap.py"}
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
