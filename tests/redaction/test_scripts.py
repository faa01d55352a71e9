# ruff: noqa: RUF001 - keys have letters of their script, and a list of them is one line.
"""Keys in other scripts than Latin hide their values, in structures and in texts, as those in English do."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.scripts import STAND_INS, WORDS, with_stand_ins

POLICY = RedactionPolicy()
VALUE = "hunter2xyz"
KEYS = [
    "пароль",
    "ПАРОЛЬ",
    "новый_пароль",
    "старыйПароль",
    "пароль2",
    "пароль_админа",
    "пароль_токен",
    "токен",
    "парола",
    "密码",
    "登录密码",
    "密碼",
    "パスワード",
    "ログインパスワード",
    "ﾊﾟｽﾜｰﾄﾞ",
    "비밀번호",
    "사용자비밀번호",
    "كلمة_المرور",
    "كلمة_السر",
    "رمز_عبور",
    "κωδικός",
    "Κωδικός_πρόσβασης",
    "סיסמה",
    "הסיסמה",
    "पासवर्ड",
    "รหัสผ่าน",
    "გაყიდვის_პაროლი",
]
NOTATIONS: dict[str, Callable[[str], str]] = {
    "JSON": lambda key: json.dumps({key: VALUE}, ensure_ascii=False),
    "JSON with escapes": lambda key: json.dumps({"n": 1, key: VALUE}),
    "JSON in JSON": lambda key: json.dumps({"sent": json.dumps({key: VALUE})}),
    "JSON in a text": lambda key: f"request body {json.dumps({key: VALUE})}",
    "Python": lambda key: f"form { ({key: VALUE})!r}",
    "Python in ASCII": lambda key: f"form { ({key: VALUE})!a}",
    "bytes": lambda key: f"body {json.dumps({key: VALUE}, ensure_ascii=False).encode()!r}",
    "pair": lambda key: f"saved {key}={VALUE} in 3 ms",
    "colon": lambda key: f"{key}: {VALUE}",
    "wide colon": lambda key: f"{key}：{VALUE}",
    "query": lambda key: f"GET /a?{urlencode({key: VALUE, 'n': 1})} HTTP/1.1",
    "XML": lambda key: f"<{key}>{VALUE}</{key}>",
    "entities": lambda key: "".join(f"&#{ord(char)};" for char in key) + f"={VALUE}",
    "name and value": lambda key: json.dumps([{"name": key, "value": VALUE}]),
    "tuple": lambda key: f"[('{key}', '{VALUE}')]",
    "decomposed": lambda key: unicodedata.normalize("NFD", f"{key}={VALUE}"),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_key_hides_its_value_in_a_text(key: str, notation: str) -> None:
    """As it is, and with each escape that programs write."""
    if notation == "decomposed" and key[0] > "\uac00":
        pytest.skip("The parts of a syllable in Hangul are letters.")
    result = POLICY.redact_text(NOTATIONS[notation](key))
    assert VALUE not in result
    assert "[redacted:credential]" in result


@pytest.mark.parametrize("key", KEYS)
def test_a_key_hides_its_value_in_a_structure(key: str) -> None:
    """At any depth, and as the name of a field."""
    assert POLICY.redact({"a": [{key: [VALUE]}]}) == {"a": [{key: "[redacted:credential]"}]}
    assert POLICY.redact({"name": key, "value": VALUE}) == {"name": key, "value": "[redacted:credential]"}


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("телефон", "0532 123 45 67", "phone"),
        ("номер телефона", "912 345-67-89", "phone"),
        ("手机号", "13812345678", "phone"),
        ("هاتف", "0501234567", "phone"),
        ("фамилия", "Иванова", "person_name"),
        ("姓名", "Wang Wei", "person_name"),
        ("дата рождения", "12.03.1985", "birth_date"),
        ("生年月日", "1985-03-12", "birth_date"),
        ("почтовый индекс", "101000", "postal_address"),
        ("身份证号", "11010519491231002X", "national_id"),
        ("широта", 55.75, "position"),
        ("纬度", 39.9, "position"),
    ],
)
def test_other_rules_have_keys_in_other_scripts(key: str, value: object, rule: str) -> None:
    """With the marker of the rule."""
    assert POLICY.redact({key: value}) == {key: f"[redacted:{rule}]"}
    assert POLICY.redact_text(f"{key}: {value}") == f"{key}: [redacted:{rule}]"


@pytest.mark.parametrize(
    "text",
    [
        "пароль: неверный",
        "Неверный пароль: попробуйте снова",
        "длина пароля: 12 символов",
        "длина_пароля=12",
        "密码长度=8",
        "密码：错误",
        "密码学=入门",
        "パスワード: 必須です",
        "비밀번호: 틀렸습니다",
        "спин=5",
        '{"\\u0446\\u0432\\u0435\\u0442": "red", "b": 1}',
        "город=Москва",
    ],
)
def test_other_words_keep_their_values(text: str) -> None:
    """A result of a check is not a password, and the length of a password is not one either."""
    assert POLICY.redact_text(text) == text


@pytest.mark.parametrize("value", [{"длина_пароля": 12}, {"пароль_длина": 12}, {"密码长度": 8}, {"тип_телефона": "a"}])
def test_a_key_that_describes_a_secret_keeps_its_value(value: object) -> None:
    """As `password_length` does."""
    assert POLICY.redact(value) == value


def test_a_key_can_be_allowed() -> None:
    """In structures; other words of its length are still redacted."""
    policy = RedactionPolicy(allow_keys=["пароль"])
    assert policy.redact({"пароль": VALUE, "секрет": VALUE}) == {"пароль": VALUE, "секрет": "[redacted:credential]"}


def test_a_key_that_ends_in_another_key_hides_the_whole_value() -> None:
    """And nothing of what stands behind it."""
    hidden = "пароль_токен: [redacted:credential], room: tea"
    assert POLICY.redact_text(f"пароль_токен: {VALUE}, room: tea") == hidden


@given(st.text() | st.lists(st.sampled_from([*"_-:= \"'x", *KEYS, *KEYS[:3]])).map("".join))
@example("ПАРОЛ_ПАРОЛ:")
def test_stand_ins_keep_all_positions(text: str) -> None:
    """Rules find a place in the one text and hide it in the other."""
    assert len(with_stand_ins(text)) == len(text)


def test_each_rule_has_a_stand_in() -> None:
    """And each stand-in a rule."""
    assert WORDS.keys() == STAND_INS.keys()
