"""GET and POST /ops/loggers, as an operator and a stranger see them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.ops.endpoints.loggers import LevelChange, read_change
from divan_obs_asgi.ops.responses import RequestRefused
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import Message, Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, Observed, run_on

NAME = "tests.ops.loggers"
BEARER = (b"authorization", b"Bearer sesame")


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    with root_logger_kept():
        yield
    logging.getLogger(NAME).setLevel(logging.NOTSET)


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application was called")


def ask(
    observed: Observed,
    method: str = "GET",
    body: object = None,
    *,
    headers: Sequence[tuple[bytes, bytes]] = (BEARER,),
    backend: str = "asyncio",
) -> Conversation:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    incoming: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    scope = http_scope("/ops/loggers", method=method, headers=headers)
    return run_on(backend, converse, obs.build_stack(nothing, observed.obs), scope, incoming)


def operated(**environ: str) -> Observed:
    """Return an installed pipeline with an admin token."""
    observed = Observed({"OBS_ADMIN_TOKEN": "sesame", **environ})
    observed.obs.log.install()
    return observed


def answered(done: Conversation) -> tuple[int | None, Any]:
    return done.status, orjson.loads(done.body)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_level_is_set_and_read(backend: str) -> None:
    """DEBUG lines of one logger are written at once, and of no other."""
    observed = operated()
    wish = {"logger": NAME, "level": "debug", "ttl_s": 600}
    logging.getLogger(NAME).debug("before")
    status, answer = answered(ask(observed, "POST", wish, backend=backend))
    assert (status, answer["pid"], answer["logger"], answer["level"]) == (200, os.getpid(), NAME, "DEBUG")
    assert 500 <= answer["reverts_in_s"] <= 600
    logging.getLogger(NAME + ".child").debug("after")
    logging.getLogger("tests.ops.other").debug("another")
    assert [line["msg"] for line in observed.lines() if line["level"] == "DEBUG"] == ["after"]
    status, answer = answered(ask(observed, backend=backend))
    assert status == 200
    assert answer["levels"] == ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    assert answer["loggers"]["root"] == {"level": "INFO", "effective": "INFO", "reverts_in_s": None}
    assert answer["loggers"][NAME]["level"] == "DEBUG"


def test_the_level_of_everything_is_roots() -> None:
    """Up and down, and back by null."""
    observed = operated()
    logger = logging.getLogger(NAME)
    for level in ("DEBUG", "ERROR", None):
        assert ask(observed, "POST", {"logger": "root", "level": level}).status == 200
        logger.debug("debug with %s", level)
        logger.info("info with %s", level)
    messages = [line["msg"] for line in observed.lines() if line["logger"] == NAME]
    assert messages == ["debug with DEBUG", "info with DEBUG", "info with None"]


def test_who_sets_a_level_is_told() -> None:
    """By a line that neither level nor sampling drops, with the id of the request."""
    observed = operated(LOG_SAMPLING_RATE_INFO="0", LOG_SAMPLING_BUDGET="1")
    done = ask(observed, "POST", {"logger": NAME, "level": "DEBUG", "ttl_s": 60})
    ask(observed, "POST", {"logger": NAME, "level": None})
    line, back = (line for line in observed.lines() if line["logger"] == "divan_obs_asgi.ops")
    assert line["msg"] == f"The level of logger {NAME} is DEBUG for 60 s; it was NOTSET."
    assert (line["level"], line["request_id"].encode()) == ("WARNING", done.header(b"x-request-id")[0])
    assert back["msg"] == f"The level of logger {NAME} is reset."


def test_a_level_goes_back_without_anybody_asking() -> None:
    """A task of the lifespan does it, and ends with it."""
    observed = operated()
    ask(observed, "POST", {"logger": NAME, "level": "DEBUG", "ttl_s": 0.001})

    async def live() -> None:
        async with observed.obs.running():
            while logging.getLogger(NAME).level:
                await anyio.lowlevel.checkpoint()

    with_a_limit(live)
    assert logging.getLogger(NAME).level == logging.NOTSET


def with_a_limit(live: Any) -> None:
    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            await live()

    anyio.run(main)


def test_a_level_goes_back_at_the_next_request() -> None:
    """Also on a server without a lifespan."""
    observed = operated()
    ask(observed, "POST", {"logger": NAME, "level": "CRITICAL", "ttl_s": 1e-9})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    anyio.run(converse, obs.build_stack(app, observed.obs), http_scope("/"))
    assert logging.getLogger(NAME).level == logging.NOTSET


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("environ", "status"), [({}, 403), ({"OBS_ADMIN_TOKEN": "sesame"}, 401)])
@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Bearer wrong")]])
def test_levels_are_for_the_holder_of_the_token(
    environ: dict[str, str], status: int, headers: list[tuple[bytes, bytes]], method: str
) -> None:
    """Nobody else reads or sets one."""
    observed = Observed(environ)
    done = ask(observed, method, {"logger": NAME, "level": "DEBUG"}, headers=headers)
    assert done.status == status
    assert b"loggers" not in done.body
    assert logging.getLogger(NAME).level == logging.NOTSET


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"level=DEBUG&logger=app.db", 400),
        (b'{"logger": "app.db", "level": ', 400),
        (b'{"logger": "\xff", "level": "DEBUG"}', 400),
        (b"[" * 60_000, 400),
        (b'{"logger": "app.db", "level": "DEBUG", "ttl_s": NaN}', 400),
        (["app.db", "DEBUG"], 400),
        ("app.db", 400),
        (None, 400),
        ({}, 422),
        ({"logger": "app.db"}, 422),
        ({"level": "DEBUG"}, 422),
        ({"logger": "app.db", "level": "LOUD"}, 422),
        ({"logger": "app.db", "level": 10}, 422),
        ({"logger": "app.db", "level": ["DEBUG"]}, 422),
        ({"logger": "", "level": "DEBUG"}, 422),
        ({"logger": 7, "level": "DEBUG"}, 422),
        ({"logger": "a\nb", "level": "DEBUG"}, 422),
        ({"logger": "x" * 201, "level": "DEBUG"}, 422),
        ({"logger": "app.db", "level": "DEBUG", "ttl_s": 0}, 422),
        ({"logger": "app.db", "level": "DEBUG", "ttl_s": -1}, 422),
        ({"logger": "app.db", "level": "DEBUG", "ttl_s": 86_401}, 422),
        ({"logger": "app.db", "level": "DEBUG", "ttl_s": 1e308}, 422),
        ({"logger": "app.db", "level": "DEBUG", "ttl_s": "600"}, 422),
        ({"logger": "app.db", "level": "DEBUG", "ttl_s": True}, 422),
        ({"logger": "app.db", "level": "DEBUG", "ttl_s": None}, 422),
        ({"logger": "app.db", "level": "DEBUG", "forever": True}, 422),
        (b" " * (64 * 1024) + b"{}", 413),
    ],
)
def test_a_bad_wish_is_refused_and_changes_nothing(body: object, status: int) -> None:
    """The answer says what was expected, and repeats nothing of what came."""
    observed = operated()
    before = set(logging.root.manager.loggerDict)
    code, answer = answered(ask(observed, "POST", body))
    assert (code, list(answer)) == (status, ["detail"])
    assert observed.obs.log.levels.changes == {}
    assert set(logging.root.manager.loggerDict) == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_not_allowed(method: str) -> None:
    """And the answer says which are."""
    done = ask(operated(), method)
    assert done.status == 405
    assert sorted(done.header(b"allow")[0].split(b", ")) == [b"GET", b"HEAD", b"POST"]


def test_a_client_that_leaves_in_the_middle_is_no_error() -> None:
    """Nothing is set, and nothing is raised."""
    observed = operated()
    incoming: list[Message] = [
        {"type": "http.request", "body": b'{"logger"', "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = http_scope("/ops/loggers", method="POST", headers=[BEARER])
    done = anyio.run(converse, obs.build_stack(nothing, observed.obs), scope, incoming)
    assert done.error is None
    assert observed.lines()[-1]["outcome"] == "client_disconnect"


def test_too_many_changes_are_refused() -> None:
    """A logger that is changed already may be changed again."""
    observed = operated()
    for number in range(100):
        observed.obs.log.levels.set(f"{NAME}.{number}", logging.DEBUG, 60)
    assert ask(observed, "POST", {"logger": f"{NAME}.one_more", "level": "DEBUG"}).status == 409
    assert ask(observed, "POST", {"logger": f"{NAME}.7", "level": "INFO"}).status == 200


VALUES = st.none() | st.booleans() | st.text() | st.floats(allow_nan=False) | st.integers(-(2**63), 2**63)
WISHES = st.fixed_dictionaries(
    {}, optional={"logger": VALUES, "level": VALUES | st.just("DEBUG"), "ttl_s": VALUES, "more": VALUES}
)


@given(st.one_of(VALUES, st.lists(VALUES), WISHES))
def test_any_content_is_read_or_refused(content: object) -> None:
    """Nothing else happens, whatever comes."""
    try:
        wish: object = read_change(content)
    except RequestRefused as refused:
        wish = refused.status
    assert isinstance(wish, LevelChange) or wish in (400, 422)
