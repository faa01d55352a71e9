"""A real Redis."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.servers.process import ServerProcess, program


class RedisServer(ServerProcess):
    """Redis without persistence: what it held is gone after a stop."""

    ready_line = re.compile("Ready to accept connections")

    def __init__(self) -> None:
        self._program = program("redis-server", package="redis-server")
        super().__init__()

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def command(self) -> Sequence[str]:
        options = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
        }
        return [self._program, *(word for name, value in options.items() for word in (f"--{name}", value))]
