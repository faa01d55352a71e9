"""The real JavaScript client: a node process that obeys the test."""

from __future__ import annotations

import itertools
import json
import select
import subprocess
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tests.servers.npm import installed
from tests.servers.process import program

SOURCE = Path(__file__).parent / "javascript"
ANSWER_TIMEOUT_S = 20.0


class JavaScriptClients:
    """Any number of clients of `socket.io-client` in one node process, each by its name."""

    def __init__(self) -> None:
        node = program("node", package="nodejs")
        self._process = subprocess.Popen(
            [node, str(SOURCE / "client.js")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"NODE_PATH": str(installed(SOURCE))},
        )
        self._numbers = itertools.count(1)

    def do(self, what: str, client: str, **wish: Any) -> Any:
        """
        Let a client do something; return what it answers.

        Raises:
            ClientError: where it fails.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        number = next(self._numbers)
        print(json.dumps({"id": number, "do": what, "client": client, **wish}), file=self._process.stdin, flush=True)
        # One command at a time, so the next line is its answer.
        if not select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            raise TimeoutError(f"the JavaScript client did not answer to {what!r} in {ANSWER_TIMEOUT_S} s.")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"node ended with {self._process.wait()}; its error stands above.")
        answer = json.loads(line)
        assert answer["id"] == number
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer["ok"]

    def end(self) -> None:
        self._process.communicate(timeout=PATIENCE_S)


class ClientError(Exception):
    """What a client could not do, in its library's words."""
