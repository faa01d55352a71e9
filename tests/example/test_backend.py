"""The reference backend: what a user of Divan sees, on the embedded stores and on real ones."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import httpx
import pytest
import socketio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import examples.divan
from divan_obs_asgi.metrics import FAMILIES
from examples.divan.auth import Tokens
from examples.divan.listen import listen
from examples.divan.presence import Presence
from examples.divan.storage import redis_of
from tests.example.service import (
    ADMIN,
    Clock,
    Listener,
    befriend,
    enter,
    readiness,
    running,
    say,
    served,
    sign_in,
    started,
)
from tests.patience import PATIENCE_S
from tests.servers.promtool import complaints

read: Callable[[str], Iterator[Samples]] = text_string_to_metric_families

# --- who is calling


def test_a_token_says_whom_it_was_issued_to() -> None:
    """Any name comes back as it was."""
    tokens = Tokens(b"secret")
    assert tokens.name_of(tokens.issue("Çağla")) == "Çağla"


def test_a_token_ends() -> None:
    """A token is good for its lifetime and no longer."""
    clock = Clock()
    tokens = Tokens(b"secret", lifetime_s=60, clock=clock)
    token = tokens.issue("ada")
    clock.now += 59
    assert tokens.name_of(token) == "ada"
    clock.now += 1
    assert tokens.name_of(token) is None


def test_a_token_of_another_secret_is_invalid() -> None:
    """Without the secret nobody can sign in as somebody else."""
    assert Tokens(b"secret").name_of(Tokens(b"another").issue("ada")) is None


@given(st.text(), st.integers(min_value=0), st.characters(exclude_categories=()))
def test_a_forged_token_is_invalid(text: str, position: int, character: str) -> None:
    """Neither an invented token nor an altered one names anybody, and none is an error."""
    tokens = Tokens(b"secret")
    token = tokens.issue("ada")
    position %= len(token)
    altered = token[:position] + character + token[position + 1 :]
    assert tokens.name_of(text) is None
    assert tokens.name_of(altered) == ("ada" if altered == token else None)


@pytest.mark.anyio
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer nobody", "Bearer ..", "Basic YWRhOg=="])
async def test_a_client_without_a_token_is_asked_to_sign_in(
    embedded: dict[str, str], authorization: str | None
) -> None:
    """Without a good token nothing of the chat is shown, and the answer says how to get one."""
    async with running(embedded) as divan:
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await divan.get("/rooms/lobby/messages", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "POST /auth/demo" in answer.json()["detail"]


# --- chat


@pytest.mark.anyio
async def test_a_message_is_read_by_others(divan: httpx.AsyncClient) -> None:
    """What one says in a room, another reads there, and nobody reads in another room."""
    ada, bob = await sign_in(divan, "ada"), await sign_in(divan, "bob")
    number = await say(divan, ada, "  Merhaba 👋  ")
    for room in ("lobby", "library"):
        await enter(divan, bob, room)
    page = (await divan.get("/rooms/lobby/messages", headers=bob)).json()
    (message,) = page["messages"]
    assert message.pop("sent_at_ms") > 1_700_000_000_000
    assert message == {"id": number, "room": "lobby", "sender": "ada", "text": "Merhaba 👋"}
    assert page["before"] is None
    assert (await divan.get("/rooms/library/messages", headers=bob)).json() == {"messages": [], "before": None}


@pytest.mark.anyio
async def test_pages_lead_from_the_newest_message_to_the_oldest(divan: httpx.AsyncClient) -> None:
    """Following `before` shows every message of the room once, also when new ones come in meanwhile."""
    ada = await sign_in(divan, "ada")
    sent = [await say(divan, ada, f"message {number}") for number in range(6)]
    seen: list[int] = []
    query: dict[str, int] = {"limit": 2}
    while True:
        page = (await divan.get("/rooms/lobby/messages", params=query, headers=ada)).json()
        seen += [message["id"] for message in page["messages"]]
        if page["before"] is None:
            break
        query["before"] = page["before"]
        await say(divan, ada, "meanwhile")
    assert seen == sent[::-1]


@pytest.mark.anyio
async def test_messages_survive_a_restart(environ: dict[str, str]) -> None:
    """A backend that comes back has what was said before."""
    async with running(environ) as divan:
        await say(divan, await sign_in(divan, "ada"), "Remember me")
    async with running(environ) as divan:
        page = (await divan.get("/rooms/lobby/messages", headers=await sign_in(divan, "ada"))).json()
    assert [message["text"] for message in page["messages"]] == ["Remember me"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/rooms/lobby/messages", rb'{"text": "   "}', ["body", "text"]),
        ("/rooms/lobby/messages", rb'{"text": "a\u0000zebra"}', ["body", "text"]),  # PostgreSQL has no NUL in text
        ("/rooms/lobby/messages", rb'{"text": "zebra\ud800"}', ["body", "text"]),  # half a character
        ("/rooms/lobby/messages", b'{"text": "' + 2001 * b"z" + b'"}', ["body", "text"]),
        ("/rooms/Lobby/messages", b'{"text": "zebra"}', ["path", "room"]),
        ("/chat/bob/read", b'{"message_id": 9223372036854775808}', ["body", "message_id"]),  # more than a BIGINT
        ("/presence/heartbeat", b'{"lat": "zebra", "lon": 29.044}', ["body", "lat"]),
        ("/rooms/lobby/messages", b'{"text": "' + 2**20 * b"z" + b'"}', ["body", "text"]),
        ("/auth/demo", b'{"name": "zebra z"}', ["body", "name"]),
    ],
)
async def test_bad_input_is_refused_and_not_repeated(
    embedded: dict[str, str], path: str, body: bytes, field: list[str]
) -> None:
    """The answer names the field; the value may be somebody's message or place."""
    async with running(embedded) as divan:
        ada, _ = await befriend(divan, "ada", "bob")
        await enter(divan, ada)
        answer = await divan.post(path, content=body, headers={**ada, "Content-Type": "application/json"})
    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [field]
    assert not re.search("zebra|zz|29|86", answer.text)


# --- presence


@pytest.mark.anyio
async def test_people_are_found_within_the_radius(divan: httpx.AsyncClient) -> None:
    """The nearest come first, to ten metres, and one does not find oneself."""
    people = {name: await sign_in(divan, name) for name in ("ada", "bob", "eve", "far")}
    for (name, who), lat in zip(people.items(), (41.0850, 41.0886, 41.0860, 41.2), strict=True):
        beat = await divan.post("/presence/heartbeat", json={"lat": lat, "lon": 29.0440}, headers=who)
        assert beat.status_code == 204, name
    found = {}
    for radius in (100, 500, 2000):
        answer = await divan.get("/proximity/nearby", params={"radius": radius}, headers=people["ada"])
        found[radius] = [(person["name"], person["distance_m"]) for person in answer.json()["people"]]
    assert found == {100: [], 500: [("eve", 110), ("bob", 400)], 2000: [("eve", 110), ("bob", 400)]}
    answer = await divan.get("/proximity/nearby", params={"radius": 101}, headers=people["ada"])
    assert answer.status_code == 422


@pytest.mark.anyio
async def test_proximity_needs_a_place_of_ones_own(divan: httpx.AsyncClient) -> None:
    """A person without a place gets an error that says so."""
    answer = await divan.get("/proximity/nearby", headers=await sign_in(divan, "ada"))
    assert answer.status_code == 409
    assert "POST /presence/heartbeat" in answer.json()["detail"]


@pytest.mark.anyio
async def test_the_silent_are_forgotten(environ: dict[str, str]) -> None:
    """Somebody whose heartbeat stays away is gone after its lifetime; who goes on is still there."""
    clock = Clock()
    redis, _ = redis_of(environ)
    presence = Presence(redis, lifetime_s=60, pause_s=0.001, clock=clock)
    await presence.heartbeat("bob", 41.086, 29.044)
    clock.now += 40
    await presence.heartbeat("eve", 41.086, 29.044)
    await presence.heartbeat("ada", 41.085, 29.044)
    assert {person.name for person in await presence.nearby("ada", 500) or ()} == {"bob", "eve"}
    clock.now += 20
    assert {person.name for person in await presence.nearby("ada", 500) or ()} == {"eve"}
    clock.now += 40
    assert await presence.nearby("ada", 500) is None
    await redis.aclose()


# --- realtime


@pytest.mark.anyio
async def test_a_message_is_delivered_to_members_who_listen(environ: dict[str, str]) -> None:
    """A listener hears its rooms, in order, and no other room; after leaving, nothing more."""
    async with served(environ) as (divan, serving):
        ada = await sign_in(divan, "ada")
        for room in ("lobby", "library", "cellar"):
            await enter(divan, ada, room)
        listener = Listener(serving)
        await listener.connect_as(ada)
        assert await listener.call("join", {"room": "lobby"}) == {"ok": True}
        assert await listener.call("join", {"room": "library"}) == {"ok": True}
        await say(divan, ada, "not for you", room="cellar")
        number = await say(divan, ada, "Hello")
        event, message = await listener.next()
        assert (event, message["id"], message["sender"], message["text"]) == ("message", number, "ada", "Hello")
        assert await listener.call("leave", {"room": "lobby"}) == {"ok": True}
        await say(divan, ada, "Are you there?")
        await say(divan, ada, "Psst", room="library")
        event, message = await listener.next()
        assert (event, message["text"]) == ("message", "Psst")
        await listener.disconnect()


@pytest.mark.anyio
async def test_friends_hear_each_other(environ: dict[str, str]) -> None:
    """A message and how far it was read, by no room that anybody would have to join; others hear nothing."""
    async with served(environ) as (divan, serving):
        ada, bob = await befriend(divan, "ada", "bob")
        await befriend(divan, "ada", "eve")
        ear_of_ada, ear_of_eve = Listener(serving), Listener(serving)
        await ear_of_ada.connect_as(ada)
        await ear_of_eve.connect_as(await sign_in(divan, "eve"))
        number = (await divan.post("/chat/bob/messages", json={"text": "Hello"}, headers=ada)).json()["id"]
        for _ in range(2):  # The second moves nothing, and nobody hears of it.
            await divan.post("/chat/ada/read", json={"message_id": number}, headers=bob)
        await divan.post("/chat/ada/messages", json={"text": "Hi"}, headers=bob)
        assert await ear_of_ada.next() == ("read", {"reader": "bob", "message_id": number})
        event, message = await ear_of_ada.next()
        assert (event, message["sender"], message["text"]) == ("message", "bob", "Hi")
        await divan.post("/chat/eve/messages", json={"text": "To you"}, headers=ada)
        assert (await ear_of_eve.next())[1]["text"] == "To you"
        for ear in (ear_of_ada, ear_of_eve):
            await ear.disconnect()


@pytest.mark.anyio
async def test_a_room_is_joined_by_its_members(embedded: dict[str, str]) -> None:
    """Who is in none of the rooms hears nothing of them, and the acknowledgement says what to do."""
    async with served(embedded) as (divan, serving):
        await enter(divan, await sign_in(divan, "ada"))
        listener = Listener(serving)
        await listener.connect_as(await sign_in(divan, "bob"))
        for room in ("lobby", "library"):
            answer = await listener.call("join", {"room": room})
            assert answer == {"ok": False, "error": "You are not in this room: POST /rooms/{room}/join first."}
        await listener.disconnect()


@pytest.mark.anyio
@pytest.mark.parametrize("auth", [None, {}, {"token": 1}, {"token": "nobody"}, {"token": "\ud800.."}, "nobody"])
async def test_a_client_without_a_token_cannot_connect(embedded: dict[str, str], auth: object) -> None:
    """Without a good token there is no connection, in whatever shape the token comes."""
    async with served(embedded) as (_, serving):
        listener = Listener(serving)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await listener.connect(auth)
        await listener.disconnect()


@pytest.mark.anyio
async def test_a_room_without_a_proper_name_cannot_be_joined(embedded: dict[str, str]) -> None:
    """The acknowledgement says so; what was asked is not repeated."""
    async with served(embedded) as (divan, serving):
        listener = Listener(serving)
        await listener.connect({"token": (await sign_in(divan, "ada"))["Authorization"].removeprefix("Bearer ")})
        for wish in (None, "lobby", {}, {"room": 1}, {"room": "A b"}, {"room": "lobby\n"}):
            for event in ("join", "leave"):
                answer = await listener.call(event, wish)
                assert not answer["ok"]
                assert answer["error"].startswith("A room is named in")
        await listener.disconnect()


@pytest.mark.anyio
async def test_listen_prints_what_is_said(embedded: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m examples.divan.listen` joins a room and shows its messages."""
    async with served(embedded) as (divan, serving):
        ada = await sign_in(divan, "ada")
        listening = asyncio.create_task(listen(serving.url, "lobby", "bob"))
        printed = ""
        async with asyncio.timeout(PATIENCE_S):
            while "ada: Hello" not in printed:
                if "Listening to lobby" in printed:
                    await say(divan, ada, "Hello")
                await asyncio.sleep(0.02)
                printed += capsys.readouterr().out
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening


# --- observability


@pytest.mark.anyio
async def test_the_backend_reports_that_it_is_ready(divan: httpx.AsyncClient, environ: dict[str, str]) -> None:
    """Readiness has both stores, each by its name, and the migrations, in the shape that the specification gives."""
    sql = "postgres" if environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    ready = await readiness(divan)
    assert ready.status_code == 200
    checks = ready.json()["checks"]
    assert ready.json() == {"status": "ok", "checks": checks}
    assert {name: check.pop("latency_ms", None) is not None for name, check in checks.items()} == {
        "redis": True,
        sql: True,
        "migrations": False,
    }
    assert checks == {
        "redis": {"ok": True},
        sql: {"ok": True},
        "migrations": {"ok": True, "version": "0008"},
    }
    for path in ("/health/live", "/health/startup"):
        assert (await divan.get(path)).json()["status"] == "ok"


@pytest.mark.anyio
async def test_the_backend_is_not_ready_for_a_later_release(embedded: dict[str, str]) -> None:
    """A database that lacks a migration which the code needs takes the backend out of service."""
    async with running({**embedded, "HEALTH_MIN_MIGRATION": "0009"}) as divan:
        ready = await readiness(divan, "migrations")
    assert ready.status_code == 503
    assert ready.json()["checks"]["migrations"] == {"ok": False, "version": "0008"}


@pytest.mark.anyio
async def test_requests_and_clients_are_counted(embedded: dict[str, str]) -> None:
    """The metrics show routes as templates and how many listen; they want the admin token."""
    async with served(embedded) as (divan, serving):
        ada = await sign_in(divan, "ada")
        listener = Listener(serving)
        await enter(divan, ada)
        await listener.connect_as(ada)
        await listener.call("join", {"room": "lobby"})
        await say(divan, ada, "Hello")
        assert (await divan.get("/metrics")).status_code == 401
        metrics = (await divan.get("/metrics", headers=ADMIN)).text.splitlines()
        await listener.disconnect()
    assert 'divan_http_requests_total{method="POST",route="/rooms/{room}/messages",status="201"} 1.0' in metrics
    assert 'divan_socketio_clients{namespace="/chat"} 1.0' in metrics
    assert 'divan_socketio_events_total{event="join",namespace="/chat"} 1.0' in metrics


@pytest.mark.anyio
async def test_its_page_can_be_read_in_both_formats(embedded: dict[str, str]) -> None:
    """By Prometheus' own reader, without a complaint about names or help, and by a strict parser of OpenMetrics."""
    async with served(embedded) as (divan, serving):
        ada = await sign_in(divan, "ada")
        listener = Listener(serving)
        await enter(divan, ada)
        await listener.connect_as(ada)
        await listener.call("join", {"room": "lobby"})
        await say(divan, ada, "Hello")
        await divan.post("/presence/heartbeat", json={"lat": 41.085, "lon": 29.044}, headers=ada)
        await divan.get("/proximity/nearby", headers=ada)
        await divan.get("/nowhere")
        await listener.disconnect()
        text = await divan.get("/metrics", headers=ADMIN)
        openmetrics = await divan.get("/metrics", headers={**ADMIN, "Accept": "application/openmetrics-text"})
    assert complaints(text.content) == []
    families = {family.name for family in read(openmetrics.text)}
    assert families >= {f"divan_{family.name.removesuffix('_total')}" for family in FAMILIES}


@pytest.mark.anyio
async def test_the_backend_works_without_its_observability(embedded: dict[str, str]) -> None:
    """With OBS_ENABLED=false the chat is the same, and the library's endpoints are not there."""
    async with served({**embedded, "OBS_ENABLED": "false"}) as (divan, serving):
        ada = await sign_in(divan, "ada")
        listener = Listener(serving)
        await enter(divan, ada)
        await listener.connect_as(ada)
        await listener.call("join", {"room": "lobby"})
        await say(divan, ada, "Hello")
        event, message = await listener.next()
        assert (event, message["text"]) == ("message", "Hello")
        assert (await divan.get("/health/live")).status_code == 404
        await listener.disconnect()


def test_python_m_serves_what_its_banner_promises(tmp_path: Path) -> None:
    """Every address of the banner answers, the token in it opens the metrics, and Ctrl-C ends the server."""
    with started(tmp_path) as (process, printed), httpx.Client() as client:
        urls = re.findall(r"^  curl .*?(http://127\.0\.0\.1:\d+/(?:health/\w+|metrics))", printed, re.MULTILINE)
        assert [url.rpartition("/")[2] for url in urls] == ["live", "ready", "startup", "metrics", "metrics"]
        admin = re.findall(r'curl -H "(Authorization): (Bearer \S+)"', printed)
        assert [client.get(url).status_code for url in urls] == [200, 200, 200, 401, 401]
        assert client.get(urls[-1], headers=admin).status_code == 200
        url = urls[0].removesuffix("/health/live")
        token = client.post(f"{url}/auth/demo", json={"name": "ada"}).json()["token"]
        headers = {"Authorization": f"Bearer {token}", "X-Request-Id": "the-one-with-zebra"}
        message = {"text": "A zebra that only the room may see"}
        assert client.post(f"{url}/rooms", json={"name": "lobby"}, headers=headers).status_code == 201
        assert client.post(f"{url}/rooms/lobby/messages", json=message, headers=headers).status_code == 201
        process.send_signal(signal.SIGINT)
        logged, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    lines = [json.loads(line) for line in (printed + logged).splitlines() if line.startswith("{")]
    routes = {line["route"]: line["status"] for line in lines if line["request_id"] == "the-one-with-zebra"}
    assert routes == {"/rooms": 201, "/rooms/{room}/messages": 201}
    assert message["text"] not in logged
    assert token not in logged
    assert (tmp_path / ".run" / "divan.sqlite3").is_file()


@pytest.mark.slow
def test_what_python_m_prints_is_its_banner_and_json(tmp_path: Path) -> None:
    """From the first line to the last one, also what is said while the parts are put together."""
    with started(tmp_path, OTEL_EXPORTER_OTLP_ENPOINT="http://127.0.0.1:4317") as (process, printed):
        process.send_signal(signal.SIGINT)
        logged, _ = process.communicate(timeout=PATIENCE_S)
    before, _, _ = printed.partition("\nDivan is up:")
    lines = [json.loads(line) for line in (before + logged).splitlines() if line]
    messages = [line["msg"] for line in lines if line["logger"].startswith("divan_obs_asgi")]
    assert "did you mean OTEL_EXPORTER_OTLP_ENDPOINT?" in messages[0]


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("PORT", "99999", "PORT is '99999'; expected a number up to 65535."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud'; expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
    ],
)
def test_a_bad_flag_is_one_line(tmp_path: Path, flag: str, value: str, message: str) -> None:
    """A bad flag is reported in one line without a traceback, and the command fails."""
    with started(tmp_path, **{flag: value}) as (process, printed):
        assert process.wait(PATIENCE_S) == 1
    assert printed == f"{message}\n"


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    """Before anything else is done; 8000 is everybody's favourite."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(tmp_path, PORT=str(port)) as (process, printed):
            assert process.wait(PATIENCE_S) == 1
    assert printed.startswith(f"Nothing can be served on 127.0.0.1 port {port}: Address already in use")
    assert printed.count("\n") == 1


def test_what_the_example_imports_is_named_in_its_extra() -> None:
    """An old pip overlooks `package[some_extra]`, and then `python -m examples.divan.listen` would not start."""
    imported: set[str] = set()
    for path in Path(examples.divan.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    imported -= sys.stdlib_module_names | {"divan_obs_asgi", "examples"}
    named = {
        re.split(r"[^\w-]", line, maxsplit=1)[0]
        for line in requires("divan-obs-asgi") or ()
        if re.search(r"extra == .(example|socketio|redis|databases)\b", line)
    }
    packages = packages_distributions()
    assert sorted({packages[name][0] for name in imported} - named) == []


def test_the_example_can_be_read_in_one_sitting() -> None:
    """It is the longest documentation of how the library is used: 1,500 lines at most, and no file over 160."""
    lengths = {path.name: path.read_text().count("\n") for path in Path(examples.divan.__file__).parent.glob("*.py")}
    assert sum(lengths.values()) <= 1500, lengths
    assert max(lengths.values()) <= 160, lengths
