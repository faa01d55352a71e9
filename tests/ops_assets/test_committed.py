"""The committed files are what the builder makes."""

from __future__ import annotations

import ast
import re
from importlib.resources import files as resources
from types import ModuleType

import pytest
import yaml

from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.ops_assets import dashboards as dashboards_package
from divan_obs_asgi.ops_assets import rules as rules_package
from divan_obs_asgi.ops_assets.files import files
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

FILES = files(Parameters())
ASSETS = resources("divan_obs_asgi.ops_assets")


@pytest.mark.parametrize("name", FILES)
def test_a_committed_file_is_what_the_builder_makes(name: str) -> None:
    """Byte by byte; `python tools/assets.py` writes them."""
    assert ASSETS.joinpath(name).read_bytes() == FILES[name].encode()


def test_what_is_built_depends_on_the_parameters_only() -> None:
    """Twice the same bytes."""
    assert dict(files(Parameters())) == dict(FILES)


def test_no_committed_file_is_left_over() -> None:
    """A board that is not built any more is not shipped."""
    written = {f"grafana/dashboards/{path.name}" for path in ASSETS.joinpath("grafana/dashboards").iterdir()}
    assert written == {name for name in FILES if name.startswith("grafana/dashboards/")}


def test_the_rules_are_read_as_they_were_built() -> None:
    """The YAML holds the very values."""
    parameters = Parameters(job='a "strange": job\'s {name}')
    assert yaml.safe_load(files(parameters)["prometheus/rules-phase8.yml"]) == rules(parameters).written(parameters)


@pytest.mark.parametrize("package", [rules_package, dashboards_package], ids=["rules", "dashboards"])
def test_no_source_names_a_metric_by_a_literal(package: ModuleType) -> None:
    """It refers to the catalogue, so that a renamed family is an error of the type checker."""
    root = resources(package.__name__)
    named = [
        (source.name, family.name)
        for source in root.iterdir()
        if source.name.endswith(".py")
        for family in FAMILIES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(rf"\b\w*{family.name}\b", node.value) and "_" in family.name
    ]
    assert named == []


VALUES: list[Value] = [
    {},
    [],
    {"a": {}, "b": [], "c": None, "d": True, "e": 1.5, "f": ""},
    [[1, 2], ["x", {"y": "z", "w": [1]}]],
    {
        "on": "off",
        "no": "Yes",
        "1h": "5m",
        "8": "0x10",
        "~": "null",
        "-": "- a",
        "a: b": "c # d",
        "#": "%",
        "t": "12:30",
    },
    {
        "tab": "a\tb",
        "nl": "a\nb",
        "ends": "a\n",
        "starts": " a\nb",
        "blank": "a\n\nb",
        "bell": "\x07\nb",
        "quote": "a'b\"c",
    },
    [
        "a\nb",
        "- a",
        "? a",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "@a",
        "`a",
        "[a",
        "{a",
        "ä €",
        "2026-01-01",
        "=",
        "<<",
        "a\x85b",
    ],
]


@pytest.mark.parametrize("value", VALUES)
def test_a_reader_of_yaml_gets_back_what_was_written(value: Value) -> None:
    """Whatever looks like something else is quoted."""
    assert yaml.safe_load(dump(value, "A comment.")) == value
