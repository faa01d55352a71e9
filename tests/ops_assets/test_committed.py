"""The committed files are up to date."""

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
def test_a_committed_file_is_up_to_date(name: str) -> None:
    """It has the same bytes as the generated file; `python tools/assets.py` writes them."""
    assert ASSETS.joinpath(name).read_bytes() == FILES[name].encode()


def test_files_depend_on_the_parameters_only() -> None:
    """Generating twice gives the same bytes."""
    assert dict(files(Parameters())) == dict(FILES)


def test_no_committed_file_is_left_over() -> None:
    """A dashboard that is no longer generated is not shipped."""
    written = {f"grafana/dashboards/{path.name}" for path in ASSETS.joinpath("grafana/dashboards").iterdir()}
    assert written == {name for name in FILES if name.startswith("grafana/dashboards/")}


def test_the_yaml_of_the_rules_has_the_generated_values() -> None:
    """Parsing the YAML returns the same values."""
    parameters = Parameters(job='a "strange": job\'s {name}')
    assert yaml.safe_load(files(parameters)["prometheus/rules-phase8.yml"]) == rules(parameters).written(parameters)


@pytest.mark.slow
@pytest.mark.parametrize("package", [rules_package, dashboards_package], ids=["rules", "dashboards"])
def test_no_source_names_a_metric_by_a_literal(package: ModuleType) -> None:
    """It refers to the catalogue, so a renamed family is a type error."""
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
def test_parsing_written_yaml_returns_the_value(value: Value) -> None:
    """Strings that look like another type are quoted."""
    assert yaml.safe_load(dump(value, "A comment.")) == value
