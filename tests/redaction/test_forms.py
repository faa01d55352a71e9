"""Values in forms, elements and command lines."""

from __future__ import annotations

import json
from html import escape

import httpx
import pytest

from divan_obs_asgi import RedactionPolicy

POLICY = RedactionPolicy()
SECRET = "hunter2"
HEADER = "Content-Disposition: form-data; name="
PART = f'--x\r\n{HEADER}"password"\r\n\r\n{SECRET}\r\n--x\r\n{HEADER}"page"\r\n\r\n42\r\n--x--'

FORMS = {
    "a part": PART,
    "a part as bytes": repr(PART.encode()),
    "a part in JSON": json.dumps({"raw": PART}),
    "a part of httpx": httpx.Request("POST", "http://h", files={"password": (None, SECRET)}).read().decode(),
    "a part with a type": f'form-data; name="token"; filename="a"\r\nContent-Type: text/plain\r\n\r\n{SECRET}',
    "an input": f'<input name="password" type="text" value="{SECRET}">',
    "an input, value first": f"<input value='{SECRET}' name='user[password]'/>",
    "an input by its type": f'<input id="a" type="password" value="{SECRET}">',
    "a property": f'<property name="password" value="{SECRET}"/>',
    "an entry": f'<entry key="password">{SECRET}</entry>',
    "an element with an attribute": f'<wsse:Password Type="PasswordText">{SECRET}</wsse:Password>',
    "character data": f"<password><![CDATA[{SECRET}]]></password>",
    "lines in an element": f"<password>\n  {SECRET}\n</password>",
    "an escaped element": escape(f"<password>{SECRET}</password>"),
    "escaped JSON": escape(json.dumps({"password": SECRET})),
    "JSON as JavaScript escapes it": f"{{\\u0022password\\u0022:\\u0022{SECRET}\\u0022}}",
    "a query as Gson escapes it": f'{{"url":"/?password\\u003d{SECRET}"}}',
    "encoded twice": f"/login%3Fnext%3D1%26password%253D{SECRET}",
    "brackets encoded twice": f"user%255Bpassword%255D={SECRET}",
    "a list encoded twice": f"password%255B%255D={SECRET}",
    "an entry of a list encoded twice": f"x=1&token%255B0%255D={SECRET}",
    "three quotes": f'password = """{SECRET}"""',
    "three quotes over lines": f"password = '''\nmore\n{SECRET}\n'''\n",
    "below an empty line": f"user: ada\npassword:\n\n  {SECRET}",
    "in German": f"Passwort: {SECRET}",
    "in French": f"mot_de_passe={SECRET}",
    "in Spanish": f"contrase\u00f1a={SECRET}",
    "in any case": f"PaSsWoRd={SECRET}",
    "in small capitals": f"\u1d18\u1d00\ua731\ua731\u1d21\u1d0f\u0280\u1d05={SECRET}",
    "in squares": "".join(chr(0x1F170 + ord(char) - 65) for char in "PASSWORD") + f": {SECRET}",
    "with an accent of its own": f"pa\u0301sswo\u0308rd={SECRET}",
    "curl's user": f"curl -u ada:{SECRET} https://x.example",
    "curl's user, glued": f"$ curl -sS -uada:{SECRET} https://x.example",
    "curl's user in full": f"['curl', '--user', 'ada:{SECRET}', 'https://x.example']",
    "curl's cookie": f"curl --cookie 'theme=dark; id={SECRET}' https://x.example",
    "curl's bearer": f"curl --oauth2-bearer {SECRET} https://x.example",
    "redis-cli": f"redis-cli -h cache -a {SECRET} ping",
    "mysql": f"mysqldump -u root -p{SECRET} shop",
    "sshpass": f"sshpass -p '{SECRET}' ssh db",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_value_is_found_by_the_name_that_a_form_or_a_command_gives_it(text: str) -> None:
    """In a text of its own and within a line, and what is written goes through unchanged."""
    for line in (text, f"login failed: {text} (ada)"):
        result = POLICY.redact_text(line)
        assert SECRET not in result
        assert "[redacted:" in result
        assert POLICY.redact_text(result) == result


def test_other_parts_of_a_form_stay() -> None:
    assert POLICY.redact_text(PART).endswith('name="page"\r\n\r\n42\r\n--x--')


@pytest.mark.parametrize(
    "key", ["isToken", "ISTOKEN_VALID", "hasPassword", "maxTokens", "iPhone model", "eMail verified"]
)
def test_capitals_that_begin_words_are_read_as_such(key: str) -> None:
    assert POLICY.redact({key: "yes, 3"}) == {key: "yes, 3"}


@pytest.mark.parametrize(
    "text",
    [
        '<a href="/reset" id="password-link">Reset it</a>',
        '<input name="page" value="42">',
        '<label for="password">Password</label>',
        'Content-Disposition: form-data; name="page"\r\n\r\n42\r\n--x',
        "price &lt; 5 &amp; size &gt; 3",
        "cafe\u0301 in Mu\u0308nchen",
        r"C:\x3d\u0041pp",
        "curl -v -o out.json https://x.example/a",
        "curl is slow - user ada waits",
        "mysql -P 3306 -h db",
        "docker run -u 1000:1000 app",
        '"""password"""',
        "Passwort ge\u00e4ndert: Konto 42",
    ],
)
def test_look_alikes_stay(text: str) -> None:
    assert POLICY.redact_text(text) == text
