"""A real PostgreSQL."""

from __future__ import annotations

import asyncio
import pwd
import re
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.servers.process import START_TIMEOUT_S, ServerProcess, program

# Debian keeps the server's programs off PATH, in a folder for each major version.
DEBIAN_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def unprivileged_user() -> str:
    """Return a user for a server that refuses to run as root."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class PostgresServer(ServerProcess):
    """PostgreSQL with one role that has a password. Data survives a stop, but not a `kill`."""

    ready_line = re.compile("database system is ready to accept connections")
    # Fast shutdown: do not wait for the clients to leave. Quit: immediate, but the children and shared memory go too.
    stop_signal = signal.SIGINT
    quit_signal = signal.SIGQUIT

    def __init__(self) -> None:
        initdb = program("initdb", package="postgresql", folders=DEBIAN_FOLDERS)
        self._program = program("postgres", package="postgresql", folders=DEBIAN_FOLDERS)
        super().__init__(user=unprivileged_user())
        self.role, self.password, self.database = "divan", "not-a-secret", "postgres"
        self._data = self.directory / "data"
        password_file = self.directory / "password"
        password_file.write_text(f"{self.password}\n")
        done = self.popen(
            [
                *(initdb, "--pgdata", str(self._data), "--username", self.role, "--pwfile", str(password_file)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ]
        )
        output, _ = done.communicate(timeout=START_TIMEOUT_S)
        if done.returncode:
            self.close()
            raise RuntimeError(f"initdb failed:\n{output}")

    @property
    def url(self) -> str:
        return f"postgresql://{self.role}:{self.password}@{self.host}:{self.port}/{self.database}"

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"divan_{secrets.token_hex(4)}"
        self._execute(f"CREATE DATABASE {name}")
        return f"{self.url.removesuffix(self.database)}{name}"

    def drop(self, url: str) -> None:
        """Drop a database of `new_database`, and disconnect its clients."""
        self._execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        # Not everybody who starts this server has it.
        import asyncpg

        async def execute() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(execute())

    def command(self) -> Sequence[str]:
        options = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            # Nothing outlives the session, so nothing has to reach the disk; WAL and buffers are small.
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "shared_buffers": "16MB",
            "max_connections": "200",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [self._program, "-D", str(self._data), *settings]
