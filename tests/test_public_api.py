"""What can be imported: `__all__` says it, and it is true."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import logging
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import divan_obs_asgi

PACKAGE = Path(inspect.getfile(divan_obs_asgi)).parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
# What the core can import; the rest is read.
PACKAGES = ["divan_obs_asgi", *(f"divan_obs_asgi.{name}" for name in ("logs", "metrics", "ops", "probes", "redaction"))]
PACKAGES += ["divan_obs_asgi.middlewares", "divan_obs_asgi.testing"]


def bound(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that a module's statements bind."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in statement.names)
            case ast.Assign():
                yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If() | ast.Try():
                yield from bound(statement.body)


def exported(tree: ast.Module) -> list[str] | None:
    """Return a module's `__all__`."""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                names: list[str] = ast.literal_eval(statement.value)
                return names
    return None


@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_exports_is_there(module: str) -> None:
    """No name of `__all__` is missing or stands there twice; only an empty package has none."""
    tree = ast.parse((PACKAGE / module).read_bytes())
    names = exported(tree)
    if names is None:
        assert module.endswith("__init__.py")
        assert [type(node) for node in tree.body] == [ast.Expr], "code, and no __all__"
        return
    assert sorted(set(names)) == sorted(names)
    assert set(names) <= set(bound(tree.body))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_what_it_imports(name: str) -> None:
    """What is written into a package's front door is meant to be seen, and comes from this library."""
    package = import_module(name)
    for key in package.__all__:
        getattr(package, key)  # Some are imported at their first use.
    public = {
        key
        for key, value in vars(package).items()
        if not key.startswith("_")
        and key != "TYPE_CHECKING"
        and (not isinstance(value, types.ModuleType) or key in package.__all__)
    }
    assert public == {key for key in package.__all__ if not key.startswith("__")}


@pytest.mark.parametrize("package", [name for name in MODULES if name.endswith("__init__.py")])
def test_a_public_name_is_not_a_modules_too(package: str) -> None:
    """
    Importing a submodule sets an attribute of its package: a function of that name would be gone, or hide the module.

    Which one a user gets would depend on what was imported last.
    """
    file = PACKAGE / package
    names = exported(ast.parse(file.read_bytes())) or []
    modules = {path.stem for path in file.parent.glob("*.py")} | {
        path.parent.name for path in file.parent.glob("*/*.py")
    }
    found = import_module(".".join(("divan_obs_asgi", *file.parent.relative_to(PACKAGE).parts)))
    assert [name for name in names if name in modules and not isinstance(getattr(found, name), types.ModuleType)] == []


@pytest.mark.parametrize("name", ["divan_obs_asgi", "divan_obs_asgi.probes"])
def test_type_checkers_see_what_is_imported_at_first_use(name: str) -> None:
    """A name comes from the same module for a type checker and at run time, and `dir` lists it."""
    package = import_module(name)
    tree = ast.parse(Path(inspect.getfile(package)).read_bytes())
    places = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
        if alias.asname is None
    }
    assert places.keys() == set(package.__all__)
    for key, module in places.items():
        expected = import_module(f"{name}.{key}") if module == name else getattr(import_module(str(module)), key)
        assert getattr(package, key) is expected
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


def test_a_logger_may_be_made_before_there_is_a_bundle() -> None:
    """`obs.logger` at the top of a module is the standard library's logger, and so is the bundle's."""
    log = divan_obs_asgi.logger("tests.chat")
    assert log is logging.getLogger("tests.chat")
    assert divan_obs_asgi.Observability.from_env({}).logger("tests.chat") is log


def test_the_readmes_names_are_there() -> None:
    """The names that issue and README use."""
    assert {"init", "wrap", "build_stack", "Observability", "middlewares", "probes", "socketio_ext"} <= set(
        divan_obs_asgi.__all__
    )


def test_the_version_is_the_distributions() -> None:
    """One number, of the metadata that pip shows; a checkout that was never installed has none."""
    installed = importlib.metadata.packages_distributions().get("divan_obs_asgi", [])
    versions = {importlib.metadata.version(name) for name in installed} or {"0+unknown"}
    assert versions == {divan_obs_asgi.__version__}


def test_types_are_published() -> None:
    """Type checkers read a package's annotations only where `py.typed` stands beside them (PEP 561)."""
    assert (PACKAGE / "py.typed").is_file()
