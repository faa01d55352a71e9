"""A server program as a child of the test session."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, ClassVar, NoReturn, Self

import pytest

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 10.0

# Waits until the session closes its end of the pipe (also by SIGKILL), then ends the server that the pid file names and
# removes the directory. Without a pid file the session has already done so.
# Linux offers PR_SET_PDEATHSIG for this, but that follows the thread which started the server and not the process.
LEASH = """
read -r _
if [ -d "$1" ]; then
    if pid=$(head -n 1 "$1/server.pid") && kill -s "$2" "$pid"; then
        # Some 2 s at most: in a container whose init does not reap, the dead stay visible.
        tries=40
        while [ $tries -gt 0 ] && kill -0 "$pid"; do sleep 0.05; tries=$((tries - 1)); done
    fi
    rm -rf "$1"
fi
"""


def missing(what: str) -> NoReturn:
    """Skip a test that needs a server which is not installed; fail it under `CI=true`."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; it is required under CI=true.", pytrace=False)
    pytest.skip(what)


def program(name: str, *, package: str, folders: Sequence[Path] = ()) -> str:
    """Return the path of a server program, from PATH or else from `folders`."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, folders)])
    return shutil.which(name, path=path) or missing(f"{name} is not installed (on Debian: apt-get install {package})")


def free_port() -> int:
    """
    Return a free port of 127.0.0.1 below those that the kernel hands out (Linux: from 32768).

    A client that keeps connecting to a dead server's port can be given that very port as its own end and so connect to
    itself; the server then finds its port taken when it comes back.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def children(pid: int) -> list[int]:
    """Return the direct child processes (on Linux; elsewhere none)."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def sockets() -> int:
    """Return the number of open sockets of this process (on Linux; elsewhere 0)."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += os.readlink(descriptor).startswith("socket:")
    return found


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to the processes that still exist."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def pidfds(pids: Sequence[int]) -> list[int]:
    """Return a file descriptor for each process that still exists; it becomes readable when the process ends."""
    descriptors = []
    for pid in pids:
        with suppress(ProcessLookupError):
            descriptors.append(os.pidfd_open(pid))
    return descriptors


class ServerProcess:
    """
    A server that a test may stop, kill, pause and start again on the same port.

    The session shares it, so a test that stops it must start it again. `down()` and `paused()` do both.
    """

    ready_line: ClassVar[re.Pattern[str]]
    start_timeout_s: ClassVar[float] = START_TIMEOUT_S
    #: The signals for an orderly end and for an immediate end.
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    quit_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, *, user: str | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        # A server that refuses to run as root needs another user; TMPDIR is the one folder that it can use for certain.
        self.user = user if user and os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="divan-tests-"))
        if self.user:
            shutil.chown(self.directory, self.user)
        self.log: deque[str] = deque(maxlen=50)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._leash = subprocess.Popen(
            ["sh", "-c", LEASH, "leash", str(self.directory), self.quit_signal.name.removeprefix("SIG")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def command(self) -> Sequence[str]:
        """Return the command line that serves in the foreground."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the server and return when it accepts connections."""
        assert not self.running, "it is already running"
        ready = threading.Event()
        process = self.popen(self.command())
        (self.directory / "server.pid").write_text(f"{process.pid}\n")
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read_log, args=(process.stdout, ready), daemon=True)
        self._reader.start()
        self._process = process
        # The event is also set at the end of the output, so that nobody waits for a server that cannot start.
        if not ready.wait(self.start_timeout_s) or not self.running or not any(map(self.ready_line.search, self.log)):
            self.kill()
            raise RuntimeError(f"{type(self).__name__} did not start on port {self.port}:\n" + "\n".join(self.log))
        return self

    def stop(self) -> None:
        """End the server in order."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Run the block without the server: connections are refused."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Run the block with a hanging server: the kernel accepts connections, and nothing responds."""
        assert self._process is not None
        # The parent first, so that it starts no more children, which may end at any time.
        os.kill(self._process.pid, signal.SIGSTOP)
        pids = [self._process.pid, *children(self._process.pid)]
        signal_all(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            signal_all(pids, signal.SIGCONT)

    def close(self) -> None:
        """End the server and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        assert self._leash.stdin is not None
        self._leash.stdin.close()
        self._leash.wait(STOP_TIMEOUT_S)

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
            # Ctrl-C in the terminal is for the session, which then ends its servers in order.
            start_new_session=True,
            user=self.user,
            group=pwd.getpwnam(self.user).pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
        )

    def _read_log(self, output: IO[str], ready: threading.Event) -> None:
        # Read to the end, or the server blocks on a full pipe.
        with output:
            for line in output:
                self.log.append(line.rstrip())
                if self.ready_line.search(line):
                    ready.set()
        ready.set()

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        orphans: list[int] = []
        if how is signal.SIGKILL:
            # Stopped first, so that it starts no more children.
            process.send_signal(signal.SIGSTOP)
            orphans = pidfds(children(process.pid))
        process.send_signal(how)
        # A killed server leaves its children behind, and its port accepts connections until they have ended.
        for orphan in orphans:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(orphan, how)
            select.select([orphan], [], [], STOP_TIMEOUT_S)
            os.close(orphan)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)
        if self._reader is not None:
            # The last lines are in the pipe when the process has ended. A child that lives on may hold the pipe open.
            self._reader.join(READ_TIMEOUT_S)
        (self.directory / "server.pid").unlink(missing_ok=True)
        self._process = None
