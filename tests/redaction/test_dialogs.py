"""Credentials in the commands of protocols."""

from __future__ import annotations

import pytest

from divan_obs_asgi.redaction import RedactionPolicy

POLICY = RedactionPolicy()
SECRET = "hunter2xyz"
ENCODED = "aHVudGVyMnh5eg=="


@pytest.mark.parametrize(
    "text",
    [
        "AUTH <s>",
        "AUTH default <s>",
        "redis-cli -h h AUTH ada <s>",
        "HELLO 3 AUTH ada <s>",
        "MIGRATE h 6379 k 0 5000 AUTH2 ada <s>",
        "MIGRATE h 6379 k 0 5000 AUTH <s> KEYS a",
        "ACL SETUSER ada on >old <<s> ~* +@all",
        '1339518083.107412 [0 127.0.0.1:60866] "AUTH" "default" "<s>"',
        '1339518083.107412 [0 127.0.0.1:60866] "CONFIG" "SET" "requirepass" "<s>"',
        "CONFIG SET masterauth <s>",
        '1) "requirepass"\n2) "<s>"',
        "*2\r\n$4\r\nAUTH\r\n$10\r\n<s>\r\n",
        "b'*3\\r\\n$4\\r\\nAUTH\\r\\n$7\\r\\ndefault\\r\\n$10\\r\\n<s>\\r\\n'",
        "AUTH PLAIN <b>",
        "send: 'AUTH LOGIN <b>\\r\\n'",
        "S: 334 UGFzc3dvcmQ6\nC: <b>",
        "A001 LOGIN ada <s>",
        'a1 login "ada" "<s>"',
        "> USER ada\n> PASS <s>",
        "---> PASS <s>",
        "PRIVMSG NickServ :IDENTIFY ada <s>",
        "OPER ada <s>",
    ],
)
def test_a_credential_of_a_command_is_hidden(text: str) -> None:
    """Redis as it is typed, sent, and shown by MONITOR; SMTP, IMAP, FTP, IRC."""
    redacted = POLICY.redact_text(text.replace("<s>", SECRET).replace("<b>", ENCODED))
    assert SECRET not in redacted
    assert ENCODED[:-2] not in redacted
    assert POLICY.redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "AUTH failed for client",
        "AUTH ok",
        "AUTH took 12ms",
        "NOAUTH Authentication required.",
        "ERR AUTH <password> called without any password configured for the default user.",
        "HELLO 3",
        "ACL SETUSER ada on nopass ~* +@all",
        "CONFIG GET requirepass",
        "CONFIG SET maxmemory 100mb",
        "250-AUTH LOGIN PLAIN XOAUTH2",
        "S: 334 VXNlcm5hbWU6",
        "a1 OK LOGIN completed",
        "PASS tests/a1.test.js",
        "--- PASS: TestLogin (0.00s)",
        "PASS: test_password",
        "OPER command not allowed",
    ],
)
def test_responses_and_results_of_tests_stay(text: str) -> None:
    """The same words in a sentence."""
    assert POLICY.redact_text(text) == text
