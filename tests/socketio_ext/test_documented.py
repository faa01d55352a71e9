"""What docs/socketio.md shows can be copied as it stands."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import subprocess
from typing import Any

import anyio
import pytest
import socketio
from opentelemetry import trace

import divan_obs_asgi as obs
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.process import program
from tests.test_docs import blocks


def shown(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the document's server defines, under an environment."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    for code in blocks("socketio.md", "python"):
        exec(code, names)
    return names


def test_the_documented_server_and_client_share_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's handler runs in the trace of the event that the server has handled, and gets what was emitted."""
    traced = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": "", "OBS_SOCKETIO_CLIENT_TRACES": "true"}
    server = shown(traced, monkeypatch)
    helper: dict[str, Any] = {}
    (code,) = blocks("socketio.md", "python client")

    async def conversation(url: str) -> list[object]:
        heard: list[object] = []
        there = anyio.Event()
        exec(code.replace("https://api.example.org", url), helper)

        async def said(text: str) -> None:
            heard.extend([text, trace.get_current_span().get_span_context().trace_id])
            there.set()

        helper["client"].on("said", helper["traced"](said))
        await helper["main"]()
        speaker = socketio.AsyncClient()
        await speaker.connect(url)
        with anyio.fail_after(PATIENCE_S):
            assert await speaker.call("say", "hello", timeout=PATIENCE_S) == "told"
            await there.wait()
        for client in (speaker, helper["client"]):
            await client.disconnect()
        return heard

    with serve(server["app"]) as serving:
        text, trace_id = anyio.run(conversation, serving.url)
    assert text == "hello"
    assert trace_id


def test_the_documented_hook_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a timeout, and of nothing else."""
    careful = shown({}, monkeypatch)["CarefulServer"](async_mode="asgi", obs=obs.Observability.from_env({}))
    assert careful.on_error(TimeoutError(), "say", "/", "sid") == {"error": {"code": "try_later"}}
    assert careful.on_error(KeyError(), "say", "/", "sid") is None


SCRIPT = """
const context = { active: () => "none", with: (inside, call) => [inside, call()] };
const propagation = { extract: (outside, trace) => trace.traceparent ?? outside };
%s
const told = traced((...args) => args.map((arg) => typeof arg));
const trace = { $trace: { traceparent: "00-1" } };
console.log(JSON.stringify([
  told("text", trace), told("text", trace, () => 0), told(trace), told("text"), told(), told(null), told(() => 0),
]));
"""


def test_the_documented_function_for_javascript_takes_the_trace_out() -> None:
    """Whether the server waits for an answer or not, and where there is no trace."""
    node = program("node", package="nodejs")
    (code,) = blocks("socketio.md", "javascript")
    function = code[code.index("function traced") : code.index("const socket")]
    ran = subprocess.run([node, "-e", SCRIPT % function], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout.strip().replace('"', "'").replace(",", ", ") == str(
        [
            ["00-1", ["string"]],
            ["00-1", ["string", "function"]],
            ["00-1", []],
            ["none", ["string"]],
            ["none", []],
            ["none", ["object"]],
            ["none", ["function"]],
        ]
    )
