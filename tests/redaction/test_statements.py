"""Secrets in statements, calls, configuration files and command lines, whose key is not directly before the value."""

from __future__ import annotations

import pytest

from divan_obs_asgi.redaction import RedactionPolicy

POLICY = RedactionPolicy()
SECRET = "q7Hx91kzPw4m"


@pytest.mark.parametrize(
    "text",
    [
        "CREATE USER ada WITH PASSWORD '<s>'",
        "ALTER ROLE ada PASSWORD '<s>' VALID UNTIL 'infinity'",
        "ALTER USER 'ada' IDENTIFIED BY '<s>'",
        "CREATE USER 'ada' IDENTIFIED WITH caching_sha2_password BY '<s>'",
        "SET PASSWORD FOR 'ada' = PASSWORD('<s>')",
        'failed to log in with password "<s>"',
        'user.setPassword("<s>")',
        "client.withToken('<s>')",
        'array(1) {\n  ["password"]=>\n  string(12) "<s>"\n}',
        'object(User)#3 (1) { ["password":protected]=> string(12) "<s>" }',
        'variable "db_password" { default = "<s>" }',
        'variable "api_token" {\n  type    = "string"\n  default = "<s>"\n}',
        "jdbc:oracle:thin:ada/<s>@db:1521/x",
        "sqlplus ada/<s>@db",
        "docker login -u ada -p <s> registry.example",
        "helm registry login x.example -u ada -p <s>",
        "ldapsearch -D cn=ada -w <s> -b dc=x",
        "http --auth ada:<s> x.example",
        "machine x.example login ada password <s>",
        "requirepass <s>",
        'ConvertTo-SecureString "<s>" -AsPlainText',
        "POST https://x.webhook.office.com/webhookb2/1111<s>-2222@3333/IncomingWebhook/4444/5555",
        "x-functions-key: <s>",
    ],
)
def test_a_secret_of_a_statement_is_hidden(text: str) -> None:
    """In the words of its own language."""
    assert SECRET not in POLICY.redact_text(text.replace("<s>", SECRET))


@pytest.mark.parametrize(
    "text",
    [
        "CREATE USER ada WITH PASSWORD ?",
        "ALTER USER ada PASSWORD '%s'",
        "ALTER ROLE ada PASSWORD '${DB_PASSWORD}'",
        "IDENTIFIED BY '***'",
        "the field password 'must not be empty'",
        "docker login -u ada --password-stdin",
        "login failed for ada",
        "ldapsearch -x -b dc=x",
        "http GET /a -> 200",
        'variable "region" { default = "eu-west-1" }',
        '["name"]=>\n  string(3) "ada"',
        "requirepass is not set",
        "2026-11-30 09:00:00 INFO uvicorn: Started server process [4711]",
        "Python 3.11.7, pip 24.0, gcc 12.2.0-14",
        "commit 8f3a5b2c1d4e5f6a8f3a5b2c1d4e5f6a8f3a5b2c",
        "BenchmarkParse-8  1000000  1053 ns/op  320 B/op  4 allocs/op",
        "loss 0.1234, accuracy 98.7654 %",
        'nginx: 10.0.0.1 - - [30/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 612',
    ],
)
def test_other_statements_stay(text: str) -> None:
    """Placeholders, sentences, and lines of common programs."""
    assert POLICY.redact_text(text) == text
