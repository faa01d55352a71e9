"""The deployment files fit the schemas of compose and Kubernetes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from divan_obs_asgi.ops_assets.files import exported
from divan_obs_asgi.ops_assets.parameters import Parameters

COMPOSE_SCHEMA = ["--builtin-schema", "vendor.compose-spec"]


def test_the_compose_file_fits_its_schema(assets_folder: Path) -> None:
    """It has no property that compose does not define."""
    done = CliRunner().invoke(check_jsonschema, [*COMPOSE_SCHEMA, str(assets_folder / "compose.yml")])
    assert done.exit_code == 0, done.output


def test_the_schema_of_compose_finds_a_mistake(tmp_path: Path) -> None:
    """A misspelt `ports` is found."""
    (tmp_path / "compose.yml").write_text(exported(Parameters())["compose.yml"].replace("ports:", "portz:"))
    done = CliRunner().invoke(check_jsonschema, [*COMPOSE_SCHEMA, str(tmp_path / "compose.yml")])
    assert done.exit_code == 1
    assert "portz" in done.output


def validated(content: Any, version: str) -> str:
    try:
        kubernetes_validate.validate(content, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return "unknown"
    return "passed"


@pytest.mark.parametrize("version", ["1.33.0", kubernetes_validate.latest_version()])
def test_kubernetes_accepts_its_objects(version: str, assets_folder: Path) -> None:
    """They fit the strict schemas, except the objects of the operator."""
    objects = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (assets_folder / "kubernetes").iterdir()]
    assert Counter((found["kind"], validated(found, version)) for found in objects) == {
        ("Deployment", "passed"): 1,
        ("PodDisruptionBudget", "passed"): 1,
        ("PrometheusRule", "unknown"): 1,
        ("Service", "passed"): 1,
        ("ServiceMonitor", "unknown"): 1,
    }


def test_the_schema_of_kubernetes_finds_a_mistake() -> None:
    """A misspelt probe is found."""
    text = exported(Parameters())["kubernetes/deployment.yml"]
    with pytest.raises(kubernetes_validate.ValidationError, match="readinessProbez"):
        validated(yaml.safe_load(text.replace("readinessProbe", "readinessProbez")), "1.33.0")
