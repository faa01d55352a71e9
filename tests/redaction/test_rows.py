"""Values whose name is that of their column: SQL, COPY, CSV, tables."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.redaction import RedactionPolicy

POLICY = RedactionPolicy()
SECRET = "hunter2xyz"
TABLES = [
    "n,clientSecret\n1,<s>",
    " n | password\n---+---\n 1 | <s>",
    "n\tapi_key\n1\t<s>",
    "| n | password |\n|---|---|\n| 1 | <s> |",
    "COPY users (n, password) FROM stdin;\n1\t<s>",
]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO users (name, password) VALUES ('ada', '<s>')",
        "INSERT INTO users (name, password) VALUES ('ada', 'secret'), ('bob', '<s>')",
        'INSERT INTO "users" ("name", "password", "n") VALUES (\'ada\', \'<s>\', 3)',
        "insert into `a`.`users`(`id`, `api_key`) values (1,'<s>');",
        "INSERT INTO [dbo].[Users] ([Name], [Password]) VALUES (N'ada', N'<s>')",
        'REPLACE INTO users (password, name) VALUES ("<s>", "ada")',
        "INSERT INTO users (name, password) VALUES (upper('a,b'), crypt('<s>', gen_salt('bf')))",
        "INSERT INTO users (name, password) VALUES ('O''Brien, x)', '<s>')",
        "(SQL: insert into `users` (`email`, `password`) values (x, <s>))",
        '{"msg": "INSERT INTO \\"users\\" (\\"password\\") VALUES (\'<s>\')"}',
        "WHERE (name, password) = ('ada', '<s>')",
        "UPDATE users SET password = '<s>', n = 3",
        "UPDATE [Users] SET [Password] = N'<s>'",
        "INSERT INTO users SET name = 'ada', password = '<s>'",
        "COPY users (name, password) FROM stdin;\nada\tsecret\nbob\t<s>\n\\.",
        "name,email,password\nada,a,<s>",
        '"id";"api_key"\r\n"1";"<s>"\r\n',
        "id\tname\tpassword\n1\tada\t<s>",
        "| name | password   |\n|------|------------|\n| ada  | <s> |",
        " name | password\n------+------------\n ada  | <s>\n(1 row)",
        "+------+------------+\n| user | password   |\n+------+------------+\n| ada  | <s> |",
        "-[ RECORD 1 ]------\nname     | ada\npassword | <s>",
    ],
)
def test_a_value_in_a_sensitive_column_is_hidden(text: str) -> None:
    """In each row."""
    redacted = POLICY.redact_text(text.replace("<s>", SECRET))
    assert SECRET not in redacted
    assert POLICY.redact_text(redacted) == redacted


@given(st.text(string.ascii_letters + "-_!", min_size=4, max_size=16), st.sampled_from(TABLES))
def test_any_secret_in_a_table_is_hidden(middle: str, table: str) -> None:
    """Whatever its letters are."""
    secret = f"q{middle}7z"
    redacted = POLICY.redact_text(table.replace("<s>", secret))
    assert secret not in redacted
    assert POLICY.redact_text(redacted) == redacted


def test_the_other_columns_stay() -> None:
    """A reader sees which row it was."""
    text = "INSERT INTO users (id, password, room) VALUES (7, 'hunter2', 'hall'), (8, NULL, 'bar')"
    assert POLICY.redact_text(text) == text.replace("hunter2", "[redacted:credential]")


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO users (name, password) VALUES ($1, $2)",
        "INSERT INTO users (name, password) VALUES (%s, %(password)s)",
        "INSERT INTO users (password, token, pin) VALUES (?, :token, @p1), (NULL, DEFAULT, gen())",
        "INSERT INTO users (name, password) VALUES (?1, ?2)",
        "INSERT INTO users (name, password) VALUES ($1, crypt($2, gen_salt('bf')))",
        "INSERT INTO users (id, password) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET password = EXCLUDED.password",
        "INSERT INTO rooms (name, n) VALUES ('hall', 3)",
        "INSERT INTO users (name, password_changed_at) VALUES ('ada', '2026-11-30')",
        "(user, password) = (first, second)",
        "COPY rooms (id, name) FROM stdin;\n1\thall",
        "CREATE TABLE users (id int, password text NOT NULL)",
        "id,name,rows\n1,hall,3",
        "the name, the email, the password\nare wrong, as you know, today",
        "| name | type |\n|------|------|\n| password | string |\n| token | string |",
        "| token | count |\n|-------|-------|\n| if    | 3     |",
        'File "a.py", line 3, in token\n    return a, b, c',
        "name,email,password",
    ],
)
def test_placeholders_and_other_columns_stay(text: str) -> None:
    """A statement without its parameters, code, a sentence."""
    assert POLICY.redact_text(text) == text
