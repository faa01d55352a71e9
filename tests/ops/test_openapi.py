"""The endpoints do what /ops/openapi.json says of them, whatever they are sent."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import schemathesis.cli

from tests.ops.asking import TOKEN
from tests.servers.process import ServerProcess

APP = """
import divan_obs_asgi as obs

bundle = obs.Observability.from_env()

@bundle.probes.probe("redis")
async def redis():
    return {}

@bundle.job("lb_snapshot")
async def lb_snapshot():
    pass

async def application(scope, receive, send):
    raise NotImplementedError

app = obs.wrap(application, bundle)
"""


class Service(ServerProcess):
    """A service with a probe and a job, in a process of its own: levels of loggers are changed, and a drain starts."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Application startup complete")

    def __init__(self) -> None:
        super().__init__()
        (self.directory / "service.py").write_text(APP)

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "uvicorn", "--port", str(self.port), "--no-access-log", "service:app"]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        # With as many wrong tokens as schemathesis likes to send.
        flags = {"OBS_ADMIN_TOKEN": TOKEN, "OBS_DRAIN_DELAY_S": "0", "OBS_OPS_MAX_FAILURES": "1000000"}
        flags |= {"OBS_VITALS_ENABLED": "true", "OBS_VITALS_ORIGINS": "https://shop.example"}
        flags |= {"OBS_CONSOLE_ENABLED": "true"}
        flags |= {"OBS_VITALS_ADDRESS_LIMIT": "1000000", "OBS_VITALS_TOTAL_LIMIT": "1000000"}
        return super().popen(command, env=flags)


@pytest.mark.slow
def test_the_endpoints_are_as_described() -> None:
    """Statuses, media types, shapes, what is refused, methods, and the need of the token: of all of them."""
    service = Service().start()
    try:
        asking = [
            *(sys.executable, "-m", schemathesis.cli.__name__),
            *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
            *("run", f"http://127.0.0.1:{service.port}/ops/openapi.json"),
            *("--header", f"Authorization: Bearer {TOKEN}"),
        ]
        done = subprocess.run(asking, cwd=service.directory, capture_output=True, text=True)
    finally:
        service.close()
    assert done.returncode == 0, done.stdout
    asked = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert asked is not None
    assert asked[1] == asked[2]
