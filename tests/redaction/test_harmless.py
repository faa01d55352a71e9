"""What looks like a secret and is not: a word or a unit beside it, or the message of a form, speaks against it."""

from __future__ import annotations

import pytest

from divan_obs_asgi import RedactionPolicy

POLICY = RedactionPolicy()

HARMLESS = """
elapsed 12.3456, 13.4567 s
took 12.3456 13.4567 ms
ratio 12.34567/45.67891
loss 12.3456 12.2345
epoch 3 train_loss=12.3456, 11.2345
temp +12345678
diff +1234567 -123
offset +12345678 bytes
delta: +1234567890
heap 120.1234, 121.2345 MB
pass: 12 fail: 3
pass=12 fail=0
auth: 3 ok
pin: 3 of 4
tokens: 1200 in, 33 out
cookies: 4 set
sig: SIGTERM
lat=3.2ms
lat: 3.2 ms
lat=45us p99=3ms
avg lat=0.32s
latency (ms): 12.3456, 45.6789
percentiles [usec] 50.0000, 99.0000
~ password = (sensitive value)
"password" is not a valid field
expected token "}" but got ")"
error: a value is required for '--token <TOKEN>' but none was supplied
* CAPABILITY IMAP4rev1 LOGIN-REFERRALS AUTH=PLAIN
geo=eu-west
geo: us-east-1
{'email': ['Not a valid email address.']}
{"email": ["Enter a valid email address."]}
{"password": ["This field may not be blank.", "Ensure this field has at least 8 characters."]}
{"phone": "This field is required."}
{'email': [ErrorDetail(string='Enter a valid email address.', code='invalid')]}
key=room:7
GET /rooms?sort=key&page=2 HTTP/1.1
/errors?code=404
/x?key=room:7
lookup key=room:7 hit
ticket=4711 closed
code=200 state=ready
name 'token' is not defined
'a' is not a package
TypeError: 'NoneType' object is not iterable
expected 3 arguments, got 2
""".strip().splitlines()


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_line_stays(text: str) -> None:
    """Units, counts, differences, regions, messages about a field, keys of caches."""
    assert POLICY.redact_text(text) == text


@pytest.mark.parametrize(
    "value",
    [
        {"pass": 12, "fail": 3},
        {"tokens": 1200},
        {"lat": "3.2ms"},
        {"geo": "eu-west"},
        {"email": ["Not a valid email address."]},
        {"errors": {"password": ["This field is required."], "token": "is invalid"}},
        {"loss": [12.3456, 12.2345]},
        {"elapsed": [12.3456, 13.4567]},
        {"sig": "SIGTERM"},
    ],
)
def test_a_harmless_value_stays(value: object) -> None:
    """What holds for a text holds for a value."""
    assert POLICY.redact(value) == value


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("nearest at 52.5200, 13.4050 after 0.1405 s", "13.4050"),
        ("moved to 52.5200 13.4050", "52.5200"),
        ("position 52.52000/13.40500", "13.40500"),
        ("call +4930123456", "+4930123456"),
        ("sms to +12345678", "+12345678"),
        ("diff of +49 30 1234567", "1234567"),
        ("lat=52.5200 lon=13.4050", "52.5200"),
        ("lat=52.5200s lon=13.4050e", "52.5200"),
        ("geo=u33dc0cpn", "u33dc0cpn"),
        ("geo: 52.5,13.4", "13.4"),
        ("pin: 1234", "1234"),
        ("pass: hunter2", "hunter2"),
        ("cvv: 123", "123"),
        ("{'password': ['hunter2 is mine.']}", "hunter2"),
        ("{'email': ['ada at mine']}", "ada"),
        ('{"body": ["This is not valid."]}', "not valid"),
        ("{'password': ['Not a valid email address.', 'hunter2']}", "hunter2"),
    ],
)
def test_what_a_word_does_not_excuse_is_hidden(text: str, secret: str) -> None:
    """The secrets beside these look-alikes."""
    assert secret not in POLICY.redact_text(text)
