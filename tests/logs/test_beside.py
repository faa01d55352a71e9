"""What other parts of the process write to streams by themselves comes as JSON, redacted, once, and within a limit."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.forked import ForkedPrograms
from tests.servers.process import free_port

pytestmark = pytest.mark.slow

APP = """
import os
from functools import partial

import socketio
from starlette.applications import Starlette

import divan_obs_asgi as obs
from divan_obs_asgi.socketio_ext import ObservedAsyncServer

how, kind, when = os.environ["WAY"].split("-")
bundle = obs.Observability.from_env()
make = socketio.AsyncServer if kind == "plain" else partial(ObservedAsyncServer, obs=bundle)
make = partial(make, async_mode="asgi", cors_allowed_origins=["https://good.example"])
server = make() if when == "before" else None

async def late(scope, receive, send):
    await inner(scope, receive, send)

async def nothing():
    pass

if how == "init":
    other = Starlette()
    obs.init(other, bundle)
else:
    app = obs.wrap(late, bundle)
server = server or make()
if how == "init":
    # With `on_startup` no lifespan comes to the application inside.
    app = socketio.ASGIApp(server, other_asgi_app=other, on_startup=nothing)
else:
    inner = socketio.ASGIApp(server)

@server.on("fail")
async def fail(sid):
    raise LookupError("the application's own fault")
"""
# Seconds; on a busy machine a start may take long.
PATIENCE_S = 90.0
POLLING = "/socket.io/?EIO=4&transport=polling"
SECRET = "hunter2-s3cr3t"
PACKETS, ORIGINS, FAILURES = 60, 20, 15


class Chat:
    """`uvicorn chat:app`, and a client that sends what it likes."""

    def __init__(self, directory: Path, way: str, script: str = APP, **environ: str) -> None:
        (directory / "chat.py").write_text(script)
        self.port = free_port()
        command = [sys.executable, "-m", "uvicorn", "chat:app", "--port", str(self.port), "--app-dir", str(directory)]
        self.out, self.err = directory / "out", directory / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, "WAY": way, **environ})

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request(method, path, body, headers)
        answer = connection.getresponse().read()
        connection.close()
        return answer

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None
            with suppress(ConnectionError):
                self.ask("GET", "/")
                return
            time.sleep(0.05)
        raise TimeoutError

    def end(self) -> list[dict[str, Any]]:
        """End the server; return the lines of both streams, which are JSON all of them."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        return [json.loads(line) for line in (self.out.read_text() + self.err.read_text()).splitlines()]


@pytest.fixture(params=["init-plain-before", "init-observed-after", "wrap-plain-after", "wrap-observed-before"])
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chat]:
    pytest.importorskip("socketio")
    chat = Chat(tmp_path, request.param)
    try:
        chat.wait()
        yield chat
    finally:
        chat.process.kill()
        chat.process.wait(PATIENCE_S)


def test_a_malicious_client_of_engine_io_causes_few_lines_without_data(chat: Chat) -> None:
    """Malformed packets, foreign origins, invented sessions: a few lines each, and how many more there were."""
    sid = json.loads(chat.ask("GET", POLLING)[1:])["sid"]
    chat.ask("POST", f"{POLLING}&sid={sid}", "40")
    for _ in range(PACKETS // 10):
        chat.ask("POST", f"{POLLING}&sid={sid}", "\x1e".join([f'42/x,{{"password":"{SECRET}"'] * 10))
    for number in range(ORIGINS):
        chat.ask("GET", POLLING, origin=f"https://{SECRET}-{number}.example")
        chat.ask("GET", f"{POLLING}&sid={SECRET}-{number}")
    lines = chat.end()
    assert SECRET not in json.dumps(lines)
    result = [line for line in lines if "message async handler error" in line["msg"]]
    counts = [line["left_out"] for line in lines if "left_out" in line and line["logger"] == "engineio.server"]
    assert 0 < len(result) <= 20  # Where a minute ends in between, it begins again.
    assert len(result) + sum(counts) == PACKETS
    origins = [line["msg"] for line in lines if "accepted origin" in line["msg"]]
    assert len(origins) == 1
    assert origins[0].startswith("[redacted:origin] is not an accepted origin.")


def test_invalid_http_causes_few_lines(chat: Chat) -> None:
    """uvicorn's line about it, too."""
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", chat.port), PATIENCE_S) as client:
            client.sendall(b"no http at all\r\n\r\n")
            while client.recv(4096):
                pass
    lines = [line for line in chat.end() if line["logger"] == "uvicorn.error" and line["level"] == "WARNING"]
    result = [line for line in lines if line["msg"].startswith("Invalid HTTP request")]
    assert 0 < len(result) <= 20
    assert len(result) + sum(line.get("left_out", 0) for line in lines) == 30


def test_the_applications_own_failures_are_never_limited(chat: Chat) -> None:
    """Each is logged once, even if Engine.IO logs it at the place of a malformed packet."""
    sid = json.loads(chat.ask("GET", POLLING)[1:])["sid"]
    chat.ask("POST", f"{POLLING}&sid={sid}", "40")
    for _ in range(FAILURES):
        chat.ask("POST", f"{POLLING}&sid={sid}", '42["fail"]')
    lines = chat.end()
    failures = [line for line in lines if line.get("error", {}).get("type") == "LookupError" and line["status"] is None]
    # By asyncio or Engine.IO for a plain server, and by the event's own line for an observed one.
    assert len(failures) == FAILURES
    assert [line for line in lines if "left_out" in line] == []


# What python-socketio and Engine.IO log where they are asked to.

LOUD = """
import asyncio, logging, os, sys

import socketio
import divan_obs_asgi as obs

bundle = obs.Observability.from_env()
loggers = {"default": (True, True), "own": (logging.getLogger("shop"), logging.getLogger("shop.engine"))}
logger, engine = loggers[os.environ["LOGGERS"]]

async def late(scope, receive, send):
    await inner(scope, receive, send)

app = obs.wrap(late, bundle)
server = socketio.AsyncServer(async_mode="asgi", namespaces="*", logger=logger, engineio_logger=engine)
inner = socketio.ASGIApp(server)

@server.on("connect", namespace="*")
async def connect(namespace, sid, environ):
    pass

@server.on("say", namespace="*")
async def say(namespace, sid, text):
    room = f"room-of-{text}"
    await server.enter_room(sid, room, namespace=namespace)
    for target in (room, sid, None):
        await server.emit("said", {"text": text}, to=target, namespace=namespace)
    await server.leave_room(sid, room, namespace=namespace)
    await server.close_room(room, namespace=namespace)
    return text

@server.on("fail", namespace="*")
async def fail(namespace, sid, text):
    raise LookupError(f"nobody is {sid}")

@server.on("leave", namespace="*")
async def leave(namespace, sid):
    await server.disconnect(sid, namespace=namespace)
"""


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
@pytest.mark.parametrize("loggers", ["default", "own"])
def test_lines_of_libraries_about_a_client_hold_no_data(tmp_path: Path, loggers: str, level: str) -> None:
    """A server of python-socketio's own, with its loggers on: each step is logged, and none of what was said."""
    pytest.importorskip("socketio")
    chat = Chat(tmp_path, "", script=LOUD, LOGGERS=loggers, LOG_LEVEL=level)
    try:
        chat.wait()
        sid = json.loads(chat.ask("GET", POLLING)[1:])["sid"]
        packets = [
            f"40/{SECRET},",
            f'42/{SECRET},1["say","{SECRET}"]',
            f'42/{SECRET},["{SECRET}","{SECRET}"]',
            f'43/{SECRET},7["{SECRET}"]',
            f'42/other-{SECRET},["say",1]',
            f'42/{SECRET},["fail","{SECRET}"]',
            f'451-/{SECRET},["say",{{"_placeholder":true,"num":0}}]',
            "bAAAA",
            f'42/{SECRET},["leave"]',
            f"4{SECRET}",
            f'42{{"{SECRET}"',
            f"9{SECRET}",
        ]
        result = [sid]
        for packet in packets:
            chat.ask("POST", f"{POLLING}&sid={sid}", packet)
            if packet.startswith("40"):
                result += re.findall(r'"sid":"([^"]+)"', chat.ask("GET", f"{POLLING}&sid={sid}").decode())
        for query in (f"&sid={SECRET}", f"&sid={sid}&transport={SECRET}", "&j=a", f"&EIO={SECRET}"):
            chat.ask("GET", f"{POLLING}{query}", origin=f"https://{SECRET}.example")
        chat.ask(SECRET.upper().replace("-", ""), POLLING)
        lines = chat.end()
    finally:
        chat.process.kill()
        chat.process.wait(PATIENCE_S)
    text = json.dumps([line for line in lines if line["logger"] != "divan_obs_asgi.access"])
    assert len(result) == 2
    assert [secret for secret in (SECRET, SECRET.upper().replace("-", ""), *result) if secret in text] == []
    messages = [line["msg"] for line in lines]
    assert any(message.startswith("[redacted:session]: Received packet MESSAGE data string:") for message in messages)
    for message in (
        'received event "[redacted:event]" from [redacted:session] [[redacted:namespace]]',
        "[redacted:session] is entering room [redacted:room] [[redacted:namespace]]",
        'emitting event "said" to [redacted:room] [[redacted:namespace]]',
        'emitting event "said" to all [[redacted:namespace]]',
        "room [redacted:room] is closing [[redacted:namespace]]",
        "Server initialized for asgi.",
    ):
        assert message in messages
    assert "nobody is [redacted:session]" in text


# What Python writes by itself.

START = """
import gc, sys, threading, warnings
import divan_obs_asgi as obs

bundle = obs.Observability.from_env({})
bundle.log.install()
"""


@pytest.fixture(scope="module")
def programs() -> Iterator[ForkedPrograms]:
    with ForkedPrograms() as programs:
        yield programs


def run(programs: ForkedPrograms, program: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run a program in a process of its own; return how it ended, its lines, and what it wrote to standard error."""
    done = programs.run(program)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_an_uncaught_exception_is_one_line_and_the_process_fails(programs: ForkedPrograms) -> None:
    """Written before the end, redacted, and not a second time."""
    code, lines, stderr = run(programs, START + f"raise LookupError('password={SECRET}')")
    assert (code, stderr) == (1, "")
    (line,) = lines
    assert (line["level"], line["logger"]) == ("CRITICAL", "divan_obs_asgi.uncaught")
    assert line["error"]["type"] == "LookupError"
    assert SECRET not in json.dumps(line)


def test_an_uncaught_exception_in_a_thread_is_one_line(programs: ForkedPrograms) -> None:
    """With the thread's name."""
    script = f"""
def work():
    raise LookupError('password={SECRET}')
thread = threading.Thread(target=work, name="worker")
thread.start()
thread.join()
"""
    code, lines, stderr = run(programs, START + script)
    assert (code, stderr) == (0, "")
    (line,) = lines
    assert (line["level"], line["thread_name"], line["error"]["type"]) == ("ERROR", "worker", "LookupError")
    assert SECRET not in json.dumps(line)


def test_an_uncatchable_exception_is_one_line(programs: ForkedPrograms) -> None:
    """In `__del__`: with the name of what raised it, and not with its `repr`."""
    script = f"""
class Held:
    def __repr__(self):
        return 'password={SECRET}'
    def __del__(self):
        raise LookupError('password={SECRET}')
held = Held()
del held
gc.collect()
"""
    code, lines, stderr = run(programs, START + script)
    assert (code, stderr) == (0, "")
    (line,) = lines
    assert (line["level"], line["ignored_in"], line["error"]["type"]) == ("ERROR", "Held.__del__", "LookupError")
    assert SECRET not in json.dumps(line)


def test_a_warning_is_one_line(programs: ForkedPrograms) -> None:
    """Under the name that the standard library has for them."""
    code, lines, stderr = run(programs, START + f"warnings.warn('token={SECRET}', RuntimeWarning)")
    assert (code, stderr) == (0, "")
    (line,) = lines
    assert (line["level"], line["logger"]) == ("WARNING", "py.warnings")
    assert line["msg"].startswith("RuntimeWarning: ")
    assert SECRET not in json.dumps(line)


def test_ctrl_c_is_as_it_was(programs: ForkedPrograms) -> None:
    """An order and no failure."""
    code, lines, stderr = run(programs, START + "raise KeyboardInterrupt")
    assert (code, lines) == (-signal.SIGINT, [])
    assert stderr.endswith("KeyboardInterrupt\n")


def test_a_hook_of_somebody_else_is_called_too() -> None:
    """An error tracker's, which was set before the library was imported."""
    before = "import sys\nsys.excepthook = lambda *_: print('tracked', file=sys.stderr)\n"
    script = "raise LookupError"
    done = subprocess.run(
        [sys.executable, "-c", before + START + script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "tracked\n"
    assert json.loads(done.stdout)["error"]["type"] == "LookupError"


# As error trackers set theirs: what they have found is called afterwards.
TRACKER = """
import sys, threading, traceback

def tracker_of(old):
    def hook(*args):
        print("tracked", file=sys.stderr)
        OTHER
        return old(*args)
    return hook

def track():
    sys.excepthook = tracker_of(sys.excepthook)
    threading.excepthook = tracker_of(threading.excepthook)
    sys.unraisablehook = tracker_of(sys.unraisablehook)
"""
IN_THREAD = f"""
def work():
    raise LookupError('password={SECRET}') from ValueError('password={SECRET}')
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
IN_FINALIZER = f"""
class Held:
    def __del__(self):
        raise LookupError('password={SECRET}')
Held()
gc.collect()
"""
IN_PROCESS = f"raise LookupError('password={SECRET}')\n"
AGAIN = "bundle = obs.Observability.from_env({})\nbundle.log.install()\n"


BY_NAME = "sys.__excepthook__(*(args if len(args) > 1 else args[0][:3]))"


@pytest.mark.parametrize("failure", [IN_PROCESS, IN_THREAD, IN_FINALIZER], ids=["process", "thread", "finalizer"])
@pytest.mark.parametrize(
    ("order", "other"),
    [
        ("{track}{start}", ""),
        ("{track}{start}", BY_NAME),
        ("{start}{track}", ""),
        ("{start}{track}{again}", ""),
        ("{start}{track}{again}", BY_NAME),
        ("{track}{start}{track}{again}", ""),
    ],
)
def test_a_hook_that_calls_the_one_before_brings_no_second_copy(
    programs: ForkedPrograms, order: str, failure: str, other: str
) -> None:
    """In any order and however often: the tracker is called, and the exception is written once, redacted."""
    program = order.format(track="track()\n", start=START, again=AGAIN) + failure
    done = programs.run(TRACKER.replace("OTHER", other) + program)
    assert set(done.stderr.splitlines()) == {"tracked"}
    (line,) = (json.loads(line) for line in done.stdout.splitlines())
    assert line["error"]["type"] == "LookupError"
    assert SECRET not in done.stdout


def test_a_hook_that_fails_is_a_line_and_brings_no_second_copy(programs: ForkedPrograms) -> None:
    """Python would write both tracebacks."""
    before = f"import sys\ndef hook(*_):\n    raise OSError('password={SECRET}')\nsys.excepthook = hook\n"
    done = programs.run(before + START + IN_PROCESS)
    assert (done.returncode, done.stderr) == (1, "")
    assert [json.loads(line)["error"]["type"] for line in done.stdout.splitlines()] == ["LookupError", "OSError"]
    assert SECRET not in done.stdout


def test_if_the_line_cannot_be_written_only_the_type_is(programs: ForkedPrograms) -> None:
    """A closed standard output: nothing of the text reaches standard error."""
    script = f"sys.stdout.close()\nraise LookupError('password={SECRET}')"
    _, _, stderr = run(programs, START + script)
    assert SECRET not in stderr
    assert "uncaught LookupError" in stderr


def test_without_a_pipeline_python_writes_as_before(programs: ForkedPrograms) -> None:
    """The hooks outlive the bundle, and hold nothing of it."""
    script = """
import logging, weakref
gone = weakref.ref(bundle.log)
logging.root.handlers.clear()
del bundle
gc.collect()
assert gone() is None
raise LookupError
"""
    code, lines, stderr = run(programs, START + script)
    assert (code, lines) == (1, [])
    assert stderr.endswith("LookupError\n")


def test_a_stack_alone_takes_nothing_over() -> None:
    """`build_stack` leaves the process as it is."""
    script = """
import sys
import divan_obs_asgi as obs
hooks = sys.excepthook, sys.unraisablehook
obs.build_stack(lambda scope, receive, send: None, obs.Observability.from_env({}))
assert hooks == (sys.__excepthook__, sys.__unraisablehook__)
assert hooks == (sys.excepthook, sys.unraisablehook)
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)
