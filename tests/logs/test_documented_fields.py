"""The tables of docs/logs.md are held against the code."""

from __future__ import annotations

import ast
import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import divan_obs_asgi
from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.logs import lines, uncaught
from divan_obs_asgi.logs.libraries import LIBRARIES, words
from divan_obs_asgi.logs.lines import FIELDS_KEY, access_level
from divan_obs_asgi.middlewares import AccessLogMiddleware, RequestIdMiddleware
from divan_obs_asgi.settings.logs import LOG_FORMATS
from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import Outcome
from tests.logs.root_logger import root_logger_kept
from tests.pages import Page, coded
from tests.stacks import Observed

PACKAGE = Path(divan_obs_asgi.__file__).parent
PAGE = Page("logs.md")
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


LINE = {row["field"].strip("`"): row["type"] for row in PAGE.table("field", "type", "meaning")}
FURTHER = {row["field"].strip("`"): row["type"] for row in PAGE.table("field", "type", "lines")}


def strings(nodes: list[ast.expr] | list[ast.expr | None]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def written_by_lines() -> set[str]:
    """Return the fields that `logs/lines.py` puts into a line, by its source."""
    tree = ast.parse(inspect.getsource(lines.Lines))
    names = {name for node in ast.walk(tree) if isinstance(node, ast.Dict) for name in strings(node.keys)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "line":
            names.update(strings([node.slice]))
    # Added to the finished JSON.
    return names | set(re.findall(r"\w+", lines._RECORDED.decode())) - {"true"}


def added_by_other_modules() -> set[str]:
    """Return the fields that other modules add to lines, by their source."""
    names: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        if "extra=" not in text and "add_detail" not in text and "FIELDS_KEY" not in text and "details" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            names.update(_added_at(node))
    return names


def _added_at(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_detail":
        yield from strings(node.args[:1])
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == uncaught._record.__name__:
        yield from (keyword.arg for keyword in node.keywords if keyword.arg not in (None, "args"))
    elif isinstance(node, ast.FunctionDef) and node.name == "details":
        for child in ast.walk(node):
            if isinstance(child, ast.Dict):
                yield from strings(child.keys)
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == "fields" and isinstance(node.value, ast.Dict):
            yield from strings(node.value.keys)
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id == "fields":
            yield from strings([target.slice])
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Name) and key.id == "FIELDS_KEY" and isinstance(value, ast.Dict):
                yield from strings(value.keys)


def test_the_table_has_every_field_that_a_line_can_have_and_no_other() -> None:
    assert written_by_lines() == set(LINE)


def test_the_second_table_has_every_field_that_other_modules_add() -> None:
    # `operation` and `failure` come by name from connection/operations.py.
    assert added_by_other_modules() - set(LINE) | {"operation", "failure"} == set(FURTHER)


def real_lines() -> list[dict[str, Any]]:
    """Return lines that together have every field of the first table."""

    async def show(request: Request) -> Response:
        return PlainTextResponse("hello")

    async def fail(request: Request) -> Response:
        logging.getLogger(__name__).debug("before")
        raise LookupError("on purpose")

    async def close(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4001)

    async def requests(observed: Observed) -> None:
        app = Starlette(routes=[Route("/", show), Route("/fail", fail), WebSocketRoute("/ws", close)])
        stack = build_stack(app, observed.obs, [RequestIdMiddleware, AccessLogMiddleware])
        for scope in (http_scope("/"), http_scope("/fail"), websocket_scope("/ws")):
            await converse(stack, scope, [{"type": "websocket.connect"}])

    with root_logger_kept():
        observed = Observed({"LOG_RECORDER_LOGGERS": __name__})
        observed.obs.log.install()
        anyio.run(requests, observed)
        fields = {f"field_{number}": number for number in range(40)}
        logging.getLogger(__name__).warning("outside", stack_info=True, extra={FIELDS_KEY: fields})
        return observed.lines()


def test_the_types_are_those_of_real_lines() -> None:
    """Each field of the first table is in one of them at least."""
    found = real_lines()
    names = {name for line in found for name in line if not name.startswith("field_")}
    # Other modules have added some.
    assert names - set(FURTHER) == set(LINE)
    for line in found:
        for name in LINE.keys() & line:
            expected = tuple(kind for one in LINE[name].split(" or ") for kind in TYPES[one])
            assert isinstance(line[name], expected), name
            assert not isinstance(line[name], bool) or bool in expected, name
    (error,) = (line["error"] for line in found if "error" in line)
    assert set(re.findall(r"^- `(\w+)` is", PAGE.text, re.MULTILINE)) == set(error)


def test_the_types_of_the_second_table_are_types_of_json() -> None:
    assert set(FURTHER.values()) <= set(TYPES)


def test_the_table_of_outcomes_has_their_levels() -> None:
    documented = {row["outcome"].strip("`"): row["level"].strip("`") for row in PAGE.table("outcome", "level")}
    assert set(documented) == set(get_args(Outcome))
    for outcome, level in documented.items():
        record = RequestRecord(http_scope(), RouteTemplates(None), InternalErrors(count=lambda component: None))
        record.outcome = outcome  # type: ignore[assignment]
        assert logging.getLevelName(access_level(record)) == level


def test_the_table_of_formats_has_every_format() -> None:
    assert {coded(row["`LOG_FORMAT`"])[0] for row in PAGE.table("`LOG_FORMAT`")} == set(LOG_FORMATS)


def test_the_table_of_libraries_has_every_reducer() -> None:
    """Each logger that it names is reduced; the last row stands for all that keep the format string only."""
    rows = PAGE.table("logger", "what is written")[:-1]
    named = [name for row in rows for name in coded(row["logger"])]
    assert [name for name in named if name not in LIBRARIES] == []
    assert {LIBRARIES[name] for name in named} >= {reducer for reducer in LIBRARIES.values() if reducer is not words}
