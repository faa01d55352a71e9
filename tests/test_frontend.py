"""The TypeScript files of frontend/: the compiler finds nothing wrong with them, and their own tests pass."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.servers.npm import installed
from tests.servers.process import program

SOURCE = ROOT / "frontend"


def node(folder: Path, *arguments: str) -> str:
    """Run node; return what it said unless it succeeded."""
    done = subprocess.run(
        [program("node", package="nodejs"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""


def compiled(folder: Path) -> str:
    """Return what the compiler finds wrong."""
    return node(folder, "node_modules/typescript/bin/tsc", "--project", ".", "--outDir", "out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files beside the packages of their lock file."""
    folder = tmp_path_factory.mktemp("vitals") / "frontend"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "out"))
    (folder / "node_modules").symlink_to(installed(SOURCE))
    return folder


def test_the_files_compile_and_their_tests_pass(folder: Path) -> None:
    """With every strict option of tsconfig.json and the types of Next.js; under `node --test`."""
    assert compiled(folder) == ""
    tests = sorted(str(path) for path in (folder / "out" / "tests").glob("*.test.js"))
    assert len(tests) == len(list((SOURCE / "tests").glob("*.test.ts"))) > 0
    assert node(folder, "--test", *tests) == ""


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("const [first]: string[] = []; export const length = first.length;", "TS18048"),
        ("export const options: { a?: string } = { a: undefined };", "TS2375"),
        ('import { NextConfig } from "next"; export type Config = NextConfig;', "TS1484"),
        ("export const known = (x) => x;", "TS7006"),
    ],
    ids=["noUncheckedIndexedAccess", "exactOptionalPropertyTypes", "verbatimModuleSyntax", "strict"],
)
def test_the_compiler_is_strict(folder: Path, fault: str, complaint: str) -> None:
    """The judge itself: each of the options finds what it is for."""
    bad = folder / "bad.ts"
    bad.write_text(fault)
    try:
        assert complaint in compiled(folder)
    finally:
        bad.unlink()
