"""What people do is counted once it is stored, on embedded and on real stores: exactly, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.example.service import (
    ADMIN,
    DOMAIN,
    Backend,
    Listener,
    befriend,
    domain_series,
    enter,
    moves,
    moves_series,
    served,
    sign_in,
)
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

T = TypeVar("T", bound=Callable[..., object])
PLACE = {"lat": 41.085, "lon": 29.044}
EVENT = "lb_events_processed_total{stream=divan:events}"
tested: set[str] = set()


def counts(*families: str) -> Callable[[T], T]:
    """Say of which families a test asserts the increase, and that repeat, refusal and failure leave them alone."""
    tested.update(families)
    return pytest.mark.anyio


def test_every_family_of_the_domain_has_such_a_test() -> None:
    """A family that is added to the catalogue needs a thing that moves it."""
    assert sorted(tested) == sorted(DOMAIN)


@counts("presence_heartbeats_total", "presence_rejects_total")
async def test_a_heartbeat(backend: Backend) -> None:
    """Under its campus; refused ones by the reason, and an invented campus is no series."""
    divan, path = backend.divan, "/presence/heartbeat"
    ada, bob = await sign_in(divan, "ada"), await sign_in(divan, "bob")
    async with moves_series(divan, {"presence_heartbeats_total{campus_id=south}": 1}):
        assert (await divan.post(path, json={**PLACE, "campus_id": "south"}, headers=ada)).status_code == 204
    refused = {
        "too_often": (PLACE, 429),
        "unknown_campus": ({**PLACE, "campus_id": "zebra"}, 400),
        "outside_world": ({**PLACE, "lat": 90.1}, 400),
    }
    for reason, (body, code) in refused.items():
        async with moves_series(divan, {f"presence_rejects_total{{reason={reason}}}": 1}):
            answer = await divan.post(path, json=body, headers=ada)
        assert answer.status_code == code, reason
        assert "zebra" not in answer.text
    async with moves_series(divan, {"presence_rejects_total{reason=outside_world}": 3}):
        for lat, lon in (("NaN", "1"), ("1", "NaN"), ("-1e400", "1")):
            body_text = f'{{"lat": {lat}, "lon": {lon}}}'
            headers = {**bob, "Content-Type": "application/json"}
            assert (await divan.post(path, content=body_text, headers=headers)).status_code == 400
    await backend.fails("redis", "POST", path, bob, **PLACE)


@counts("proximity_queries_total")
async def test_a_look_around(backend: Backend) -> None:
    """Once an answered query, under the class of its radius."""
    divan, path = backend.divan, "/proximity/nearby?radius=100"
    ada = await sign_in(divan, "ada")
    async with moves(divan):
        assert (await divan.get(path, headers=ada)).status_code == 409
        for radius in ("0", "1e9", "-1", "nan", "101", ""):
            assert (await divan.get("/proximity/nearby", params={"radius": radius}, headers=ada)).status_code == 422
    await divan.post("/presence/heartbeat", json=PLACE, headers=ada)
    async with moves_series(divan, {"proximity_queries_total{radius=100}": 2}):
        for _ in range(2):
            assert (await divan.get(path, headers=ada)).status_code == 200
    await backend.fails("redis", "GET", path, ada)


@counts("invites_sent_total", "invites_accept_total", "friendships_accepted_total")
async def test_an_invite(backend: Backend) -> None:
    """Sent once and accepted once, by whom it was sent to; two friends are one friendship."""
    divan = backend.divan
    ada, bob, eve = [await sign_in(divan, name) for name in ("ada", "bob", "eve")]
    await backend.fails("sql", "POST", "/invites", ada, to="bob")
    async with moves(divan, invites_sent_total=1):
        sent = [await divan.post("/invites", json={"to": "bob"}, headers=ada) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [201, 200]
    assert sent[0].json() == sent[1].json()
    number = sent[0].json()["id"]
    async with moves(divan):
        for to, code in (("ada", 400), ("nobody", 404), ("a\0b", 422), ("", 422)):
            assert (await divan.post("/invites", json={"to": to}, headers=ada)).status_code == code
        for who in (ada, eve):
            assert (await divan.post(f"/invites/{number}/accept", headers=who)).status_code == 404
        assert (await divan.post(f"/invites/{number + 1}/accept", headers=bob)).status_code == 404
    await backend.fails("sql", "POST", f"/invites/{number}/accept", bob)
    assert (await divan.get("/friends", headers=ada)).json() == []
    async with moves(divan, invites_accept_total=1, friendships_accepted_total=1):
        accepted = await asyncio.gather(
            *(divan.post(f"/invites/{number}/accept", headers=bob) for _ in range(4))  # at the same moment
        )
        assert sorted(answer.status_code for answer in accepted) == [200, 409, 409, 409]
        assert (await divan.post("/invites", json={"to": "ada"}, headers=bob)).status_code == 409
    assert [(await divan.get("/friends", headers=who)).json() for who in (ada, bob, eve)] == [["bob"], ["ada"], []]


@pytest.mark.anyio
async def test_two_who_invite_each_other_are_one_friendship(backend: Backend) -> None:
    """Each invite is accepted, and only the first makes them friends."""
    divan = backend.divan
    ada, bob = await sign_in(divan, "ada"), await sign_in(divan, "bob")
    first = (await divan.post("/invites", json={"to": "bob"}, headers=ada)).json()["id"]
    second = (await divan.post("/invites", json={"to": "ada"}, headers=bob)).json()["id"]
    async with moves(divan, invites_accept_total=2, friendships_accepted_total=1):
        await divan.post(f"/invites/{first}/accept", headers=bob)
        await divan.post(f"/invites/{second}/accept", headers=ada)


@counts("rooms_created_total", "rooms_join_total", "rooms_send_total", "lb_events_processed_total")
async def test_a_room(backend: Backend) -> None:
    """Made once, joined once by each, and its members' messages are events of the leaderboards."""
    divan, path = backend.divan, "/rooms/lobby/messages"
    ada, bob = await sign_in(divan, "ada"), await sign_in(divan, "bob")
    await backend.fails("sql", "POST", "/rooms", ada, name="lobby")
    async with moves(divan, rooms_created_total=1):
        made = [await divan.post("/rooms", json={"name": "lobby"}, headers=ada) for _ in range(2)]
        assert (await divan.post("/rooms", json={"name": "A b"}, headers=ada)).status_code == 422
    assert [answer.status_code for answer in made] == [201, 409]
    async with moves(divan):
        assert (await divan.post("/rooms/library/join", headers=bob)).status_code == 404
        assert (await divan.post(path, json={"text": "Hello"}, headers=bob)).status_code == 403
        assert (await divan.post("/rooms/library/messages", json={"text": "Hello"}, headers=bob)).status_code == 404
    await backend.fails("sql", "POST", "/rooms/lobby/join", bob)
    async with moves(divan, rooms_join_total=1):
        for who in (bob, bob, ada):  # who has made it is in it
            assert (await divan.post("/rooms/lobby/join", headers=who)).status_code == 200
    async with moves_series(divan, {"rooms_send_total": 2, EVENT: 2}):
        for who in (ada, bob):
            assert (await divan.post(path, json={"text": "Hello"}, headers=who)).status_code == 201
    for store in ("sql", "redis"):
        await backend.fails(store, "POST", path, ada, text="lost")
    page = (await divan.get(path, headers=ada)).json()
    assert [message["text"] for message in page["messages"]] == ["Hello", "Hello"]


@counts("activities_created_total", "activities_completed_total")
async def test_an_activity(backend: Backend) -> None:
    """Under its kind, completed once and by its owner."""
    divan = backend.divan
    ada, bob = await sign_in(divan, "ada"), await sign_in(divan, "bob")
    await backend.fails("sql", "POST", "/activities", ada, kind="sport")
    async with moves_series(divan, {"activities_created_total{kind=sport}": 1}):
        number = (await divan.post("/activities", json={"kind": "sport"}, headers=ada)).json()["id"]
        assert (await divan.post("/activities", json={"kind": "zebra"}, headers=ada)).status_code == 422
    path = f"/activities/{number}/complete"
    await backend.fails("sql", "POST", path, ada)
    async with moves_series(divan, {"activities_completed_total{kind=sport}": 1}):
        assert (await divan.post(path, headers=bob)).status_code == 404
        done = await asyncio.gather(*(divan.post(path, headers=ada) for _ in range(3)))
        assert sorted(answer.status_code for answer in done) == [200, 409, 409]
        for other in (number + 1, 2**63 - 1, 2**63, 0):
            code = 404 if 0 < other < 2**63 else 422
            assert (await divan.post(f"/activities/{other}/complete", headers=ada)).status_code == code


@counts("chat_send_total", "chat_read_updates_total")
async def test_a_chat(backend: Backend) -> None:
    """Between friends; a read mark moves forward only."""
    divan = backend.divan
    ada, bob = await befriend(divan, "ada", "bob")
    eve = await sign_in(divan, "eve")
    await backend.fails("sql", "POST", "/chat/bob/messages", ada, text="lost")
    async with moves(divan, chat_send_total=2):
        sent = [await divan.post("/chat/bob/messages", json={"text": text}, headers=ada) for text in ("1", "2")]
        assert [answer.status_code for answer in sent] == [201, 201]
        for who, peer in ((eve, "bob"), (ada, "ada"), (ada, "nobody")):
            assert (await divan.post(f"/chat/{peer}/messages", json={"text": "3"}, headers=who)).status_code == 403
        assert (await divan.post("/chat/bob/messages", json={"text": ""}, headers=ada)).status_code == 422
    first, second = (answer.json()["id"] for answer in sent)
    await backend.fails("sql", "POST", "/chat/ada/read", bob, message_id=first)
    async with moves(divan, chat_read_updates_total=2):
        for number in (first, first, second, first, second):
            answer = await divan.post("/chat/ada/read", json={"message_id": number}, headers=bob)
            assert answer.status_code == 204
        assert (await divan.post("/chat/ada/read", json={"message_id": second + 1}, headers=bob)).status_code == 404
        assert (await divan.post("/chat/ada/read", json={"message_id": first}, headers=eve)).status_code == 403
    texts = [message["text"] for message in (await divan.get("/chat/ada/messages", headers=bob)).json()["messages"]]
    assert texts == ["2", "1"]
    assert (await divan.get("/chat/ada/messages", headers=eve)).status_code == 403


@counts("chat_delivered_updates_total")
async def test_a_delivery(
    environ: dict[str, str], request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A friend's client acknowledges the message; a second client of hers and a room's messages change nothing.

    Nor does an acknowledgement that cannot be stored: the mark stays where it was until the next message.
    """
    async with served(environ) as (divan, serving):
        ada, bob = await befriend(divan, "ada", "bob")
        for who in (ada, bob):
            await enter(divan, who)
        async with moves(divan, chat_send_total=1):
            await divan.post("/chat/bob/messages", json={"text": "Nobody listens"}, headers=ada)
        listeners = [Listener(serving), Listener(serving)]
        for listener in listeners:
            await listener.connect_as(bob)
            assert await listener.call("join", {"room": "lobby"}) == {"ok": True}
        async with moves_series(divan, {"chat_send_total": 1, "chat_delivered_updates_total": 1}):
            await divan.post("/chat/bob/messages", json={"text": "Hello"}, headers=ada)
            assert [(await listener.next())[1]["text"] for listener in listeners] == ["Hello", "Hello"]
        async with moves_series(divan, {"rooms_send_total": 1, EVENT: 1}):
            await divan.post("/rooms/lobby/messages", json={"text": "All"}, headers=ada)
            assert [(await listener.next())[1]["text"] for listener in listeners] == ["All", "All"]
        await listeners.pop().disconnect()
        async with moves(divan, chat_send_total=1):
            listeners[0].acknowledging.clear()
            await divan.post("/chat/bob/messages", json={"text": "Lost"}, headers=ada)
            assert (await listeners[0].next())[1]["text"] == "Lost"
            with Backend(divan, environ, request).down("sql"):
                listeners[0].acknowledging.set()
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        if "a delivery was not noted" in caplog.text:
                            break
                        await asyncio.sleep(0.02)
        async with moves(divan, chat_send_total=1, chat_delivered_updates_total=1):
            await divan.post("/chat/bob/messages", json={"text": "And now"}, headers=ada)
        for listener in listeners:
            await listener.disconnect()


@counts("lb_snapshots_total")
async def test_a_snapshot(backend: Backend) -> None:
    """Each period and scope once a run of the job; one that cannot be stored is none."""
    divan = backend.divan
    await sign_in(divan, "ada")
    periods_and_scopes = [(period, scope) for period in ("day", "week") for scope in ("campus", "friends")]
    series = {f"lb_snapshots_total{{period={period},scope={scope}}}": 1.0 for period, scope in periods_and_scopes}
    for _ in range(2):
        async with moves_series(divan, series):
            assert (await divan.post("/ops/rollover", headers=ADMIN)).status_code == 200
    before = await domain_series(divan)
    for store in ("sql", "redis"):
        with backend.down(store):
            assert (await divan.post("/ops/rollover", headers=ADMIN)).json()["result"] == "error"
    assert await domain_series(divan) == before
