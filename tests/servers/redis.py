"""A real Redis."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.servers.process import ServerProcess, free_port, program


class RedisServer(ServerProcess):
    """Redis without persistence: a stop loses its data."""

    ready_line = re.compile("Ready to accept connections")

    def __init__(self) -> None:
        self._program = program("redis-server", package="redis-server")
        super().__init__()

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def command(self) -> Sequence[str]:
        return [self._program, *(word for name, value in self.options().items() for word in (f"--{name}", value))]

    def options(self) -> dict[str, str]:
        """Return the options that a configuration file would have."""
        return {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
        }


class ClusterServer(RedisServer):
    """A node of a cluster, at first the only one; it serves no slots until it is given them."""

    def __init__(self) -> None:
        # The bus of a cluster has a separate port, by default 10000 higher, which may be in use.
        self.bus_port = free_port()
        super().__init__()

    def options(self) -> dict[str, str]:
        return {**super().options(), "cluster-enabled": "yes", "cluster-port": str(self.bus_port)}


class SentinelServer(ServerProcess):
    """A Sentinel that decides alone, after a second."""

    ready_line = re.compile(r"\+monitor master")

    def __init__(self, master: RedisServer, name: str, password: str = "") -> None:
        self._program = program("redis-server", package="redis-server")
        super().__init__()
        # Sentinel keeps what it finds out in its configuration file, and does not start without one.
        self._configuration = self.directory / "sentinel.conf"
        self._configuration.write_text(
            f"bind {self.host}\nport {self.port}\n"
            f"sentinel monitor {name} {master.host} {master.port} 1\n"
            f"sentinel down-after-milliseconds {name} 1000\n"
            f"sentinel failover-timeout {name} 3000\n" + (f'requirepass "{password}"\n' if password else "")
        )

    def command(self) -> Sequence[str]:
        return [self._program, str(self._configuration), "--sentinel"]
