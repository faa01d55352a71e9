"""An application served by uvicorn as a command, with what it wrote and what it answers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import ClassVar

import httpx

from tests.ops.asking import TOKEN
from tests.servers.process import ServerProcess

OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


class Service(ServerProcess):
    """A service of one process."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Uvicorn running on")

    def __init__(self, app: str, flags: Mapping[str, str]) -> None:
        super().__init__()
        self.flags = {"OBS_ADMIN_TOKEN": TOKEN, "OBS_DRAIN_DELAY_S": "0", **flags}
        (self.directory / "service.py").write_text(app)
        self.client = httpx.Client(base_url=f"http://{self.host}:{self.port}", timeout=30)

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "uvicorn", "--port", str(self.port), "--no-access-log", "service:app"]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return super().popen(command, env={**self.flags, **(env or {})})

    def close(self) -> None:
        self.client.close()
        super().close()


@contextmanager
def served(app: str, flags: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Serve the module `app`, whose application is called so, too."""
    with closing(Service(app, flags or {})) as service:
        yield service.start()
