"""A fuzzed run through the whole stack: every line is strict JSON and has the mandatory fields."""

from __future__ import annotations

import json
import logging
from typing import Any, NoReturn

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.routes import ROUTE_KEY
from divan_obs_asgi.logs import PipelineHandler
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed

MANDATORY = {"ts", "level", "msg", "service", "env", "commit", "request_id", "trace_id", "span_id", "route", "status"}
MANDATORY |= {"latency_ms", "logger", "sample_rate"}
RESERVED = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class Broken:
    """An object whose author made a mistake."""

    def __str__(self) -> NoReturn:
        raise RecursionError("no text")

    __repr__ = __str__

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


class Long(str):
    """A long text that is short where hypothesis shows it."""

    def __repr__(self) -> str:
        return f"Long({len(self)})"


def circular() -> list[object]:
    circle: list[object] = []
    circle.append(circle)
    return circle


TEXT = (
    st.text(st.characters())
    | st.sampled_from(["%", "%s %s", "%d", "a\r\nb", "\x1b[31m", "\ud800"])
    | st.builds(lambda: Long("x" * 100_000))
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.binary()
    | st.builds(Broken)
    | st.builds(circular)
    | st.builds(ValueError, TEXT),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(TEXT | st.integers(), inner, max_size=12),
    max_leaves=6,
)
LINES = st.tuples(
    st.just("log"),
    st.integers(1, 60),
    TEXT | VALUES,
    st.lists(VALUES, max_size=2),
    st.dictionaries(TEXT.filter(lambda key: key not in RESERVED), VALUES, max_size=3),
    st.none() | st.builds(ValueError, VALUES) | st.builds(lambda: ExceptionGroup("several", [KeyError(1)])),
)
BINDINGS = st.tuples(st.just("bind"), st.dictionaries(TEXT, VALUES, max_size=3))
ENDS = st.sampled_from([200, 404, 503, ValueError("\ud800\x1b"), ValueError(Broken()), None])


def strict(line: bytes) -> Any:
    """Read JSON as the strictest of log collectors do: UTF-8, one object, no name twice, and no NaN."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        # If a character could not be encoded, two names may have become equal.
        names = [name for name, _ in pairs if "\ufffd" not in name]
        assert len(set(names)) == len(names), "a name stands there twice"
        return dict(pairs)

    return json.loads(line.decode("utf-8"), parse_constant=refuse, object_pairs_hook=once)


@pytest.mark.slow
@given(
    steps=st.lists(LINES | BINDINGS, max_size=8),
    end=ENDS,
    route=st.none() | TEXT,
    request_id=st.binary(max_size=40),
    budget=st.sampled_from(["1", "1000"]),
)
@example(
    steps=[("bind", {"\ud800": circular()})], end=503, route="/\x9b\u2028", request_id=b"\r\nset-cookie", budget="1"
)
def test_every_line_of_a_fuzzed_run_is_strict_json(
    steps: list[tuple[Any, ...]], end: object, route: str | None, request_id: bytes, budget: str
) -> None:
    """Whatever is logged, bound, raised, routed and sent; and the application notices nothing."""
    observed = Observed({"LOG_SAMPLING_BUDGET": budget, "LOG_SAMPLING_RATE_INFO": "0.5"})
    logger = logging.Logger("fuzz")
    logger.addHandler(PipelineHandler(observed.obs.log))
    logged = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal logged
        if route is not None:
            scope[ROUTE_KEY] = route
        for kind, *step in steps:
            if kind == "bind":
                observed.obs.log.bind(**step[0])
            else:
                level, message, arguments, extra, error = step
                logger.log(level, message, *arguments, extra=extra, exc_info=error)
                logged += level >= logging.WARNING
        if isinstance(end, Exception):
            raise end
        if end is not None:
            await send({"type": "http.response.start", "status": end, "headers": []})
            await send({"type": "http.response.body"})

    scope = http_scope(headers=[(b"x-request-id", request_id)])
    done = anyio.run(converse, build_stack(app, observed.obs), scope)
    assert done.error is (end if isinstance(end, Exception) else None)
    observed.obs.log.sink.close()
    written = observed.stream.getvalue()
    lines = [strict(line) for line in written.split(b"\n")[:-1]]
    assert all(line.keys() >= MANDATORY for line in lines)
    assert all(len(line) < 40_000 for line in written.split(b"\n"))
    assert not any(byte < 32 and byte != 10 for byte in written)
    assert b"\\u001b" not in written
    # None of WARNING or above is missing, and none of a request that failed.
    own = [line for line in lines if line["logger"] == "fuzz"]
    assert sum(logging.getLevelNamesMapping().get(line["level"], 99) >= 30 for line in own) >= logged
    if end not in (200, 404):
        assert len(own) == sum(kind == "log" for kind, *_ in steps)
