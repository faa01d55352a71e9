"""
Programs of tests, each in a fresh process that has imported the library already.

The import takes most of the processor time of a short program. A process that has only imported is forked for each one,
and that runs and ends as `python -c PROGRAM` does, with streams, hooks, exit status and end of the interpreter.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from tests.patience import PATIENCE_S

# A message is the variables, the seconds and the program; with it come the streams. The reply is the exit status.
_SERVER = """
import gc, json, os, signal, socket, sys
import divan_obs_asgi
divan_obs_asgi.Observability, divan_obs_asgi.build_stack, divan_obs_asgi.init, divan_obs_asgi.wrap

# A child that collects garbage would copy every page of the imported modules.
gc.freeze()
tests = socket.socket(fileno=int(sys.argv.pop()))
while True:
    message, streams, _, _ = socket.recv_fds(tests, 1 << 20, 2)
    if not message:
        sys.exit()
    child = os.fork()
    if not child:
        break
    for stream in streams:
        os.close(stream)
    tests.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
tests.close()
for number, stream in enumerate(streams, 1):
    os.dup2(stream, number)
    os.close(stream)
environ, seconds, program = json.loads(message)
os.environ.update(environ)
signal.alarm(seconds)
exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
"""


class ForkedPrograms:
    """
    Runs programs one after the other, as often as asked.

    Args:
        options: options of the interpreter for all of them.
    """

    def __init__(self, *options: str) -> None:
        self._ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, *options, "-c", _SERVER, str(its.fileno())]
        with its:
            self._process = subprocess.Popen(command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.wait(PATIENCE_S)

    def run(self, program: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program with these variables beside those of this process; it ends by SIGALRM if it takes too long."""
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        message = json.dumps([dict(environ or {}), int(PATIENCE_S), program]).encode()
        try:
            socket.send_fds(self._ours, [message], [its_out, its_err])
        finally:
            os.close(its_out)
            os.close(its_err)
        with ThreadPoolExecutor(2) as readers:
            stdout, stderr = readers.map(_text, (out, err))
        return subprocess.CompletedProcess(["python", "-c", program], int(self._ours.recv(16)), stdout, stderr)


def _text(descriptor: int) -> str:
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        return stream.read()


__all__ = ["ForkedPrograms"]
