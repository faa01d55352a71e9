"""A suppressed line is rendered when it is written, and says what it would have said at the time of the call."""

from __future__ import annotations

import gc
import logging
import sys
import types
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi.logs.kept_lines import KeptLine, kept_line
from divan_obs_asgi.logs.lines import FIELDS_KEY, Lines
from divan_obs_asgi.redaction import RedactionPolicy

LINES = Lines("shop", "test", "abc", RedactionPolicy())
SECRETS = ["ann@example.com", "Bearer abcdefghijkl1234567890", "password=hunter22", "4111 1111 1111 1111"]

texts = st.one_of(st.text(max_size=60), st.sampled_from(SECRETS), st.just("x" * 5000))
constants = st.one_of(texts, st.integers(), st.floats(), st.booleans(), st.none())
changing = st.one_of(st.lists(texts, max_size=3), st.dictionaries(texts, texts, max_size=3), st.binary(max_size=9))
values = st.one_of(constants, changing)
keys = st.sampled_from(["room", "password", "email", "user_id", "note", "args_", "ids"])


class Request:
    """What a line has of its request."""

    def __init__(self) -> None:
        self.request_id, self.trace_id, self.span_id = "r" * 8, "a" * 32, "b" * 16
        self.route = "/rooms/{room}"
        self.hidden: tuple[str, ...] = ()

    def route_so_far(self) -> str:
        return self.route


def log_record(
    template: str, arguments: tuple[object, ...], extra: dict[str, Any], fields: dict[str, Any] | None
) -> logging.LogRecord:
    record = logging.LogRecord("shop.chat", logging.DEBUG, "/shop/chat.py", 1, template, arguments, None)
    vars(record).update(extra)
    if fields is not None:
        setattr(record, FIELDS_KEY, fields)
    return record


def change(value: object) -> None:
    """Change a value in place, as an application may after the call."""
    if isinstance(value, list):
        value.append("changed since")
    elif isinstance(value, dict):
        value["changed"] = "since"


@given(
    st.lists(values, max_size=3),
    st.booleans(),
    st.dictionaries(keys, values, max_size=3),
    st.none() | st.dictionaries(keys, values, max_size=3),
)
@example([], False, {}, None)
@example([[1], "lobby"], True, {}, {"room": "lobby"})
@example(["ann@example.com"], True, {"password": "hunter2"}, None)
@example([{"password": "hunter2"}], True, {}, None)
def test_a_line_that_is_rendered_later_is_the_line_of_the_call(
    arguments: list[object], fits: bool, extra: dict[str, Any], fields: dict[str, Any] | None
) -> None:
    """Whatever its template, arguments and fields are, and whatever the application does to them afterwards."""
    template = "sent " + "to %s " * (len(arguments) + (not fits))
    of_the_call, record = Request(), log_record(template, tuple(arguments), extra, fields)
    at_once = LINES.application(record, of_the_call, 1.0, recorded=True)
    kept = kept_line(LINES, record, of_the_call)
    for value in (*arguments, *extra.values(), *(fields or {}).values()):
        change(value)
    for mapping in (extra, fields):
        if mapping is not None:
            mapping["later"] = "since"
    record.msg, record.args, record.name = "another", (), "another"
    of_the_call.route = of_the_call.request_id = of_the_call.span_id = "another"
    assert (kept if isinstance(kept, bytes) else kept.render(of_the_call)) == at_once


def test_named_arguments_are_redacted_by_their_names() -> None:
    """`"%(password)s"` loses its value, whenever it is rendered."""
    record = log_record("login of %(user)s with %(password)s", ({"user": "ann", "password": "hunter22"},), {}, None)
    kept = kept_line(LINES, record, Request())
    assert isinstance(kept, KeptLine)
    assert b"hunter22" not in kept.render(Request())
    assert "hunter22" not in repr([getattr(kept, name) for name in KeptLine.__slots__ if name != "_lines"])


def test_a_text_that_is_hidden_since_is_not_written() -> None:
    """An id that the request has hidden after the call is a credential in the earlier lines too."""
    of_the_call = Request()
    kept = kept_line(LINES, log_record("joined as %s", ("q1w2e3r4t5z6",), {}, None), of_the_call)
    assert isinstance(kept, KeptLine)
    assert b"q1w2e3r4t5z6" in kept.render(of_the_call)

    of_the_call.hidden = ("q1w2e3r4t5z6",)
    assert b"q1w2e3r4t5z6" not in kept.render(of_the_call)


def test_a_line_with_an_exception_is_finished_at_once() -> None:
    """A traceback holds the frames of the application, and they hold everything."""
    try:
        raise LookupError("on purpose")
    except LookupError:
        record = log_record("failed", (), {}, None)
        record.exc_info = sys.exc_info()
    assert isinstance(kept_line(LINES, record, Request()), bytes)


def test_a_kept_line_is_small_and_flat() -> None:
    """It holds texts and numbers: no record, request, exception or frame, and at most five tracked objects."""
    of_the_call = Request()
    kept = kept_line(LINES, log_record("sent %d to %s", (3, "lobby"), {"room": "lobby"}, None), of_the_call)
    found: list[object] = [kept]
    for one in found:
        found.extend(
            part
            for part in gc.get_referents(one)
            if not isinstance(part, (type, Lines, types.ModuleType)) and not any(part is seen for seen in found)
        )
    kinds = {type(one) for one in found}
    assert kinds <= {KeptLine, tuple, dict, str, int, float, type(None)}
    assert sum(map(gc.is_tracked, found)) <= 5
    # Texts that the request holds in any case, and the constants of the code, are counted too.
    assert sum(map(sys.getsizeof, found)) < 1500
