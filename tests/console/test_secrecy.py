"""Nothing private is in any byte that the console sends."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import anyio
import orjson
import pytest
import redis
import sqlalchemy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import assert_no_secret
from tests.console.consoles import Watched
from tests.logs.root_logger import root_logger_kept
from tests.ops.asking import bearer
from tests.socketio_ext.sockets import connected, server_of

log = logging.getLogger(__name__)
# What is sent from these places is never kept, whatever its form.
NEVER_KEPT = (
    *("path", "query", "header", "body", "cookie", "SQL parameter", "SQL literal", "Redis key"),
    *("event name", "event payload", "room"),
)
# The application says these itself; what is private in them has a form.
SAID = ("exception text", "log field", "log message", "logged header", "request id", "bound field")
CANARIES = {
    **{place: f"quokka-{place.replace(' ', '-')}-wombat" for place in NEVER_KEPT},
    **{place: f"canary-{place.replace(' ', '-')}@mine.example" for place in SAID},
}


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Put the root logger back as it was."""
    with root_logger_kept():
        yield


async def handler(request: Request) -> Response:
    body = (await request.body()).decode()
    assert body == CANARIES["body"]
    log.debug("a line about %s", CANARIES["log message"], extra={"note": CANARIES["log field"]})
    obs.logger("shop").error("with %s", request.headers["x-note"])
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        statement = f"SELECT :name, '{CANARIES['SQL literal']}'"
        connection.execute(sqlalchemy.text(statement), {"name": CANARIES["SQL parameter"]})
    # Nobody listens there: the call is a bar that has failed.
    client = redis.Redis(port=1)
    with pytest.raises(redis.ConnectionError):
        client.get(CANARIES["Redis key"])
    raise LookupError(CANARIES["exception text"])


def test_no_canary_is_in_any_byte() -> None:
    """However it comes in: with a request, a call of a database, a log line, or a Socket.IO event."""

    async def main() -> None:
        bound: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                watched.obs.log.bind(note=CANARIES["bound field"])
                bound.append(scope)
            await starlette(scope, receive, send)

        starlette = Starlette(routes=[Route("/things/{word}", handler, methods=["POST"])])
        watched = Watched(app)
        try:
            watched.obs.log.install(application=__name__)
            headers = [
                (b"x-note", CANARIES["logged header"].encode()),
                (b"x-other", CANARIES["header"].encode()),
                (b"cookie", f"session={CANARIES['cookie']}".encode()),
                (b"x-request-id", CANARIES["request id"].encode()),
            ]
            path = f"/things/{CANARIES['path']}?mail={CANARIES['query']}"
            done = await watched.get(path, *headers, method="POST", body=CANARIES["body"].encode())
            assert (done.status, len(bound)) == (500, 1)
            await events(watched)
            everything = await watched.everything()
        finally:
            watched.console.timing.stop()
        assert_no_secret(everything, CANARIES)
        # It is there, and what is not private is shown.
        for shown in (b"/things/{word}", b"LookupError", b"a line about", b'"redis"', b'"sql"', b"ZeroDivisionError"):
            assert shown in everything

    anyio.run(main)


async def events(watched: Watched) -> None:
    server = server_of(watched.observed)

    async def say(sid: str, *payload: object) -> None:
        await server.enter_room(sid, CANARIES["room"])
        _ = 1 / 0

    server.on("say", say)
    client = await connected(server)
    for name in ("say", CANARIES["event name"]):
        with suppress(ZeroDivisionError):
            await client.send("2" + orjson.dumps([name, CANARIES["event payload"]]).decode())


HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "nul \x00 and escape \x1b[31m",
    "lone \ud800 surrogate",
    "x" * 1_000_000,
    "",
)


@pytest.mark.slow
@given(st.one_of(st.text(), st.sampled_from(HOSTILE), st.text(alphabet=st.characters(codec=None))))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("\ud800")
@example("</script><img src=x onerror=alert(1)>")
@example("x" * 1_000_000)
def test_hostile_texts_are_short_valid_json(text: str) -> None:
    """Whatever stands in a path, an exception, a log line, a field or the name of a class."""

    async def fail(request: Request) -> Response:
        if request.method == "PUT":
            return PlainTextResponse("x")
        watched.obs.log.bind(note=text)
        log.warning("%s", text, extra={"field": text})
        raise type(text.replace("\x00", "")[:2000] or "Error", (Exception,), {})(text)

    watched = Watched(Starlette(routes=[Route("/{word:path}", fail, methods=["GET", "PUT"])]))

    async def main() -> bytes:
        watched.obs.log.install(application=__name__)
        await watched.get("/x")
        await watched.get("/y", method="PUT")
        done = await watched.get("/ops/console/state", bearer())
        assert done.status == 200
        assert len(orjson.loads(done.body)["requests"]) == 2
        return await watched.everything()

    try:
        with root_logger_kept():
            # pytest cannot report a line with a lone surrogate.
            logging.root.handlers.clear()
            everything = anyio.run(main)
    except UnicodeEncodeError:  # of the type's name, by Python itself
        return
    finally:
        watched.console.timing.stop()
    # Valid UTF-8, so that each byte can be shown.
    everything.decode()
    assert len(everything) < 100_000
