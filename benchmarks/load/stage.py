"""What a load test needs around it: stores of its own, an OTLP receiver, and the backend."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks.load.processor import tree_s
from tests.servers.otlp import OtlpReceiver
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerProcess
from tests.servers.redis import RedisServer

# What is compared, by name: the flags of divan_obs_asgi. The console, which is off by default, is only on for who tries
# the example.
STACKS: Mapping[str, Mapping[str, str]] = {
    "off": {"OBS_ENABLED": "false"},
    "on": {"OBS_TRACING_ENABLED": "true", "OTEL_TRACES_SAMPLER_ARG": "0.1", "OBS_CONSOLE_ENABLED": "false"},
}
_ROOT = Path(__file__).parents[2]
_OURS = ("OBS_", "OTEL_", "LOG_", "HEALTH_", "DATABASE_", "REDIS_", "PROMETHEUS_")


class StageMissing(Exception):
    """A server is not installed."""


class BackendServer(ServerProcess):
    """`python -m examples.divan`, as `make run` starts it, with one worker."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("^Divan is up")

    def __init__(self, flags: Mapping[str, str]) -> None:
        super().__init__()
        folders = [str(_ROOT), *filter(None, sys.path)]
        own = {"HOST": self.host, "PORT": str(self.port), "PYTHONPATH": os.pathsep.join(folders)}
        self._environ = {**own, **flags}

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def command(self) -> Sequence[str]:
        # Flags of this process's own environment are not for the backend.
        inherited = [name for name in os.environ if name.startswith(_OURS) and name not in self._environ]
        return ["env", *(word for name in inherited for word in ("-u", name)), sys.executable, "-m", "examples.divan"]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return super().popen(command, env={**self._environ, **(env or {})})

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def cpu_s(self) -> float:
        """Return user and system seconds of its process tree."""
        return tree_s(self.pid)


@dataclass(frozen=True)
class Stage:
    """The servers that all backends share."""

    postgres: PostgresServer
    redis: RedisServer
    receiver: OtlpReceiver

    @contextmanager
    def backend(self, stack: str) -> Iterator[BackendServer]:
        """Serve the backend with one of `STACKS`, on an empty database."""
        flags = {
            "DATABASE_URL": self.postgres.new_database(),
            "REDIS_URL": self.redis.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.endpoint,
            **STACKS[stack],
        }
        with closing(BackendServer(flags)) as backend:
            yield backend.start()


@contextmanager
def staged() -> Iterator[Stage]:
    """
    Start the servers on free ports, and end them.

    Raises:
        StageMissing: if a server is not installed.
    """
    with ExitStack() as servers:
        try:
            postgres = servers.enter_context(closing(PostgresServer())).start()
            redis = servers.enter_context(closing(RedisServer())).start()
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # its own words are for a test session
            raise StageMissing(str(missing)) from None
        yield Stage(postgres, redis, servers.enter_context(OtlpReceiver()))


__all__ = ["STACKS", "BackendServer", "Stage", "StageMissing", "staged"]
