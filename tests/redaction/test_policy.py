"""The redaction policy as a whole: total, pure, idempotent, strict JSON, bounded, and tight."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import string
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi.redaction import JSON, Limits, RedactionPolicy
from divan_obs_asgi.testing import assert_no_secret
from divan_obs_asgi.testing.strategies import Planted, nested_with_a_secret, texts_with_a_secret

TOKEN = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"
POLICY = RedactionPolicy()
LIMITS = Limits()


def refuse(*_: object) -> NoReturn:
    raise RuntimeError(TOKEN)


class Header(enum.Enum):
    NAME = "authorization"
    VALUE = "hunter2xY9"


class Mute:
    """What raises wherever one looks at it."""

    __str__ = __repr__ = __len__ = __iter__ = __hash__ = __bool__ = refuse


class MuteList(list[object]):
    __iter__ = __len__ = __repr__ = refuse


class MuteText(str):
    __str__ = __repr__ = __len__ = __hash__ = __eq__ = refuse


class MuteError(Exception):
    __str__ = __repr__ = refuse

    @property
    def args(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError(TOKEN)


class Liar(Mapping[str, object]):
    """A mapping whose parts contradict each other."""

    def __init__(self, items: Any, length: int = 10**9) -> None:
        self._items = items
        self._length = length

    def __getitem__(self, key: str) -> object:
        raise KeyError(TOKEN)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError(TOKEN)

    def __len__(self) -> int:
        return self._length

    def items(self) -> Any:
        if isinstance(self._items, Exception):
            raise self._items
        return self._items


class Endless(Mapping[str, object]):
    """An endless mapping."""

    def __getitem__(self, key: str) -> object:
        return 1

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            yield f"k{number}"
            number += 1

    def __len__(self) -> int:
        raise TypeError("endless")


class Colour(enum.Enum):
    RED = "red"
    SECRET = TOKEN


class Point(NamedTuple):
    x: int
    password: str


@dataclasses.dataclass
class Account:
    name: str
    password: str
    notes: list[object] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Unset:
    later: int = dataclasses.field(init=False)


def forever() -> Iterator[int]:
    while True:
        yield 1


def cyclic_list() -> list[object]:
    value: list[object] = [1]
    value.append(value)
    return value


def cyclic_dict() -> dict[str, object]:
    value: dict[str, object] = {"a": 1}
    value["self"] = {"again": value}
    return value


def cyclic_error() -> Exception:
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    return first


def deep(levels: int) -> object:
    value: object = TOKEN
    for _ in range(levels):
        value = [value]
    return value


HOSTILE: dict[str, Any] = {
    "mute": Mute,
    "mute list": lambda: MuteList([1]),
    "mute text": lambda: MuteText("a"),
    "mute error": MuteError,
    "mute class": lambda: Mute,
    "mute inside": lambda: {"a": [Mute()]},
    "mute key": lambda: {(1, 2): 1, frozenset([TOKEN]): 2},
    "items raise": lambda: Liar(RuntimeError(TOKEN)),
    "items are no pairs": lambda: Liar([1, 2]),
    "items are none": lambda: Liar(None),
    "items are endless": lambda: Liar(((f"k{n}", n) for n, _ in enumerate(forever()))),
    "negative length": lambda: Liar([("a", 1)], -1),
    "endless mapping": Endless,
    "generator": forever,
    "coroutine-like": lambda: forever().__next__,
    "cyclic list": cyclic_list,
    "cyclic dict": cyclic_dict,
    "cyclic error": cyclic_error,
    "deep": lambda: deep(5000),
    "huge int": lambda: 10**5000,
    "very huge int": lambda: -(1 << 200_000),
    "nan": lambda: [float("nan"), float("inf"), -float("inf")],
    "surrogate": lambda: {"\ud800": "\udfff", "a": "x\ud83d"},
    "nul": lambda: "a\0b\x1b[0m",
    "bytes": lambda: [b"\xff\xfe", bytearray(b"a"), memoryview(b"b"), b"a\xc3"],
    "dataclass": lambda: Account("ada", TOKEN),
    "unset field": Unset,
    "dataclass class": lambda: Account,
    "namedtuple": lambda: Point(1, TOKEN),
    "enum": lambda: list(Colour),
    "flags": lambda: enum.Flag("F", "A B").A,  # type: ignore[attr-defined]
    "dates": lambda: [datetime.datetime.now(datetime.UTC), datetime.timedelta(1), datetime.date.max],
    "decimals": lambda: [decimal.Decimal("NaN"), decimal.Decimal(10) ** 50, complex(1, 2)],
    "sets": lambda: {frozenset({1}), "a"},
    "deque": lambda: collections.deque([1], 3),
    "views": lambda: [{"a": 1}.keys(), {"a": 1}.items(), {"a": 1}.values(), range(10**9)],
    "uuid": uuid.uuid4,
    "function": lambda: refuse,
}

JSON_LIKE: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.datetimes()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.sampled_from(Colour),
    lambda inner: (
        st.lists(inner, max_size=14)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=12) | st.integers() | st.none(), inner, max_size=14)
        | st.builds(Account, st.text(), st.text(), st.lists(inner, max_size=3))
        | st.lists(inner, max_size=3).map(lambda args: ValueError(*args))
    ),
    max_leaves=20,
)
# What a log holds, in every order: signs of secrets, delimiters, parts of markers.
WORDS = """
    password token= "email": ' " \\" \\ { } [ ] ( ) < > , ; & = : :// @ ada@mine.example %40 %3D + . -- ----- Bearer
    Basic YWRhOnMzY3JldA== eyJhbGciOi.eyJhbGciOi [redacted:email] [redacted: redacted] [cut:3 [cut: ...
    4111111111111111 52.520008 13.404954 +491701234567 PRIVATE é \ud800 \u0130 None null true Cookie:
    https://ada:pw7@h/p?sig=x&n=1 lat lon ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY
"""
SHREDS = st.lists(
    st.sampled_from([*WORDS.split(), " ", "\n", "\t", "-----BEGIN RSA PRIVATE KEY-----"]),
    max_size=12,
).map(" ".join)


# The same, each of them whole.
WHOLE = st.lists(
    st.sampled_from([word for word in WORDS.split() if len(word) > 3 and word[-1] not in "=:"]), max_size=12
).map(" ".join)


def levels(value: JSON) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(levels, children), default=0)


def containers(value: JSON) -> Iterator[list[JSON] | dict[str, JSON]]:
    if isinstance(value, (list, dict)):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


def assert_strict(value: object) -> None:
    """Hold a value to RFC 8259: what one strict writer writes, another strict reader reads."""
    written = orjson.dumps(value)
    assert json.loads(written, parse_constant=refuse) == value


# --- total


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_value_is_an_error(make: Any) -> None:
    """Whatever is logged, the call returns strict JSON, and nothing of what was hidden in the value."""
    for shown in (POLICY.redact(make()), POLICY.redact([make()]), POLICY.redact_field("note", make())):
        assert_strict(shown)
        assert_no_secret(shown, [TOKEN])
    record = POLICY.redact_record({"note": make(), "n": 1})
    assert_strict(record)
    assert_no_secret(record, [TOKEN])


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_nothing_under_a_sensitive_key_is_looked_at(make: Any) -> None:
    """A password may be of any type."""
    shown = POLICY.redact_field("password", make())
    assert isinstance(shown, str)
    assert shown.startswith("[redacted:")


@pytest.mark.slow
@given(JSON_LIKE)
def test_any_value_becomes_strict_json(value: object) -> None:
    """No constant, no surrogate and no type that a reader does not know."""
    assert_strict(POLICY.redact(value))


@given(st.text(st.characters(exclude_categories=())) | SHREDS)
def test_any_text_becomes_text(text: str) -> None:
    """The result can be written as UTF-8."""
    POLICY.redact_text(text).encode()


@pytest.mark.parametrize("value", [None, 1, b"a", ["a"], Mute()])
def test_a_value_that_is_not_a_text_is_not_an_error(value: Any) -> None:
    """A caller's mistake is not the end of a request."""
    assert isinstance(POLICY.redact_text(value), str)


# --- pure


@pytest.mark.slow
@given(JSON_LIKE.filter(lambda value: value == copy.deepcopy(value)))
def test_the_input_is_left_as_it_is(value: Any) -> None:
    """What is logged is still used by the application."""
    before = copy.deepcopy(value)
    POLICY.redact(value)
    assert value == before


def test_an_iterator_is_not_consumed() -> None:
    """A stream that is logged by mistake can still be read."""
    stream = iter([1, 2, 3])
    assert POLICY.redact({"stream": stream}) == {"stream": "[redacted:type list_iterator]"}
    assert list(stream) == [1, 2, 3]


@pytest.mark.parametrize("name", ["authorization", b"authorization", Header.NAME], ids=["str", "bytes", "enum"])
@pytest.mark.parametrize(
    "secret",
    [uuid.UUID("e3e70682-c209-4cac-629f-6fbed82c07cd"), b"hunter2xY9", Header.VALUE, pathlib.PurePath("hunter2xY9")],
)
def test_of_two_items_both_may_be_shown_as_text(name: object, secret: object) -> None:
    """A name and its value in a list, or a pair in a list of pairs: UUIDs, bytes, paths and enums are texts there."""
    assert POLICY.redact([1, name, secret]) == [1, "authorization", "[redacted:credential]"]
    pair = ["authorization", "[redacted:credential]"]
    assert POLICY.redact([[name, secret]]) == [pair]
    assert POLICY.redact([(name, secret)]) == [pair]
    assert POLICY.redact((name, secret)) == pair


# --- idempotent


@pytest.mark.slow
@given(nested_with_a_secret())
def test_redacting_twice_changes_nothing_more(planted: Planted) -> None:
    """A value may pass through two sinks."""
    once = POLICY.redact(planted.value)
    assert POLICY.redact(once) == once


@pytest.mark.slow
@given(JSON_LIKE)
def test_redacting_any_value_twice_changes_nothing_more(value: object) -> None:
    """Also cut texts, and markers of unknown types."""
    once = POLICY.redact(value)
    assert POLICY.redact(once) == once


@pytest.mark.slow
@given(WHOLE | st.text() | texts_with_a_secret().map(lambda planted: planted.value))
def test_redacting_a_text_twice_changes_nothing_more(text: str) -> None:
    """A marker is not a secret, and does not make its neighbours one."""
    once = POLICY.redact_text(text)
    assert POLICY.redact_text(once) == once


@pytest.mark.parametrize("size", [2047, 2048, 2049, 70_000, 200_000])
@pytest.mark.parametrize("text", ["a b ", "x=1 ", "ada@mine.example ", "password=hunter2x ", "é "])
def test_a_text_that_was_cut_is_not_cut_again(text: str, size: int) -> None:
    """What says that something is missing stays."""
    once = POLICY.redact_text((text * size)[:size])
    assert POLICY.redact_text(once) == once


# --- bounded


@pytest.mark.slow
@given(JSON_LIKE)
def test_the_result_has_bounds(value: object) -> None:
    """A line has a length that a collector takes, whatever is logged."""
    shown = POLICY.redact(value)
    assert levels(shown) <= LIMITS.depth
    assert all(len(container) <= LIMITS.items + 1 for container in containers(shown))


@pytest.mark.parametrize(
    "value",
    [
        ["x" * 5000] * 100,
        {f"key{n}": ["y" * 3000] * 50 for n in range(100)},
        {"k" * 100_000 + str(n): 1 for n in range(20)},
        [[["é" * 2000] * 12] * 12],
        [b"a" * 100_000] * 12,
    ],
    ids=["texts", "nested", "keys", "foreign", "bytes"],
)
def test_the_total_is_bounded(value: object) -> None:
    """Many long texts make a long line, and not an endless one: some 32 KB, and the markers of what is left out."""
    assert len(json.dumps(POLICY.redact(value), ensure_ascii=False)) < 4 * LIMITS.total


def test_items_left_out_are_counted() -> None:
    """Ten are kept, with the number of the others."""
    assert POLICY.redact(list(range(13))) == [*range(10), "[cut:3 more]"]
    assert POLICY.redact({str(n): n for n in range(11)}) == {**{str(n): n for n in range(10)}, "...": "[cut:1 more]"}
    assert POLICY.redact(list(range(10))) == list(range(10))
    assert POLICY.redact(Endless()) == {**{f"k{n}": 1 for n in range(10)}, "...": "[cut:more]"}


def test_values_beyond_the_depth_are_named() -> None:
    """Six levels, as a person can still read."""
    assert POLICY.redact(deep(9)) == [[[[[["[cut:depth]"]]]]]]


def test_a_long_text_says_that_it_was_cut() -> None:
    """The limit is on the whole, marker included."""
    shown = POLICY.redact_text("a b " * 1000)
    assert len(shown) == LIMITS.text
    assert shown.endswith("[cut:length]")


@pytest.mark.parametrize("frames", [1, 40, 3000])
@pytest.mark.parametrize("limit", [0, 20, 500, 2048, 70_000])
def test_a_long_traceback_keeps_its_end(frames: int, limit: int) -> None:
    """What happened stands in its last line; a secret is found before anything is cut."""
    policy = RedactionPolicy(limits=Limits(text=limit))
    text = "Traceback (most recent call last):\n" + frames * f'  File "a.py", line 7, in buy\n    ask("{TOKEN}")\n'
    text += "LookupError: no tea"
    shown = policy.redact_traceback(text)
    assert policy.redact_traceback(shown) == shown
    assert TOKEN[:12] not in shown
    assert not limit or len(shown) <= limit
    if limit != 20:
        assert shown.startswith("Traceback (most recent call last):\n")
        assert shown.endswith('")\nLookupError: no tea')


@pytest.mark.slow
@given(st.integers(0, 300), texts_with_a_secret())
def test_no_secret_survives_in_a_traceback(lines: int, planted: Planted) -> None:
    """Wherever it is cut."""
    policy = RedactionPolicy(limits=Limits(text=200))
    shown = policy.redact_traceback(f"{planted.value}\n" + "x\n" * lines)
    assert_no_secret(shown, {planted.secret.kind: planted.secret.text})
    assert len(shown) <= 200


@pytest.mark.parametrize("at", range(1990, 2060, 3))
def test_a_secret_is_found_before_the_text_is_cut(at: int) -> None:
    """Half a token is a secret too."""
    shown = POLICY.redact_text("x " * (at // 2) + TOKEN + " y" * 100)
    assert TOKEN[:12] not in shown


@pytest.mark.parametrize("at", range(65_536 - 60, 65_536 + 4, 5))
def test_a_secret_at_the_end_of_the_text_that_is_read_is_hidden(at: int) -> None:
    """Of a very long text only the beginning is read, and its end is not trusted."""
    policy = RedactionPolicy(limits=Limits(text=65_536 // 2))
    assert TOKEN[:12] not in policy.redact_text("x " * (at // 2) + TOKEN + " y" * 100)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO users (id, password) VALUES (1, '<s>'), (2, '<s>')",
        "id,password\n1,<s>\n2,<s>",
        " id | password\n----+---\n  1 | <s>\n  2 | <s>",
        "COPY users (id, password) FROM stdin;\n1\t<s>\n2\t<s>",
        "-[ RECORD 1 ]-\nid | 1\npassword | <s>",
        "'<s>' is not a valid value for password",
        "setx DB_PASSWORD <s>",
        'x [0 lua] "AUTH" "ada" "<s>"',
        "a1 LOGIN ada <s>",
        "net use Z: \\\\srv\\share <s>",
        "curl -u ada:<s> https://h",
        "CREATE USER ada IDENTIFIED BY '<s>'",
        "echo <s> | sudo -S true",
    ],
)
@pytest.mark.parametrize("end", [2048, pytest.param(65_536, marks=pytest.mark.slow)])
def test_a_cut_exposes_no_part_of_what_its_words_name(text: str, end: int) -> None:
    """The words may stand before the cut or behind it, where the text is shown or where it is read."""
    secret = "Hq7vTr2mWxK9"
    text = text.replace("<s>", secret)
    policy = RedactionPolicy(limits=Limits(text=end))
    for cut in range(1, len(text) + 8, 3):
        once = policy.redact_text(f"{'x ' * end}"[: end - cut - 1] + f"\n{text}\n" + "y " * 100)
        assert secret[:6] not in once
        assert policy.redact_text(once) == once


def test_a_record_keeps_all_its_fields() -> None:
    """The 14 fields of a log line are not a map to be cut."""
    record: dict[str, object] = {f"field_{chr(97 + n)}": n for n in range(14)}
    assert POLICY.redact_record(record) == record
    assert POLICY.redact_record({**record, "password": TOKEN}) == {**record, "password": "[redacted:credential]"}


def test_a_record_that_cannot_be_read_is_replaced() -> None:
    """Fail closed: a field says that there was something."""
    assert POLICY.redact_record(Liar(RuntimeError(TOKEN))) == {"redacted": "[redacted:unreadable]"}


# --- tight


@pytest.mark.slow
@given(nested_with_a_secret())
def test_a_secret_never_survives(planted: Planted) -> None:
    """Wherever it stands, under whatever key and in whatever encoding."""
    shown = POLICY.redact(planted.value)
    assert_no_secret([shown, json.dumps(shown)], {planted.secret.kind: planted.secret.text})


@pytest.mark.slow
@given(texts_with_a_secret(), st.text(string.ascii_letters + " .,\n", max_size=30))
def test_a_secret_never_survives_in_a_text(planted: Planted, before: str) -> None:
    """Whatever is said in front of it, in a text as well as in an exception."""
    text = f"{before}\n{planted.value}\nand more"
    shown = [POLICY.redact_text(text), POLICY.redact(ValueError(text)), POLICY.redact({"note": text.encode()})]
    assert_no_secret(shown, {planted.secret.kind: planted.secret.text})


def test_an_exceptions_relatives_are_redacted() -> None:
    """Cause, context, notes and the members of a group are part of the result, and redacted."""

    by_cause, by_context = ValueError("a"), ValueError("b")
    by_cause.__cause__ = by_context.__context__ = KeyError(TOKEN)
    noted = ValueError("c")
    noted.add_note(f"with {TOKEN}")
    group = ExceptionGroup(f"of {TOKEN}", [by_cause, by_context, noted])
    shown: Any = POLICY.redact(group)
    assert_strict(shown)
    assert_no_secret(shown, [TOKEN])
    cause, context, notes = shown["exceptions"]
    assert cause["cause"]["type"] == "KeyError"
    assert context["context"]["type"] == "KeyError"
    assert notes["notes"] == ["with [redacted:github_token]"]


@pytest.mark.parametrize("key", ["password", "PASSWORD", "Password", "X-API-KEY", "USER_EMAIL", "LAT"])
def test_a_keys_case_does_not_matter(key: str) -> None:
    """Headers and environment variables are in capitals."""
    assert_no_secret(POLICY.redact({key: "mine7"}), ["mine7"])


@pytest.mark.slow
@given(JSON_LIKE)
@example({"a": ["x"]})
def test_a_value_without_secrets_is_the_same_each_time(value: object) -> None:
    """What the policy remembers of earlier texts changes no answer."""
    assert POLICY.redact(value) == RedactionPolicy().redact(value)
