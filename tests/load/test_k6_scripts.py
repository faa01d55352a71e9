"""The k6 scripts of ops_assets/k6, run by k6 against the reference backend, and against one that loses messages."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load.scripts import SCRIPTS, Script, ScriptFailed, program, run
from benchmarks.load.stage import BackendServer

K6 = Path(str(files("divan_obs_asgi.ops_assets") / "k6"))
TINY: dict[str, dict[str, float]] = {
    "chat_send_load": {"USERS": 4, "ROOMS": 2, "RAMP_S": 1, "HOLD_S": 2, "THINK_S": 0.2},
    "proximity_nearby_load": {"PEOPLE": 4, "RATE": 5, "DURATION_S": 2},
    "socketio_chat_load": {"CLIENTS": 6, "ROOMS": 2, "DURATION_S": 2, "THINK_S": 0.2},
}
BY_NAME = {script.name: script for script in SCRIPTS}
# Posts each room's second message to nobody, and the third twice.
CARELESS = """
import examples.divan.realtime as realtime

emit_to_room, told = realtime.ChatServer.emit_to_room, {}

async def careless(self, room, event, data):
    told[room] = told.get(room, 0) + 1
    for _ in range({2: 0, 3: 2}.get(told[room], 1)):
        await emit_to_room(self, room, event, data)

realtime.ChatServer.emit_to_room = careless
from examples.divan.__main__ import main

main()
"""


def embedded(folder: Path) -> dict[str, str]:
    return {"DATABASE_URL": f"sqlite:///{folder / 'divan.sqlite3'}", "OBS_LOGGING_ENABLED": "false"}


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[BackendServer]:
    with closing(BackendServer(embedded(tmp_path))) as server:
        yield server.start()


@pytest.fixture(params=sorted(BY_NAME))
def script(request: pytest.FixtureRequest) -> Script:
    return BY_NAME[request.param]


def inspected(script: Script, **parameters: object) -> dict[str, Any]:
    words = [word for name, value in parameters.items() for word in ("-e", f"{name}={value}")]
    command = [program(), "inspect", *words, str(K6 / f"{script.name}.js")]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=120).stdout)
    return found


def documented(script: Script) -> dict[str, str]:
    """Return the parameters that a script's comment lists, with the defaults there."""
    top = (K6 / f"{script.name}.js").read_text().partition("\nimport")[0]
    return dict(re.findall(r"^//   ([A-Z0-9_]+) +(\S+)  ", top, re.MULTILINE))


def test_each_parameter_is_listed_at_the_top(script: Script) -> None:
    """With the default that it has."""
    code = (K6 / f"{script.name}.js").read_text()
    read = dict(re.findall(r"number\('([A-Z0-9_]+)', ([\d.]+)\)", code))
    assert read == documented(script)
    assert script.short.keys() <= read.keys()


def test_thresholds_stand_on_the_route(script: Script) -> None:
    """Only errors end a run early; the requests of the setup are not judged."""
    thresholds = inspected(script)["thresholds"]
    assert f"http_req_failed{{name:{script.route}}}" in thresholds
    ending = {name for name, those in thresholds.items() for one in those if isinstance(one, dict)}
    assert ending <= {f"http_req_failed{{name:{script.route}}}", "socketio_refusals"}
    assert [name for name, those in thresholds.items() if any(str(one).startswith("p(95)") for one in those)] == [
        *script.measures.values()
    ]


def test_latency_need_not_be_judged(script: Script) -> None:
    """As in CI."""
    thresholds = inspected(script, JUDGE_LATENCY=0)["thresholds"].values()
    assert not [one for those in thresholds for one in those if str(one).startswith("p(95)")]


def test_a_bad_parameter_is_refused() -> None:
    """It is named."""
    with pytest.raises(ScriptFailed, match=r'RATE is \\?"many\\?"; expected a number from 0 on'):
        run(BY_NAME["proximity_nearby_load"], "http://127.0.0.1:9", {"RATE": "many"})


def test_where_nobody_serves_the_script_fails() -> None:
    """With the request that was not answered."""
    with pytest.raises(ScriptFailed, match=r"POST http://127.0.0.1:9/auth/demo was answered 0: .*refused"):
        run(BY_NAME["chat_send_load"], "http://127.0.0.1:9", TINY["chat_send_load"])


@pytest.mark.slow
def test_the_backend_bears_it(script: Script, backend: BackendServer) -> None:
    """No request fails, no event is missing; the summary has what the report asks for."""
    summary = run(script, backend.url, {**TINY[script.name], "JUDGE_LATENCY": 0, "DROPPED": 1})
    assert summary.broken() == []
    assert summary.failed == 0
    assert summary.requests > summary.value(f"http_reqs{{name:{script.route}}}", "count") > 0
    assert summary.requests_a_second > 0
    for metric in script.measures.values():
        assert 0 < summary.value(metric, "med") <= summary.value(metric, "p(95)") <= summary.value(metric, "p(99)")


@pytest.mark.slow
def test_events_are_counted_exactly(backend: BackendServer) -> None:
    """Each message once for each member of its room."""
    summary = run(BY_NAME["socketio_chat_load"], backend.url, {**TINY["socketio_chat_load"], "JUDGE_LATENCY": 0})
    messages = summary.value("http_reqs{name:/rooms/{room}/messages}", "count")
    assert summary.value("socketio_events_expected", "count") == 3 * messages
    assert summary.value("socketio_events_received", "count") == 3 * messages
    assert summary.value("socketio_delivery_ms", "count") == 3 * messages
    # A join and a leave for each client.
    assert summary.value("socketio_ack_ms", "count") == messages + 2 * 6


class CarelessServer(BackendServer):
    """The backend, but for some messages."""

    def command(self) -> list[str]:
        return [*super().command()[:-2], "-c", CARELESS]


@pytest.mark.slow
def test_events_that_are_lost_or_doubled_are_found(tmp_path: Path) -> None:
    """In each of two rooms of three, one message is missing and one comes twice."""
    with closing(CarelessServer(embedded(tmp_path))) as backend:
        parameters = {**TINY["socketio_chat_load"], "JUDGE_LATENCY": 0, "LAST_S": 0}
        summary = run(BY_NAME["socketio_chat_load"], backend.start().url, parameters)
    assert summary.value("socketio_events_missing", "count") == 2 * 3
    assert summary.value("socketio_events_unexpected", "count") == 2 * 3
    assert sorted(name for name, _ in summary.broken()) == ["socketio_events_missing", "socketio_events_unexpected"]
