"""Whatever the reference backend is sent, it answers as it has described, and never with a 500."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import schemathesis.cli

from tests.example.service import started

# What an answer may be is declared for the shape of what is asked; other refusals are of no declared status.
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"


@pytest.mark.slow
def test_no_request_is_a_500(tmp_path: Path, real: dict[str, str]) -> None:
    """Of all that /openapi.json describes, and of what it does not allow."""
    stores = {name: real[name] for name in ("REDIS_URL", "DATABASE_URL")}
    with started(tmp_path, HEARTBEAT_PAUSE_S="0.001", LOG_LEVEL="ERROR", **stores) as (_, printed):
        url = re.findall(r"http://127\.0\.0\.1:\d+", printed)[0]
        token = httpx.post(f"{url}/auth/demo", json={"name": "ada"}).json()["token"]
        asking = [
            *(sys.executable, "-m", schemathesis.cli.__name__),
            *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
            *("run", f"{url}/openapi.json", "--checks", CHECKS),
            *("--header", f"Authorization: Bearer {token}"),
        ]
        done = subprocess.run(asking, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"(\d+) generated, (\d+) passed", done.stdout), done.stdout
