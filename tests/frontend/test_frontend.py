"""The TypeScript files of frontend/: the compiler finds nothing wrong with them, and their own tests pass."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.ops.service import OPERATOR, served
from tests.patience import PATIENCE_S
from tests.servers.npm import installed
from tests.servers.process import program

SOURCE = ROOT / "frontend"

# Seconds of a compiler and of node, which no interpreter of Python changes.
pytestmark = pytest.mark.slow

SERVICE = """
import divan_obs_asgi as obs

async def application(scope, receive, send):
    raise NotImplementedError

app = obs.wrap(application)
"""
# What the script sends goes through the route handler, as a browser would send it.
PAGE = """
import { POST } from './out/app/api/ops/ingest/route.js';
import { routeAmong, Vitals } from './out/lib/obs/webvitals.js';

// A slow machine is not what this is about.
AbortSignal.timeout = () => new AbortController().signal;
const origin = process.env.VITALS_ORIGIN;
const bodies = [];
const vitals = new Vitals(routeAmong(['/', '/rooms/[id]']), (body) => bodies.push(body));
const navigations = [
  'navigate', 'reload', 'back-forward', 'back-forward-cache', 'prerender', 'restore', 'soft-navigation',
];
let id = 0;
for (const navigationType of navigations) {
  for (const name of ['CLS', 'FCP', 'INP', 'LCP', 'TTFB']) {
    const metric = { name, value: 1.5, rating: 'needs-improvement', id: `${id++}`, navigationType };
    vitals.add(metric, `${origin}/rooms/7?q=1`);
  }
}
vitals.flush();
for (const body of bodies) {
  const said = await POST(new Request('http://localhost/', { method: 'POST', body, headers: { origin } }));
  if (said.status !== 204) {
    throw new Error(`${said.status}: ${body}`);
  }
}
"""


def node(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run node; return what it said unless it succeeded."""
    done = subprocess.run(
        [program("node", package="nodejs"), *arguments],
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""


def bundled(folder: Path) -> str:
    """Return what `npm run bundle` prints."""
    npm = program("npm", package="npm")
    command = [npm, "run", "--silent", "bundle"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=4 * PATIENCE_S, check=True
    ).stdout


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


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    """Compile the files, once for all tests; this is what the compiler finds wrong."""
    return compiled(folder)


def test_the_files_compile_and_their_tests_pass(folder: Path, output: str) -> None:
    """With every strict option of tsconfig.json and the types of Next.js; under `node --test`."""
    assert output == ""
    tests = sorted(str(path) for path in (folder / "out" / "tests").glob("*.test.js"))
    assert len(tests) == len(list((SOURCE / "tests").glob("*.test.ts"))) > 0
    assert node(folder, "--test", *tests) == ""


def test_the_script_of_the_example_is_what_is_bundled(folder: Path) -> None:
    """It is in the repository, so that `make run` needs no node; `npm run -s bundle` in frontend/ prints it."""
    script = ROOT / "examples" / "divan" / "page" / "vitals.js"
    assert script.read_text() == bundled(folder)


def test_the_service_takes_what_the_page_sends(folder: Path, output: str) -> None:
    """Each metric of each kind of navigation, through the route handler; the TTFB of a soft navigation is not sent."""
    assert output == ""
    shop = "https://shop.example"
    flags = {"OBS_VITALS_ENABLED": "true", "OBS_VITALS_ORIGINS": shop, "OBS_VITALS_ROUTES": "/,/rooms/[id]"}
    with served(SERVICE, flags) as service:
        configured = {"VITALS_INGEST_URL": str(service.client.base_url.join("/ops/ingest")), "VITALS_ORIGIN": shop}
        assert node(folder, "--input-type=module", "--eval", PAGE, env=configured) == ""
        page = service.client.get("/metrics", headers=OPERATOR).text
    assert 'divan_web_vitals_cls_count{route="/rooms/[id]"} 7.0' in page
    assert 'divan_web_vitals_seconds_count{name="LCP",route="/rooms/[id]"} 7.0' in page
    assert 'divan_web_vitals_seconds_count{name="TTFB",route="/rooms/[id]"} 6.0' in page
    assert 'route="__unmatched__"' not in page.partition("divan_web_vitals")[2]
    assert "divan_web_vitals_rejected_total{" not in page


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
