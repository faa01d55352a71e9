"""Invalid input, and stores that stop in the middle: refused in one line, and nothing is half done."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import httpx
import pytest

import examples.divan.rooms
from examples.divan.auth import Tokens
from examples.divan.events import add_event
from tests.example.service import Backend, domain_series, enter, moves_series, running, sign_in
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.slow

SECRET = b"a-secret-of-this-test"
HS256 = {"alg": "HS256", "typ": "JWT"}
TOMORROW_S = int(time.time()) + 86_400


def token(header: dict[str, str], claims: object, secret: bytes | None = SECRET, digest: str = "sha256") -> str:
    """Return a JWT as a forger would make it; without a secret, its signature is empty."""
    parts = [base64.urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    signed = b".".join(part.rstrip(b"=") for part in parts)
    signature = hmac.digest(secret, signed, digest) if secret else b""
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


FORGED = {
    "expired": token(HS256, {"sub": "ada", "exp": 1_700_000_000}),
    "another secret": token(HS256, {"sub": "ada", "exp": TOMORROW_S}, b"guessed"),
    "alg none": token({"alg": "none", "typ": "JWT"}, {"sub": "ada", "exp": TOMORROW_S}, None),
    "alg None, typ first": token({"typ": "JWT", "alg": "None"}, {"sub": "ada", "exp": TOMORROW_S}, None),
    "alg none, and signed": token({"alg": "none", "typ": "JWT"}, {"sub": "ada", "exp": TOMORROW_S}),
    "alg HS512": token({"alg": "HS512", "typ": "JWT"}, {"sub": "ada", "exp": TOMORROW_S}, digest="sha512"),
    "no signature": token(HS256, {"sub": "ada", "exp": TOMORROW_S}, None),
    "no end": token(HS256, {"sub": "ada"}),
}


@pytest.mark.anyio
async def test_a_forged_token_opens_nothing(embedded: dict[str, str]) -> None:
    """Expired, signed by somebody else or not at all, under an algorithm of its own choice: 401, and no count moves."""
    async with running({**embedded, "JWT_SECRET": SECRET.decode()}) as divan:
        own = {"Authorization": f"Bearer {Tokens(SECRET).issue('ada')}"}
        await enter(divan, own)
        for kind, forged in FORGED.items():
            async with moves_series(divan, {}):
                headers = {"Authorization": f"Bearer {forged}"}
                answer = await divan.post("/rooms/lobby/messages", json={"text": "Hello"}, headers=headers)
            assert answer.status_code == 401, kind
            assert answer.headers["www-authenticate"] == "Bearer", kind
            assert forged not in answer.text


BODIES = {
    "empty": b"",
    "null": b"null",
    "not UTF-8": b"\xff\xfe",
    "not UTF-8 inside": b'{"text": "\xff", "name": "\xff", "to": "\xff", "kind": "\xff"}',
    "cut off": b'{"text": "Hel',
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "a long number": b'{"message_id": ' + b"9" * 5000 + b', "lat": ' + b"9" * 5000 + b"}",
    "NUL": rb'{"text": "a\u0000b", "name": "a\u0000b", "to": "a\u0000b", "kind": "a\u0000b", "campus_id": "a\u0000b"}',
    "1 MB": b'{"text": "%b", "name": "%b", "to": "%b", "kind": "%b"}' % ((b"z" * 2**18,) * 4),
}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", BODIES)
async def test_an_invalid_body_is_refused(embedded: dict[str, str], kind: str) -> None:
    """By every route that takes one, in one short line, and no count moves."""
    async with running(embedded) as divan:
        ada = await sign_in(divan, "ada")
        await enter(divan, ada)
        paths = (await divan.get("/openapi.json")).json()["paths"]
        taking = [path for path, methods in paths.items() if "requestBody" in methods.get("post", {})]
        assert len(taking) >= 7
        headers = {**ada, "Content-Type": "application/json"}
        for path in taking:
            url = path.format(room="lobby", peer="ada", number=1)
            async with moves_series(divan, {}):
                answer = await divan.post(url, content=BODIES[kind], headers=headers)
            assert 400 <= answer.status_code < 500, path
            assert answer.text.count("\n") == 0
            assert len(answer.text) < 1000, path


@pytest.mark.anyio
async def test_a_message_that_cannot_be_committed_is_not_sent(
    real: dict[str, str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    PostgreSQL stops between the event and the commit: 503, no message, and `rooms_send_total` stays.

    The event is in the stream already, and the leaderboards count it: one too many at worst, and none too few.
    """
    postgres: PostgresServer = request.getfixturevalue("postgres_server")

    async def add_and_stop(redis: Any, name: str) -> None:
        await add_event(redis, name)
        postgres.stop()

    async with running(real) as divan:
        ada = await sign_in(divan, "ada")
        await enter(divan, ada)
        before = await domain_series(divan)
        async with moves_series(divan, {"lb_events_processed_total{stream=divan:events}": 1}):
            with monkeypatch.context() as patched:
                patched.setattr(examples.divan.rooms, "add_event", add_and_stop)
                answer = await divan.post("/rooms/lobby/messages", json={"text": "lost"}, headers=ada)
            postgres.start()
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "rooms_send_total" not in before
        assert (await divan.get("/rooms/lobby/messages", headers=ada)).json()["messages"] == []


@pytest.mark.anyio
@pytest.mark.parametrize("store", ["sql", "redis"])
async def test_no_route_is_a_500_without_a_store(backend: Backend, store: str) -> None:
    """Each is answered as ever, or 503 with Retry-After: 1; and all of them are once the store is back."""
    divan = backend.divan
    ada = await sign_in(divan, "ada")
    await enter(divan, ada)
    place, message = {"lat": 41.085, "lon": 29.044}, {"text": "Hello"}
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/auth/demo", {"name": "ada"}),
        ("POST", "/presence/heartbeat", place),
        ("GET", "/proximity/nearby", None),
        ("GET", "/friends", None),
        ("POST", "/invites", {"to": "bob"}),
        ("POST", "/invites/1/accept", None),
        ("POST", "/chat/bob/messages", message),
        ("GET", "/chat/bob/messages", None),
        ("POST", "/chat/bob/read", {"message_id": 1}),
        ("POST", "/rooms", {"name": "cellar"}),
        ("POST", "/rooms/lobby/join", None),
        ("POST", "/rooms/lobby/messages", message),
        ("GET", "/rooms/lobby/messages", None),
        ("POST", "/activities", {"kind": "sport"}),
        ("POST", "/activities/1/complete", None),
        ("GET", "/leaderboards/day", None),
    ]

    async def answers() -> list[httpx.Response]:
        return [await divan.request(method, path, json=body, headers=ada) for method, path, body in asked]

    paths = (await divan.get("/openapi.json")).json()["paths"]
    assert len(asked) == sum(len(methods) for methods in paths.values())
    with backend.down(store):
        down = await answers()
    assert not [answer.url for answer in down if answer.status_code >= 500 and answer.status_code != 503]
    busy = [answer for answer in down if answer.status_code == 503]
    assert len(busy) >= 3
    assert {answer.headers.get("retry-after") for answer in busy} == {"1"}
    assert not [answer.url for answer in await answers() if answer.status_code >= 500]
