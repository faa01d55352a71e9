"""The end of a service as developers and operators see it, with the real commands."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import httpx
import pytest

from divan_obs_asgi.lifecycle.development import is_reloaded
from tests.patience import PATIENCE_S
from tests.servers.command import Command, until
from tests.servers.process import STOP_TIMEOUT_S

pytestmark = pytest.mark.slow

APP = """
from starlette.applications import Starlette
import divan_obs_asgi as obs

app = Starlette()
obs.init(app)
"""
RELOADED = """
import os, sys, uvicorn
from starlette.applications import Starlette
import divan_obs_asgi as obs

app = Starlette()
obs.init(app)

if __name__ == "__main__":
    uvicorn.run("shop:app", host="127.0.0.1", port=int(sys.argv[1]), reload=True)
"""
# Longer than a test waits: a service that waits for it has not ended at once.
LONG = {"OBS_DRAIN_DELAY_S": "300"}
# The default, which depends on where the service runs.
NOT_SET = {"OBS_DRAIN_DELAY_S": ""}
NOW = "SIGTERM: not ready; shutting down now"


def ready(command: Command) -> None:
    assert httpx.get(f"{command.url}/health/ready", timeout=PATIENCE_S).status_code == 200


def test_a_polled_service_drains() -> None:
    """Without a terminal, a reloader or a flag."""
    command = Command(APP, "uvicorn", "app", env=NOT_SET)
    try:
        command.start()
        ready(command)
        command.process.terminate()
        command.line("SIGTERM: not ready; serving for another 5 s.")
        assert httpx.get(f"{command.url}/health/live", timeout=PATIENCE_S).status_code == 200
        command.process.terminate()
        command.line("A second signal ended the drain, with 0 requests and 0 WebSockets in flight.")
        command.process.wait(STOP_TIMEOUT_S)
    finally:
        command.close()


def test_with_the_environment_dev_there_is_no_delay() -> None:
    """With OBS_ENV=dev no request of a user is lost."""
    command = Command(APP, "uvicorn", "app", env={**NOT_SET, "OBS_ENV": "dev"})
    try:
        command.start()
        ready(command)
        command.process.terminate()
        command.line(f"{NOW} (no delay: OBS_ENV=dev).")
        command.process.wait(STOP_TIMEOUT_S)
    finally:
        command.close()


def test_a_reload_has_no_delay() -> None:
    """uvicorn --reload sends its child SIGTERM, and the developer waits for the next one."""
    command = Command(APP, "uvicorn", "app", "--reload", env=NOT_SET)
    command._options = ("--reload", "--reload-dir", str(command.directory))
    try:
        command.start()
        until(lambda: "Application startup complete." in command.messages(), command)
        ready(command)
        command.module.write_text(APP + "\n# changed\n")
        command.line(f"{NOW} (no delay: under a reloader).")
        until(lambda: command.messages().count("Application startup complete.") == 2, command)
    finally:
        command.close()


class Script(Command):
    """An application that runs uvicorn itself: its command line does not show the reload."""

    def command(self) -> list[str]:
        return [sys.executable, str(self.module), str(self.port)]


def test_a_reload_by_code_has_no_delay() -> None:
    """With `uvicorn.run(app, reload=True)`."""
    command = Script(RELOADED, "uvicorn", "app", env=NOT_SET)
    try:
        command.start()
        until(lambda: "Application startup complete." in command.messages(), command)
        ready(command)
        command.module.write_text(RELOADED + "\n# changed\n")
        command.line(f"{NOW} (no delay: under a reloader).")
    finally:
        command.close()


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGTERM, f"{NOW} (no delay: on a terminal)."),
        (signal.SIGINT, "SIGINT: not ready; shutting down now."),
    ],
    ids=["SIGTERM", "Ctrl-C"],
)
def test_on_a_terminal_there_is_no_delay(number: signal.Signals, line: str) -> None:
    """For Ctrl-C and for SIGTERM, and the log line says so."""
    command = Command(APP, "uvicorn", "app")
    ours, its = pty.openpty()
    process = subprocess.Popen(
        command.command(), stdin=its, stdout=subprocess.PIPE, stderr=its, cwd=command.directory, start_new_session=True
    )
    try:
        os.close(its)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                ready(command)
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        process.send_signal(number)
        output, _ = process.communicate(timeout=STOP_TIMEOUT_S)
        assert f'"msg":"{line}"' in output.decode()
        assert "still serving" not in output.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        command.close()


def test_ctrl_c_has_no_delay_anywhere() -> None:
    """Not even if a delay is set."""
    command = Command(APP, "uvicorn", "app", env=LONG)
    try:
        command.start()
        command.process.send_signal(signal.SIGINT)
        command.process.wait(STOP_TIMEOUT_S)
        command.line("SIGINT: not ready; shutting down now.")
        assert not any("still serving" in message for message in command.messages())
    finally:
        command.close()


@pytest.mark.parametrize("worker", ["asyncio", "trio", "uvloop"])
def test_a_worker_that_receives_no_signal_logs_it(worker: str) -> None:
    """hypercorn stops its workers by an event: no drain starts, and a log line says so."""
    command = Command(APP, "hypercorn", "app", "--worker-class", worker)
    try:
        command.start()
        command.line(
            "SIGTERM does not start a drain: the server's main process receives it, and stops its workers by other "
            "means. Use POST /ops/drain."
        )
        command.process.terminate()
        command.process.wait(STOP_TIMEOUT_S)
    finally:
        command.close()


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        (["/usr/bin/uvicorn", "app:app", "--reload"], {}, True),
        (["/usr/bin/fastapi", "dev", "app.py"], {}, True),
        (["/usr/bin/fastapi", "run", "app.py"], {}, False),
        (["app.py"], {"WATCHFILES_CHANGES": "[]"}, True),
        (["manage.py", "runserver"], {"RUN_MAIN": "true"}, True),
        (["app.py"], {"WERKZEUG_RUN_MAIN": "true"}, True),
        (["uvicorn", "app:app", "--workers", "4"], {}, False),
        ([], {}, False),
    ],
)
def test_reloaders_are_detected(argv: list[str], environ: dict[str, str], expected: bool) -> None:
    """By what they leave in the process that they restart."""
    assert is_reloaded(argv, environ, None) is expected
