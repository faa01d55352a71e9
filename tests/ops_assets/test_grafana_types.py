"""Every dashboard fits Grafana's own types."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from divan_obs_asgi.ops_assets.dashboards import boards
from divan_obs_asgi.ops_assets.parameters import Parameters
from tests.ops_assets.linter import Json
from tests.patience import PATIENCE_S
from tests.servers.npm import installed
from tests.servers.process import program

SOURCE = Path(__file__).parent / "grafana_types"
PARAMETERS = {
    "default": Parameters(),
    "acme": Parameters("acme", "shop", 99.5, 95.0, 0.3, trace_url="https://traces.example.com/${__value.raw}"),
}
STRICT = ["--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which TypeScript finds Grafana's types."""
    folder = tmp_path_factory.mktemp("types")
    shutil.copy(SOURCE / "board.ts", folder)
    (folder / "node_modules").symlink_to(installed(SOURCE))
    return folder


def compiled(folder: Path, *boards: Json) -> str:
    """Return the compiler errors for dashboards."""
    path = folder / "boards.ts"
    satisfied = [
        f"export const board{at} = {json.dumps(board, indent=1)} satisfies OurBoard;\n"
        for at, board in enumerate(boards)
    ]
    path.write_text("".join(['import type { OurBoard } from "./board.js";\n', *satisfied]))
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [program("node", package="nodejs"), str(compiler), *STRICT, str(path)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        check=False,
    )
    assert done.stdout or not done.returncode, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_every_dashboard_fits_the_types(parameters: Parameters, folder: Path) -> None:
    """This includes panels with the options of their type, queries, annotations and variables."""
    assert compiled(folder, *boards(parameters).values()) == ""


FAULTS: list[tuple[Callable[[Json], object], str]] = [
    (lambda board: board.update(titel="Backend"), "'\"titel\"' does not exist"),
    (lambda board: board.update(schemaVersion="41"), "'string' is not assignable to type 'number'"),
    (lambda board: board["panels"][1].update(unit="s"), "'\"unit\"' does not exist"),
    (lambda board: board["panels"][1]["options"].update(graphMode="lines"), '"lines"'),
    (lambda board: board["panels"][1]["fieldConfig"]["defaults"].update(units="s"), "'\"units\"' does not exist"),
    (
        lambda board: board["panels"][0]["fieldConfig"]["defaults"]["custom"].update(fillOpacity="80"),
        "'string' is not assignable to type 'number'",
    ),
    (lambda board: board["panels"][1]["targets"][0].update(query="up"), "'\"query\"' does not exist"),
    (lambda board: board["templating"]["list"][1].update(refresh="2"), "VariableRefresh"),
    (lambda board: board["annotations"]["list"][0].update(expr="up"), "'\"expr\"' does not exist"),
]


@pytest.mark.slow
def test_an_invalid_property_is_found(folder: Path) -> None:
    """The compiler finds an unknown or wrongly typed property at each depth."""
    wrong = []
    for change, _ in FAULTS:
        board = copy.deepcopy(boards(Parameters())["backend-overview"])
        change(board)
        wrong.append(board)
    said = compiled(folder, *wrong)
    for at, (_, complaint) in enumerate(FAULTS):
        assert complaint in said, (at, said)
    assert len(re.findall(r"^boards\.ts\(", said, re.MULTILINE)) == len(FAULTS), said
