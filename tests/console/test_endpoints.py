"""Who may use the endpoints of the console, and with which headers they answer."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import anyio
import orjson
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

import divan_obs_asgi as obs
from divan_obs_asgi.connection.debug_header import DebugKey
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.console.files import POLICY, console_files
from divan_obs_asgi.ops.own_port import OWN_PORT_KEY
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.console.consoles import FLAGS, TOKEN, Watched
from tests.ops.asking import bearer
from tests.stacks import Observed

PREVIOUS = "the-token-before-this-one"
TOKENS = {"none": (), "wrong": (bearer("wrong"),), "previous": (bearer(PREVIOUS),), "right": (bearer(),)}
SHELL, FILE, STATE, OPENED = (
    "/ops/console",
    "/ops/console/console.js",
    "/ops/console/state",
    "/ops/console/requests/1-1",
)
MAKES, KEY = "/ops/console/debug-header", "0123456789abcdef-of-debug"
METHODS = ("GET", "HEAD", "POST", "OPTIONS")
OWN = 418


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("the application's own", OWN)(scope, receive, send)


def expected(path: str, token: str, *, on: bool, inside: bool, method: str) -> int:
    """Return the status that each of these 128 requests gets. With the console off it is that of any unknown path."""
    known = token in ("previous", "right")
    if not on:
        if not inside:
            return 403
        return 404 if known else 401
    if method in ("POST", "OPTIONS"):
        return 405
    if path in (SHELL, FILE):
        return 200
    if not inside:
        return 403
    if not known:
        return 401
    return 200 if path == STATE else 404


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("inside", [False, True], ids=["another network", "an allowed network"])
@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("path", [SHELL, FILE, STATE, OPENED])
def test_each_request_is_answered_as_the_table_says(path: str, token: str, inside: bool, on: bool) -> None:
    """Every endpoint, with each token, from each network, with the flag on and off, by each method."""
    flags = {
        **FLAGS,
        "OBS_CONSOLE_ENABLED": str(on).lower(),
        "OBS_ADMIN_TOKEN_PREVIOUS": PREVIOUS,
        "OBS_OPS_NETWORKS": "10.0.0.0/8",
    }
    observed = Observed(flags)
    stack = obs.build_stack(application, observed.obs)

    async def main() -> None:
        for method in METHODS:
            client = ("10.1.2.3" if inside else "192.0.2.7", 5)
            scope = {**http_scope(path, method=method, headers=TOKENS[token]), "client": client}
            done = await converse(stack, scope)
            assert done.status == expected(path, token, on=on, inside=inside, method=method), (method, done.body)
            if method == "HEAD":
                assert done.body == b""
            if done.status == 405:
                assert done.header(b"allow") == [b"GET, HEAD"]

    anyio.run(main)


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("key", ["", KEY], ids=["no key", "a key"])
@pytest.mark.parametrize("token", TOKENS)
def test_only_an_operator_makes_a_debug_header(
    caplog: pytest.LogCaptureFixture, token: str, key: str, on: bool
) -> None:
    """Where the console is on and OBS_DEBUG_KEY is set; each attempt is a line of the audit log, without the value."""
    observed = Observed({**FLAGS, "OBS_CONSOLE_ENABLED": str(on).lower(), "OBS_DEBUG_KEY": key, "OBS_ENV": "test",
                         "OBS_ADMIN_TOKEN_PREVIOUS": PREVIOUS, "OBS_METRICS_PUBLIC": "false"})  # fmt: skip
    stack = obs.build_stack(application, observed.obs)
    known = token in ("previous", "right")

    async def main() -> None:
        for method in METHODS:
            done = await converse(stack, http_scope(MAKES, method=method, headers=TOKENS[token]))
            if not on:
                status = 404 if known else 401
            elif method != "POST":
                status = 405
            else:
                status = (200 if key else 409) if known else 401
            assert done.status == status, (method, done.body)
            if status == 405:
                assert done.header(b"allow") == [b"POST"]
            if status == 409:
                assert orjson.loads(done.body) == {"detail": "OBS_DEBUG_KEY is not set."}
            if status == 200:
                made = orjson.loads(done.body)
                assert made["header"] == "X-Divan-Debug"
                assert DebugKey(key).verifies(made["value"].encode(), made["expires"] - 1)
                assert not DebugKey(key).verifies(made["value"].encode(), made["expires"])
                assert done.header(b"cache-control") == [b"no-store"]
                again = await converse(stack, http_scope(MAKES, method="POST", headers=TOKENS[token]))
                # Each is for one request.
                assert orjson.loads(again.body)["value"] != made["value"]
                assert made["value"] not in caplog.text
        audited = [line.getMessage() for line in caplog.records if line.name == "divan_obs_asgi.audit"]
        if on and known:
            assert audited
            assert all(line.startswith(f"POST {MAKES}: ") for line in audited)

    anyio.run(main)


@pytest.mark.parametrize("env", ["dev", "prod"])
def test_without_an_admin_token_it_is_closed(env: str) -> None:
    """In dev too; the page itself has no data."""
    watched = Watched(application, {"OBS_ADMIN_TOKEN": "", "OBS_ENV": env})

    async def main() -> list[int | None]:
        return [(await watched.get(path)).status for path in (SHELL, FILE, STATE, OPENED)]

    assert anyio.run(main) == [200, 200, 403, 403]


def test_the_eleventh_wrong_token_is_limited() -> None:
    """As for every guarded endpoint."""
    watched = Watched(application)

    async def main() -> list[int | None]:
        return [(await watched.get(STATE, bearer("wrong"))).status for _ in range(11)]

    assert anyio.run(main) == [401] * 10 + [429]


def test_the_application_decides_too() -> None:
    """The token alone is not enough where it has a condition of its own."""
    watched = Watched(application, authorize=lambda scope: False)

    async def main() -> int | None:
        return (await watched.get(STATE, bearer())).status

    assert anyio.run(main) == 403


def headers_of(done: Conversation, *names: str) -> list[str]:
    return [b",".join(done.header(name.encode())).decode() for name in names]


def test_nothing_but_its_own_files_may_run_or_frame_the_page() -> None:
    """On each answer; what is shown is never stored."""
    watched = Watched(application)

    async def main() -> None:
        for path in (SHELL, FILE, STATE):
            done = await watched.get(path, bearer())
            names = ("content-security-policy", "x-content-type-options", "referrer-policy")
            assert headers_of(done, *names) == [POLICY, "nosniff", "no-referrer"]
            assert headers_of(done, "cross-origin-opener-policy") == ["same-origin"]
            assert headers_of(done, "cache-control") == ["no-store" if path == STATE else "no-cache"]
            assert headers_of(done, "access-control-allow-origin") == [""]
        assert POLICY == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'none'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        )

    anyio.run(main)


def test_a_file_is_sent_once() -> None:
    """Its tag changes with its content; no other file is found, however it is written."""
    watched = Watched(application)

    async def main() -> None:
        first = await watched.get(FILE)
        (tag,) = first.header(b"etag")
        assert headers_of(first, "content-type") == ["text/javascript; charset=utf-8"]
        for known in (tag, b"W/" + tag, b'"other", ' + tag, b"*"):
            again = await watched.get(FILE, (b"if-none-match", known))
            assert (again.status, again.body, again.header(b"etag")) == (304, b"", [tag])
        assert (await watched.get(FILE, (b"if-none-match", b'"other"'))).status == 200
        for name in ("console.html", "..", "%2e%2e%2fstore.py", "shapes.py", "nothing.js"):
            assert (await watched.get(f"/ops/console/{name}")).status in (401, 404), name

    anyio.run(main)


def test_all_files_are_small() -> None:
    """Somebody opens it over a slow line at night."""
    assert sum(len(file.body) for file in console_files().values()) < 90_000


def test_it_is_served_on_the_own_port_only() -> None:
    """With OBS_OPS_PORT the other port answers as if there were no console, the page included."""
    watched = Watched(application, {"OBS_OPS_PORT": "9100"})

    async def main() -> None:
        for path in (SHELL, FILE, STATE):
            here = await watched.get(path, bearer())
            assert here.status == OWN
            scope = {**http_scope(path, headers=[bearer()]), OWN_PORT_KEY: True}
            assert (await converse(watched.stack, scope)).status == 200

    anyio.run(main)


def test_it_moves_with_the_prefix() -> None:
    """And the state says so to the page."""
    watched = Watched(application, {"OBS_OPS_PREFIX": "/internal"})

    async def main() -> Any:
        done = await watched.get("/internal/ops/console/state", bearer())
        return orjson.loads(done.body)

    state = anyio.run(main)
    assert state["service"]["prefix"] == "/internal"
    assert state["actions"][0]["path"] == "/internal/ops/loggers"


@pytest.mark.slow
def test_with_the_flag_off_none_of_it_is_imported() -> None:
    """And with it on, it is."""
    code = (
        "import sys, divan_obs_asgi as obs\n"
        "async def app(scope, receive, send): ...\n"
        "obs.build_stack(app, obs.Observability.from_env({'OBS_CONSOLE_ENABLED': sys.argv[1]}))\n"
        "print(any(name.startswith('divan_obs_asgi.console') for name in sys.modules))"
    )
    for flag, imported in (("false", "False"), ("true", "True")):
        done = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == imported


def test_with_the_flag_off_the_stack_is_the_same() -> None:
    """The same middlewares, with no observer beside them; a request has neither a watcher nor a trail."""
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        record: Any = scope.get(RECORD_KEY)
        seen.append(record)
        request = Request(scope, receive)
        await PlainTextResponse(request.method)(scope, receive, send)

    def shape(stack: Any) -> list[str]:
        names = []
        while stack is not app:
            names.append(type(stack).__name__)
            stack = stack._chain if hasattr(stack, "_chain") else stack.app
        return names

    off, on = Observed({"OBS_ADMIN_TOKEN": TOKEN}), Observed(FLAGS)
    stacks = [obs.build_stack(app, one.obs) for one in (off, on)]
    assert shape(stacks[0]) == shape(stacks[1])
    assert off.obs.observers._attached == ()
    assert [one.component for one in on.obs.observers._attached] == ["console"]
    for stack in stacks:
        anyio.run(converse, stack, http_scope("/"))
    assert [record.watcher is None for record in seen] == [True, False]
    assert [record.trail for record in seen] == [None, None]
