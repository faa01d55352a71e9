"""
Write the corpus anew: python tests/data/redaction/generate.py.

The contexts are written by hand; the secrets are random, of the right shape and with the right checksum, and none
of them ever opened anything.
"""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Callable
from pathlib import Path
from random import Random
from urllib.parse import quote

HERE = Path(__file__).parent
COUNT = 24
SPLIT = "¦"
DIGITS, LOWER, UPPER = string.digits, string.ascii_lowercase, string.ascii_uppercase
ALNUM = DIGITS + LOWER + UPPER
HEX = "0123456789abcdef"
URLSAFE = ALNUM + "-_"
# Where a scanner of repositories would see a live key.
PREFIXES = re.compile(
    r"(?<=AK)IA|(?<=AS)IA(?=[A-Z0-9]{16})|(?<=AI)za|(?<=ya)29|(?<=GOC)SPX|(?<=gh)[pousr]_|(?<=github)_pat_"
    r"|(?<=gl)[a-z]{1,5}-|(?<=xo)x[a-z]-|(?<=xa)pp-|(?<=hooks)\.slack|(?<=[sr]k)_(?:live|test)_|(?<=whs)ec_|(?<=s)k-"
    r"|(?<=SG)\.|(?<=np)m_|(?<=pyp)i-|(?<=S)K(?=[0-9a-f]{32})|(?<=Account)Key|(?<=BEGIN).(?=[A-Z ]*PRIVATE)"
    r"|(?<=api/web)hooks/"
)

Maker = Callable[[Random], str]
Case = dict[str, object]


def pick(rng: Random, alphabet: str, length: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def shaped(*parts: str | tuple[str, int]) -> Maker:
    """Return a maker of fixed text and (alphabet, length) parts."""
    return lambda rng: "".join(part if isinstance(part, str) else pick(rng, *part) for part in parts)


def one_of(*makers: Maker) -> Maker:
    return lambda rng: rng.choice(makers)(rng)


def b64url(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt(rng: Random) -> str:
    head = {"alg": rng.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}
    body = {"sub": pick(rng, DIGITS, 8), "iat": rng.randrange(1700000000, 1800000000)}
    return f"{b64url(head)}.{b64url(body)}.{pick(rng, URLSAFE, 43)}"


def email(rng: Random) -> str:
    user = rng.choice(
        ["ada.lovelace", "m.curie", "jose+news", "o'neil", "grace_hopper", "x", "info", "li-wei", "A.Turing"]
    )
    site = rng.choice(["example.com", "mail.example.org", "example.co.uk", "uni-mainz.example.de", "EXAMPLE.NET"])
    return f"{user}{rng.randrange(1, 999)}@{site}"


def basic(rng: Random) -> str:
    return base64.b64encode(f"{pick(rng, LOWER, 6)}:{pick(rng, ALNUM, 11)}".encode()).decode()


def luhn(digits: str) -> int:
    flipped = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits))]
    return -sum(n - 9 if n > 9 else n for n in flipped) % 10


def card(rng: Random) -> str:
    prefix, length = rng.choice(
        [
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2221", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("3530", 16),
            ("36", 14),
        ]
    )
    digits = prefix + pick(rng, DIGITS, length - 1 - len(prefix))
    return grouped_card(rng, digits + str(luhn(digits)))


def grouped_card(rng: Random, digits: str) -> str:
    gap = rng.choice(["", " ", "-"])
    cuts = [4, 10, 15] if len(digits) == 15 else [4, 10, 14] if len(digits) == 14 else [4, 8, 12, 16]
    return gap.join(digits[start:end] for start, end in zip([0, *cuts], cuts, strict=False))


def no_card(rng: Random) -> str:
    digits = rng.choice("45") + str(rng.randrange(1, 5)) + pick(rng, DIGITS, 13)
    return grouped_card(rng, digits + str((luhn(digits) + rng.randrange(1, 9)) % 10))


IBANS = {"DE": "9" * 18, "GB": "AAAA" + "9" * 14, "FR": "9" * 23, "ES": "9" * 20, "IT": "A" + "9" * 22}
IBANS |= {"NL": "AAAA" + "9" * 10, "BE": "9" * 12, "CH": "9" * 17, "AT": "9" * 16, "PL": "9" * 24, "SE": "9" * 20}
IBANS |= {"NO": "9" * 11, "DK": "9" * 14, "PT": "9" * 21, "IE": "AAAA" + "9" * 14, "FI": "9" * 14}


def iban_of(rng: Random, wrong: int = 0) -> str:
    country = rng.choice(list(IBANS))
    account = "".join(rng.choice(DIGITS if slot == "9" else UPPER) for slot in IBANS[country])
    number = int("".join(str(int(char, 36)) for char in f"{account}{country}00"))
    check = 98 - number % 97
    check = (check - 2 + wrong) % 97 + 2
    plain = f"{country}{check:02}{account}"
    return " ".join(plain[at : at + 4] for at in range(0, len(plain), 4)) if rng.random() < 0.5 else plain


def phone(rng: Random) -> str:
    form = rng.choice(
        [
            "+49 30 #######",
            "+49 171 #######",
            "+1 (415) 555-01##",
            "+1-212-555-01##",
            "+442079460###",
            "+33 6 12 34 ## ##",
            "+44 20 7946 0###",
            "+4917######## ",
            "+81 3-5555-####",
            "+1 415 555 01##",
            "0049 30 #######",
            "+91 98765 4####",
        ]
    ).strip()
    return "".join(rng.choice("23456789") if char == "#" else char for char in form)


def near(rng: Random) -> tuple[str, str]:
    places = rng.choice([4, 5, 6, 7])
    lat, lon = (pick(rng, DIGITS, places - 1) + rng.choice("123456789") for _ in range(2))
    return f"{rng.randrange(-79, 80)}.{lat}", f"{rng.randrange(-179, 180)}.{lon}"


def pem(rng: Random) -> str:
    kind = rng.choice(["RSA ", "EC ", "", "OPENSSH ", "ENCRYPTED "])
    body = "\n".join(pick(rng, ALNUM + "+/", 64) for _ in range(rng.randrange(2, 5)))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


def password(rng: Random) -> str:
    start = rng.choice(["Tr0ub4dor", "hunter", "S3cure", "letmein", "Winter!", "p4ss-w0rd", "Ünlock", "qwertz"])
    return start + pick(rng, ALNUM, rng.randrange(3, 9)) + rng.choice(["", "!", "#7", "_x", "$9"])


opaque = one_of(shaped((ALNUM, 32)), shaped((HEX, 40)), shaped((URLSAFE, 27), (ALNUM, 1)), shaped((ALNUM, 12)))

SECRETS: dict[str, Maker] = {
    "email": email,
    "jwt": jwt,
    "aws_access_key_id": one_of(shaped("AKIA", (UPPER + "234567", 16)), shaped("ASIA", (UPPER + "234567", 16))),
    "gcp_api_key": shaped("AIza", (URLSAFE, 34), (ALNUM, 1)),
    "gcp_oauth": one_of(shaped("ya29.", (URLSAFE, 60), (ALNUM, 1)), shaped("GOCSPX-", (URLSAFE, 27), (ALNUM, 1))),
    "github_token": one_of(*(shaped(f"gh{kind}_", (ALNUM, 36)) for kind in "pousr")),
    "github_pat": shaped("github_pat_", (ALNUM, 22), "_", (ALNUM, 59)),
    "gitlab_token": one_of(
        *(shaped(f"gl{kind}-", (URLSAFE, 19), (ALNUM, 1)) for kind in ["pat", "dt", "rt", "ptt", "ft"])
    ),
    "slack_token": one_of(
        shaped("xoxb-", (DIGITS, 12), "-", (DIGITS, 12), "-", (ALNUM, 24)),
        shaped("xoxp-", (DIGITS, 12), "-", (DIGITS, 12), "-", (DIGITS, 12), "-", (HEX, 32)),
        shaped("xoxa-2-", (ALNUM, 24)),
        shaped("xapp-1-A", (UPPER, 10), "-", (DIGITS, 13), "-", (HEX, 64)),
    ),
    "stripe_key": one_of(*(shaped(start, (ALNUM, 24)) for start in ["sk_live_", "sk_test_", "rk_live_", "rk_test_"])),
    "stripe_webhook_secret": shaped("whsec_", (ALNUM, 32)),
    "openai_key": one_of(shaped("sk-", (ALNUM, 48)), shaped("sk-proj-", (URLSAFE, 63), (ALNUM, 1))),
    "anthropic_key": shaped("sk-ant-api03-", (URLSAFE, 92), (ALNUM, 1), "AA"),
    "twilio_key": shaped("SK", (HEX, 32)),
    "sendgrid_key": shaped("SG.", (URLSAFE, 22), ".", (URLSAFE, 42), (ALNUM, 1)),
    "npm_token": shaped("npm_", (ALNUM, 36)),
    "pypi_token": shaped("pypi-AgEIcHlwaS5vcmc", (URLSAFE, 70), (ALNUM, 1)),
    "telegram_bot_token": shaped("7", (DIGITS, 9), ":AA", (URLSAFE, 32), (ALNUM, 1)),
    "discord_bot_token": shaped("MT", (ALNUM, 24), ".", "G", (ALNUM, 5), ".", (URLSAFE, 37), (ALNUM, 1)),
    "card_number": card,
    "iban": iban_of,
    "phone_number": phone,
}

# A text in which nothing but its own shape gives a secret away.
BARE = [
    "<s>",
    "<s> was refused by the upstream",
    "upstream refused <s>",
    "The caller used <s>.",
    "WARNING could not verify '<s>', giving up after 3 tries",
    'ValueError: unexpected "<s>" in field 3',
    "retry (<s>) in 5 s",
    "args=['<s>', 12, None]",
    "{'seen': '<s>', 'attempt': 2}",
    '{"seen": "<s>", "attempt": 2}',
    '{\\"seen\\": \\"<s>\\"}',
    "id;value;state\n17;<s>;open\n",
    "INSERT INTO events (kind, value) VALUES ('login', '<s>')",
    "SELECT id FROM credentials_log WHERE value = '<s>' LIMIT 1",
    'Traceback (most recent call last):\n  File "app.py", line 9, in call\nRuntimeError: rejected <s>\n',
    "value=<s> status=401 latency_ms=12",
    "got <s>, expected another one",
    "[<s>]",
    "<value><s></value>",
    "2026-11-24T10:00:00Z ERROR worker-3 <s>: rejected!",
    "first line\n<s>\nlast line",
    "`<s>` does not look right?",
    "seen=<s>; next=none",
    "Was it <s>?",
]

# What every text kind must leave alone.
HARMLESS = [
    "request_id=7f1c2f1e-6a0b-4a7e-9b54-0d6d0f9a1c33 status=200 latency_ms=12.5",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b by author ada",
    "traceparent 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "2026-11-24T21:50:00.123456+00:00 INFO started",
    "ts=1764021000 ts_ms=1764021000123 ts_ns=1764021000123456789",
    "uvicorn 0.34.2 on Python 3.11.9 (platform linux)",
    "client 192.168.178.20:51234 to 10.0.0.7:8000",
    "listening on http://[::1]:8000/health/ready",
    "/usr/lib/python3.11/site-packages/starlette/routing.py:715",
    'divan_http_request_duration_seconds_bucket{route="/users/{id}",le="0.15"} 12',
    "token_type=bearer max_tokens=4096 tokens_used=120",
    "content_length=512 body_bytes=128 geo_country=DE session_count=4",
    "the password was changed by an administrator",
    "token expired, please log in again",
    "invalid password for user 17",
    "Bearer of bad news: the build is red",
    "Basic usage is described in the README",
    "@decorator\ndef view(request): ...",
    "npm install @types/node@20.1.0",
    "GET /api/v1/rooms/{room_id}/messages?limit=20&sort=asc 200",
    "SELECT id, created_at FROM users WHERE id = 7 ORDER BY id",
    "a { color: #ff8800; margin: 0.5em 1.25em }",
    "0.1234s, 0.5678s",
    "p50 0.0123, p95 0.1234, p99 0.4567",
    "12.3456% of 98.7654%",
    "1+1=2 and 3-2=1",
    "order 2026-000123-77 was shipped",
    "tokenizer=cl100k keyboard=de monkey=1 passenger=2 compass=n",
    "django.contrib.auth.tokens.PasswordResetTokenGenerator",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "session_count=12 cookie_policy=strict password_strength=4",
    "KeyError: 'password'",
    "missing required field: token",
    "see you at 10:30, room 4.02",
    "Zm9vYmFy is foobar",
    "password_min_length=12 is_password_set=true",
]

# Of each kind: contexts beside BARE, and look-alikes beside HARMLESS.
KINDS: dict[str, tuple[list[str], list[str]]] = {
    "email": (
        [
            "User <s> not found",
            "mailto:<s>",
            "login=<u>&remember=1",
            "From: Ada <<s>>",
            "https://x.example/invite?to=<u>&page=2",
            "cc <s>;<s>",
        ],
        [
            "user@localhost",
            "image logo@2x.png",
            "ada@ mail",
            "@ada: lunch?",
            "a@b",
            "pip install pkg@1.2.3",
            "5 @ 3.50 each",
        ],
    ),
    "jwt": (
        ["Authorization: Bearer <s>", "cookie: sid=<s>; Path=/", "/ws?access_token=<s>&v=2", "jwt=<s>"],
        ["eyJ is how it starts", "eyJhbGciOiJIUzI1NiJ9", "eyebrow.raised.high", "module.sub.attr", "eyJust.a.name"],
    ),
    "aws_access_key_id": (
        ["AWS_ACCESS_KEY_ID=<s>", "Credential=<s>/20261124/eu-central-1/s3/aws4_request", "aws_access_key_id: <s>"],
        ["AKIA is a prefix", "ASIA PACIFIC region", "AKIAshort", "ASIAN", "arn:aws:s3:::bucket", "XAKIAX"],
    ),
    "gcp_api_key": (
        ["https://maps.example/api/js?key=<s>&v=3", "X-Goog-Api-Key: <s>", "GOOGLE_API_KEY=<s>"],
        ["AIza is how they start", "AIzawa", "gs://bucket/object", "projects/divan/locations/eu"],
    ),
    "gcp_oauth": (
        ["Authorization: Bearer <s>", "client_secret=<s>", "access_token: <s>"],
        ["ya29 is a prefix", "GOCSPX", "way29.5", "ya29.1"],
    ),
    "github_token": (
        [
            "git clone https://<s>@github.com/org/repo.git",
            "https://x-access-token:<s>@github.com/o/r",
            "Authorization: token <s>",
        ],
        ["ghp_ is the prefix", "ghs_total=4", "ghost_town", "https://github.com/org/repo/pull/17", "ghp_short"],
    ),
    "github_pat": (
        ["GITHUB_TOKEN=<s>", "https://oauth2:<s>@github.com/o/r.git", "Authorization: Bearer <s>"],
        ["github_pat_ tokens are finer", "github_pat_count=3", "github_path=/src"],
    ),
    "gitlab_token": (
        ["PRIVATE-TOKEN: <s>", "https://oauth2:<s>@gitlab.example/g/p.git", "CI_JOB_TOKEN=<s>"],
        ["glpat- is the prefix", "glrt-1", "gldt", "gl-text-field", "glossary-of-terms"],
    ),
    "slack_token": (
        ["SLACK_BOT_TOKEN=<s>", "Authorization: Bearer <s>", "https://slack.example/api/auth.test?token=<s>"],
        ["xoxb- is for bots", "xoxo, Ada", "xapp-1", "C024BE91L posted"],
    ),
    "stripe_key": (
        ["curl -u <s>: https://api.stripe.example/v1/charges", "STRIPE_KEY=<s>", "Invalid API Key provided: <s>"],
        [
            "sk_live_ and sk_test_ keys",
            "pk_live_count=3",
            "task_test_runner",
            "disk_live_bytes=1048576",
            "sk_test_mode=true",
        ],
    ),
    "stripe_webhook_secret": (
        ["STRIPE_WEBHOOK_SECRET=<s>", "signing with <s> failed"],
        ["whsec_ is the prefix", "whsec_count=2", "evt_1NG8Du2eZvKYlo2CUI79vXWy"],
    ),
    "openai_key": (
        [
            "OPENAI_API_KEY=<s>",
            "Incorrect API key provided: <s>. Find yours in the console.",
            "Authorization: Bearer <s>",
        ],
        ["task-sk-1", "sk-learn", "risk-based-authentication-with-many-factors", "sk-SK locale", "disk-usage-report"],
    ),
    "anthropic_key": (
        ["x-api-key: <s>", "ANTHROPIC_API_KEY=<s>"],
        ["sk-ant- is the prefix", "task-anthology", "sk-antenna", "desk-ant-farm"],
    ),
    "twilio_key": (
        ["https://api.twilio.example/Keys/<s>.json", "TWILIO_API_KEY=<s>"],
        ["SKU-0012345", "SK is Slovakia", "SK1234", "TASK0123456789abcdef", "md5 d41d8cd98f00b204e9800998ecf8427e"],
    ),
    "sendgrid_key": (
        ["SENDGRID_API_KEY=<s>", "Authorization: Bearer <s>"],
        ["SG.1.2", "SG is Singapore", "MSG.first.second", "SG.com.example"],
    ),
    "npm_token": (
        ["//npm.example/:_authToken=<s>", "NPM_TOKEN=<s>"],
        ["npm_config_cache=/srv/npm", "npm_package_version=1.2.3", "npm_lifecycle_event"],
    ),
    "pypi_token": (
        ["TWINE_PASSWORD=<s>", "https://__token__:<s>@upload.example/legacy/", "password = <s>"],
        ["pypi-mirror is down", "pypi-AgEI is how they start", "pypi-publish@v1"],
    ),
    "telegram_bot_token": (
        ["POST https://api.telegram.org/bot<s>/sendMessage 200", "TELEGRAM_TOKEN=<s>"],
        ["12345678:AA", "chat 7123456789: hello", "1764021000:start", "at 10:30:00"],
    ),
    "discord_bot_token": (
        ["Authorization: Bot <s>", "DISCORD_TOKEN=<s>"],
        ["MTA.example.com", "MTU.size.bytes", "com.example.application.MainActivity", "package.module.ClassName"],
    ),
    "card_number": (
        ["card <s> declined", "pan=<s>&exp=1229", "paid with <s>, thank you"],
        ["order <no_card>", "ticket <no_card> closed", "ref=<no_card>", "id <no_card>.", "{'order': '<no_card>'}"] * 2,
    ),
    "iban": (
        ["transfer to <s> failed", "IBAN: <s>", "debit <s>, 12.50 EUR"],
        ["<no_iban> is invalid", "checksum of <no_iban> is wrong", "ref=<no_iban>", "DE2026", "GB29"] * 2,
    ),
    "phone_number": (
        ["SMS to <s> failed", "tel:<s>", "call <s>."],
        [
            "+00:00",
            "UTC+02:00",
            "+1 point",
            "+100 -20 lines",
            "order 0049-17",
            "1.5e+10",
            "+49",
            "diff +1234 -5678",
            "C++ 17",
        ],
    ),
}

WEB = [
    "GET <s> 200",
    "fetching <s> failed: timeout",
    '{"url": "<s>", "ms": 12}',
    "see <s>.",
    "httpx.ReadTimeout: '<s>'",
    "<s>",
]
WEB += ["Location: <s>", "('<s>', 302)", "redirect (<s>)", "a\n<s>\nb", "url=<s> status=403", '<a href="<s>">file</a>']


def url_cases(rng: Random, forms: list[tuple[str, Maker]], plain: list[str]) -> list[Case]:
    """Return URLs with the secret in them, and others without."""
    cases: list[Case] = []
    for at in range(COUNT):
        form, maker = forms[at % len(forms)]
        secret = maker(rng)
        text = WEB[(at + at // len(WEB)) % len(WEB)].replace("<s>", form.replace("<s>", secret))
        cases.append({"text": text, "secrets": [secret]})
    for at in range(COUNT):
        text = WEB[(at * 5 + at // len(plain)) % len(WEB)].replace("<s>", plain[at % len(plain)])
        cases.append({"text": text, "secrets": []})
    return cases


COUNTED = "https://x.example/"
PLAIN_URLS = [
    COUNTED + rest for rest in ["a?page=2&sort=asc", "?token_type=bearer&v=2", "?max_tokens=4096", "docs#password"]
]
PLAIN_URLS += [
    COUNTED + rest for rest in ["password/reset", "v1/tokens/count?limit=5", "a%20b?q=x+y", "design?sigma=2&signal=ok"]
]
PLAIN_URLS += [
    "redis://cache:6379/0",
    "postgresql://db:5432/app",
    "http://[::1]:80/a:b",
    "https://x.example/@types/node",
]
base64ish = shaped((ALNUM, 42), (ALNUM, 1), "%3D")
URLS: dict[str, list[tuple[str, Maker]]] = {
    "url_userinfo": [
        ("postgresql://app:<s>@db.internal:5432/app", password),
        ("redis://:<s>@cache:6379/0", opaque),
        ("https://ada:<s>@x.example/a?b=1", opaque),
        ("amqp://guest:<s>@mq/vhost", opaque),
        ("mongodb+srv://u:<s>@c0.example.net/db?retryWrites=true", opaque),
    ],
    "query_secret": [
        (f"https://x.example/a?page=2&{key}=<s>{end}", opaque)
        for key in [
            "access_token",
            "api_key",
            "token",
            "client_secret",
            "refresh_token",
            "sid",
            "apikey",
            "password",
            "id_token",
        ]
        for end in ["", "&v=2", "#top"]
    ],
    "aws_signed_url": [
        (
            "https://b.s3.amazonaws.com/a.png?X-Amz-Date=20261124T100000Z&X-Amz-Expires=300&X-Amz-Signature=<s>",
            shaped((HEX, 64)),
        ),
        ("https://b.s3.amazonaws.com/f?X-Amz-Signature=<s>&X-Amz-SignedHeaders=host", shaped((HEX, 64))),
        ("https://b.s3.amazonaws.com/f?Expires=1764021000&Signature=<s>", base64ish),
        ("/f?x-amz-signature=<s>", shaped((HEX, 64))),
        ("/f?X-Amz-Security-Token=<s>&X-Amz-Expires=60", shaped("IQoJb3JpZ2lu", (ALNUM, 80))),
    ],
    "gcs_signed_url": [
        ("https://storage.googleapis.com/b/f?X-Goog-Expires=300&X-Goog-Signature=<s>", shaped((HEX, 128))),
        ("https://storage.googleapis.com/b/f?X-Goog-Signature=<s>&alt=media", shaped((HEX, 256))),
        ("https://storage.googleapis.com/b/f?Expires=1764021000&Signature=<s>", base64ish),
    ],
    "azure_sas": [
        ("https://a.blob.core.windows.net/c/f?sv=2024-08-04&se=2026-11-25T00%3A00Z&sp=r&sig=<s>", base64ish),
        ("https://a.blob.core.windows.net/c?sig=<s>&sv=2024-08-04", base64ish),
        ("SharedAccessSignature=sv=2024-08-04&sr=b&sig=<s>", base64ish),
    ],
    "cloudfront_signed_url": [
        (
            "https://d1.cloudfront.net/f.mp4?Expires=1764021000&Signature=<s>&Key-Pair-Id=K2JCJMDEHXQW5F",
            shaped((URLSAFE + "~", 120), (ALNUM, 1)),
        ),
        ("https://cdn.example/f?Policy=eyJTdGF0&Signature=<s>", shaped((URLSAFE + "~", 90), (ALNUM, 1))),
    ],
    "slack_webhook": [
        ("https://hooks.slack.com/services/T0<s>", shaped((UPPER, 7), "/B0", (UPPER, 7), "/", (ALNUM, 24)))
    ],
    "discord_webhook": [
        ("https://discord.com/api/webhooks/112233445566778899/<s>", shaped((URLSAFE, 67), (ALNUM, 1))),
        ("https://discordapp.com/api/webhooks/998877665544332211/<s>?wait=true", shaped((URLSAFE, 67), (ALNUM, 1))),
    ],
}

PAIRS: dict[str, tuple[list[str], Maker]] = {
    "pair_password": (
        ["password", "PASSWORD", "passwd", "pwd", "db_password", "userPassword", "passphrase", "PGPASSWORD"],
        password,
    ),
    "pair_secret": (["secret", "client_secret", "SECRET_KEY", "clientSecret", "app-secret", "jwt_secret"], opaque),
    "pair_token": (
        ["token", "access_token", "refreshToken", "AUTH_TOKEN", "csrf_token", "reset-token", "id_token"],
        opaque,
    ),
    "pair_api_key": (["api_key", "apikey", "X-Api-Key", "apiKey", "STRIPE_API_KEY", "api-key"], opaque),
    "aws_secret_key": (
        ["aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "secretAccessKey", "SecretAccessKey"],
        shaped((ALNUM + "/+", 39), (ALNUM, 1)),
    ),
    "azure_account_key": (["AccountKey", "SharedAccessKey"], shaped((ALNUM + "/+", 85), (ALNUM, 1), "==")),
    "twilio_auth_token": (["TWILIO_AUTH_TOKEN", "auth_token", "twilioAuthToken", "authToken"], shaped((HEX, 32))),
}
PAIR_CONTEXTS = [
    "<k>=<s>",
    "login failed: <k>=<s> user_id=7",
    '{"user": 7, "<k>": "<s>"}',
    "{'<k>': '<s>', 'n': 1}",
    "<k>: <s>",
]
PAIR_CONTEXTS += [
    '<k>="<s>"',
    "<k>='<s>', n=2",
    "export <k>=<s>\nexport A=1",
    '{\\"<k>\\": \\"<s>\\", \\"a\\": 1}',
    "a=1&<k>=<s>&b=2",
]
PAIR_CONTEXTS += [
    "connect(host='db', <k>='<s>')",
    "ValueError: bad config <k> = <s>",
    "[<k>=<s>]",
    "run --<k>=<s> --verbose",
]
PAIR_CONTEXTS += [
    "UPDATE t SET <k> = '<s>' WHERE id = 7",
    "a=1;<k>=<s>;b=2",
    "(<k>: '<s>')",
    "env:\n  <k>: <s>\n  a: 1",
]
PLAIN_PAIRS = [
    "password_strength=4",
    "token_type=bearer",
    "max_tokens=4096",
    "tokens_used: 12",
    "secretary=Ada",
    "passenger=2",
]
PLAIN_PAIRS += [
    "tokenizer='cl100k'",
    '{"is_password_set": true}',
    "{'token_count': 3}",
    "cache_key=user:7",
    "primary_key=id",
]
PLAIN_PAIRS += [
    "public_key=abc",
    "sort_key: name",
    "author=ada",
    "compass: north",
    "keyboard=de",
    "password_min_length=12",
]

HARMLESS_KEYS: list[tuple[str, object]] = [
    ("latency_ms", 12.5), ("author", "ada"), ("tokenizer", "cl100k"), ("platform", "linux"), ("keyboard", "de"),
    ("monkey", 1), ("passenger", 2), ("compass", "north"), ("secretary", "yes"), ("max_tokens", 4096),
    ("tokens_used", 12), ("token_type", "bearer"), ("content_type", "text/html"), ("contentLength", 512),
    ("body_bytes", 128), ("session_count", 4), ("geo_country", "DE"), ("name", "worker-1"), ("username", "ada"),
    ("host_name", "db1"), ("file_name", "a.png"), ("key", "users"), ("keyspace", "app"), ("primary_key", "id"),
    ("cache_key", "user:7"), ("public_key", "abc"), ("sort_key", "created"), ("email_verified", True),
    ("emailCount", 3), ("phone_verified", False), ("password_strength", 4), ("isPasswordSet", True), ("method", "GET"),
    ("template", "home"), ("platitude", "yes"), ("flat", 3), ("long_running", False), ("body_size", 77), ("zone", 1),
]  # fmt: skip

first_name: Maker = lambda rng: rng.choice(["Adalbert", "Grace", "Wei-Ling", "José", "Nkechi", "Zoë"])  # noqa: E731
sentence: Maker = lambda rng: (  # noqa: E731
    rng.choice(["see you at the library", "did you tell her about us", "the code for the door is", "ich liebe dich"])
    + " "
    + pick(rng, LOWER, 5)
)
KEYS: dict[str, tuple[list[str], Maker]] = {
    "key_password": (
        ["password", "passwd", "pwd", "passphrase", "userPassword", "DB_PASSWORD", "new-password", "db.password"],
        password,
    ),
    "key_secret": (
        ["secret", "client_secret", "clientSecret", "SECRET_KEY", "app.secret", "webhook-secret", "credentials"],
        opaque,
    ),
    "key_token": (
        ["token", "access_token", "refreshToken", "ID_TOKEN", "X-Auth-Token", "csrf-token", "jwt", "bearer_token"],
        opaque,
    ),
    "key_api_key": (
        ["api_key", "apiKey", "apikey", "X-Api-Key", "API_KEY", "stripe.api_key", "access_key", "secretKey"],
        opaque,
    ),
    "key_private_key": (
        ["private_key", "privateKey", "PRIVATE_KEY", "ssh-private-key", "signing_key", "encryptionKey"],
        opaque,
    ),
    "key_authorization": (
        ["authorization", "Authorization", "Proxy-Authorization", "AUTHORIZATION", "http.authorization"],
        opaque,
    ),
    "key_cookie": (
        ["cookie", "Cookie", "set-cookie", "Set-Cookie", "session_cookie", "cookies"],
        shaped("sid", (ALNUM, 20)),
    ),
    "key_session": (["session", "session_id", "sessionId", "sid", "SESSION_KEY", "PHPSESSID", "session_token"], opaque),
    "key_message_body": (
        ["body", "message_body", "messageBody", "content", "message.text", "MESSAGE_TEXT", "chat_text"],
        sentence,
    ),
    "key_file_key": (
        ["s3_key", "file_key", "fileKey", "object_key", "objectKey", "S3_KEY", "file-key", "upload.file_key"],
        shaped("up/", (HEX, 20), ".png"),
    ),
    "key_signed_url": (
        ["signed_url", "signedUrl", "presigned_url", "SIGNED_URL", "signature"],
        shaped("https://x.example/f/", (ALNUM, 20)),
    ),
    "key_email": (
        ["email", "user_email", "emailAddress", "E-Mail", "e_mail", "contact.email", "EMAIL"],
        shaped((LOWER, 8), " at example"),
    ),
    "key_phone": (
        ["phone", "phone_number", "phoneNumber", "mobile", "telephone", "PHONE", "user.phone", "msisdn"],
        shaped("0171 ", (DIGITS, 7)),
    ),
    "key_person_name": (
        ["first_name", "firstName", "last_name", "full_name", "FULL_NAME", "surname", "given-name", "familyName"],
        first_name,
    ),
    "key_position": (
        ["lat", "lon", "lng", "latitude", "longitude", "userLat", "user_lng", "X-User-Lat", "geo.lat"],
        lambda r: near(r)[0],
    ),
}


def key_cases(rng: Random, keys: list[str], maker: Maker) -> list[Case]:
    cases: list[Case] = []
    for at in range(COUNT):
        key, secret = keys[at % len(keys)], maker(rng)
        shapes: list[object] = [
            {key: secret},
            {"user": {"id": 7, key: secret}},
            {"items": [{key: secret}, {"a": 1}]},
            {"status": 200, key: [secret], "ok": True},
            {key: {"value": secret}, "n": 2},
            {"a": {"b": [{"c": {key: secret}}]}},
            {"raw": json.dumps({"id": 7, key: secret})},
            [{"n": 1}, {key: secret}],
            {"log": f"received {json.dumps({key: secret})} from peer"},
            {key: {"old": None, "new": [secret]}, "changed": True},
            {"event": "update", "data": {"rows": [[{key: secret}]]}},
        ]
        cases.append({"value": shapes[(at + at // len(keys)) % len(shapes)], "secrets": [secret]})
    for key, value in rng.sample(HARMLESS_KEYS, COUNT):
        cases.append(
            {"value": rng.choice([{key: value}, {"a": {key: value}}, {"n": [{key: value, "b": 1}]}]), "secrets": []}
        )
    return cases


def text_cases(rng: Random, kind: str, contexts: list[str], alike: list[str]) -> list[Case]:
    cases: list[Case] = []
    bare = rng.sample(BARE, COUNT - len(contexts))
    for context in [*contexts, *bare]:
        secret = SECRETS[kind](rng)
        secrets = [secret]
        cases.append(
            {"text": context.replace("<s>", secret).replace("<u>", quote(secret, safe="")), "secrets": secrets}
        )
        if "<u>" in context:
            cases[-1]["secrets"] = [quote(secret, safe="")]
    for text in [*alike, *rng.sample(HARMLESS, max(8, COUNT - len(alike)))]:
        wrong = iban_of(rng, wrong=rng.randrange(1, 90))
        cases.append({"text": text.replace("<no_card>", no_card(rng)).replace("<no_iban>", wrong), "secrets": []})
    return cases


def pair_cases(rng: Random, keys: list[str], maker: Maker, contexts: list[str], plain: list[str]) -> list[Case]:
    cases: list[Case] = []
    for at in range(COUNT):
        key, secret = keys[at % len(keys)], maker(rng)
        context = contexts[at % len(contexts)]
        cases.append({"text": context.replace("<k>", key).replace("<s>", secret), "secrets": [secret]})
    harmless = [*plain, *HARMLESS]
    return cases + [{"text": text, "secrets": []} for text in rng.sample(harmless, COUNT)]


def scheme_cases(rng: Random, scheme: str, maker: Maker) -> list[Case]:
    forms = [
        "Authorization: <a>",
        "authorization: <a>",
        "{'Authorization': '<a>'}",
        '{"authorization": "<a>"}',
        "sent <a> upstream",
    ]
    forms += [
        "<a>",
        "curl -H 'Authorization: <a>' https://x.example",
        "401 for <a>.",
        "headers=[(b'authorization', b'<a>')]",
    ]
    forms += ["Proxy-Authorization: <a>\r\nHost: x.example", 'got "<a>"', "ValueError: bad header <a>"]
    cases: list[Case] = []
    for at in range(COUNT):
        name, secret = [scheme, scheme.lower(), scheme.upper()][at // len(forms) if at % 3 else 2], maker(rng)
        cases.append({"text": forms[at % len(forms)].replace("<a>", f"{name} {secret}"), "secrets": [secret]})
    words = [f"{scheme} authentication is off", f"{scheme} realm", f"a {scheme.lower()} example", f"{scheme}, he said"]
    words += [
        f'WWW-Authenticate: {scheme} realm="api"',
        f"scheme={scheme.lower()}",
        f"{scheme.lower()} configuration loaded",
    ]
    return cases + [{"text": text, "secrets": []} for text in [*words, *rng.sample(HARMLESS, COUNT - len(words))]]


def pem_cases(rng: Random) -> list[Case]:
    forms = [
        "<p>",
        "key:\n<p>\n",
        "could not load '<p>'",
        '{"key": "<j>"}',
        "{'pem': '<j>'}",
        "KEY=<j>",
        "ValueError: <j>",
    ]
    forms += [
        "<p>\n<p>",
        "<p>.",
        "(<p>)",
        "before\n\n<p>\nafter",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n<p>",
    ]
    cases: list[Case] = []
    for at in range(COUNT):
        key = pem(rng)
        text = forms[at % len(forms)].replace("<p>", key).replace("<j>", key.replace("\n", "\\n"))
        cases.append({"text": text, "secrets": key.split("\n")[1:-1]})
    words = [
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmg\n-----END CERTIFICATE-----",
        "PRIVATE KEY not found",
        "no BEGIN line",
    ]
    words += [
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZI\n-----END PUBLIC KEY-----",
        "----- BEGIN of report -----",
        "-----END-----",
    ]
    return cases + [{"text": text, "secrets": []} for text in [*words, *rng.sample(HARMLESS, COUNT - len(words))]]


def service_account_cases(rng: Random) -> list[Case]:
    cases: list[Case] = []
    for at in range(COUNT):
        key = pem(rng)
        account: Case = {"type": "service_account", "project_id": f"divan-{at}", "private_key": key}
        text = json.dumps(account)
        told: list[Case] = [{"value": account}, {"value": {"conf": account}}, {"text": text}, {"text": f"bad: {text}"}]
        told += [
            {"text": repr(account)},
            {"value": [account]},
            {"value": {"raw": text}},
            {"text": json.dumps(account, indent=2)},
        ]
        told += [{"text": f"ValueError: cannot parse '{text}'"}, {"text": f"GOOGLE_CREDENTIALS='{text}'\nPORT=80"}]
        cases.append({**told[at % len(told)], "secrets": key.split("\n")[1:-1]})
    for at, (key, value) in enumerate(rng.sample(HARMLESS_KEYS, COUNT)):
        cases.append({"value": {"type": "service_account", "project_id": f"divan-{at}", key: value}, "secrets": []})
    return cases


COORDINATES = [
    "<a>, <b>",
    "<a>,<b>",
    "user at (<a>, <b>)",
    "https://x.example/maps/@<a>,<b>,17z",
    "POINT(<b> <a>)",
    "[<b>, <a>]",
]
COORDINATES += [
    "near <a> <b>.",
    "ll=<a>,<b>&z=3",
    "{'at': (<a>, <b>)}",
    '{"at": [<b>, <a>]}',
    "ST_MakePoint(<b>, <a>)",
    "geo:<a>,<b>",
]
NO_COORDINATES = [
    "52.5, 13.4",
    "0.1234s, 0.5678s",
    "(1.5, 2.5)",
    "52.52,13.40",
    "12.3456% and 45.6789%",
    "0.1234ms 0.4321ms",
]
NO_COORDINATES += [
    "[0.1234, 0.2345, 0.3456, 0.4567]",
    "v1.2.3, v1.2.4",
    "9123.4567, 8123.4567",
    "10.0.0.1, 10.0.0.2",
    "3.14159 is pi",
]


def coordinate_cases(rng: Random) -> list[Case]:
    cases: list[Case] = []
    for at in range(COUNT):
        lat, lon = near(rng)
        text = COORDINATES[at % len(COORDINATES)].replace("<a>", lat).replace("<b>", lon)
        cases.append({"text": text, "secrets": [lat, lon]})
    plain = [*NO_COORDINATES, *rng.sample(HARMLESS, COUNT - len(NO_COORDINATES))]
    return cases + [{"text": text, "secrets": []} for text in plain]


def geojson_cases(rng: Random) -> list[Case]:
    cases: list[Case] = []
    for at in range(COUNT):
        lat, lon = map(float, near(rng))
        point = {"type": "Point", "coordinates": [lon, lat]}
        shapes = [point, {"place": point}, {"geo": {"lat": lat, "lng": lon}}, {"features": [{"geometry": point}]}]
        shapes += [
            {"coords": {"x": lon, "y": lat}},
            {"location": point, "id": 7},
            {"position": {"lat": lat, "lon": lon}},
        ]
        shapes += [
            {"raw": json.dumps(point)},
            {"at": {"latitude": str(lat), "longitude": str(lon)}},
            {"user": {"geo": point}},
        ]
        cases.append({"value": shapes[at % len(shapes)], "secrets": [json.dumps(lat), json.dumps(lon)]})
    for key, value in rng.sample(HARMLESS_KEYS, COUNT):
        cases.append({"value": {"type": "Feature", key: value}, "secrets": []})
    return cases


def fresh(rng: Random, text: str) -> str:
    """Return `text` with other hashes, ids and times in it, of the same shape."""
    text = re.sub(r"\b(?=\d*[a-f])[0-9a-f]{8,}\b", lambda found: "a" + pick(rng, HEX, len(found[0]) - 1), text)
    return re.sub(r"\b1764\d{6,}\b", lambda found: "17" + pick(rng, DIGITS, len(found[0]) - 2), text)


def corpus(rng: Random) -> dict[str, list[Case]]:
    """Return the cases of each kind."""
    made = {kind: text_cases(rng, kind, *parts) for kind, parts in KINDS.items()}
    made |= {kind: url_cases(rng, forms, PLAIN_URLS) for kind, forms in URLS.items()}
    made |= {kind: pair_cases(rng, *parts, PAIR_CONTEXTS, PLAIN_PAIRS) for kind, parts in PAIRS.items()}
    made |= {kind: key_cases(rng, *parts) for kind, parts in KEYS.items()}
    made["bearer"] = scheme_cases(rng, "Bearer", one_of(shaped((ALNUM, 32)), shaped((HEX, 40)), jwt))
    made["basic"] = scheme_cases(rng, "Basic", basic)
    made["pem_private_key"] = pem_cases(rng)
    made["gcp_service_account"] = service_account_cases(rng)
    made["coordinate_pair"] = coordinate_cases(rng)
    made["geojson"] = geojson_cases(rng)
    for case in (case for cases in made.values() for case in cases if not case["secrets"]):
        if isinstance(text := case.get("text"), str):
            case["text"] = fresh(rng, text)
    return made


def write(made: dict[str, list[Case]], data: Path) -> None:
    """Write one file per kind, with the prefixes of providers split."""
    data.mkdir(parents=True, exist_ok=True)
    for kind, cases in made.items():
        lines = [PREFIXES.sub(lambda found: SPLIT + found[0], json.dumps(case, ensure_ascii=False)) for case in cases]
        (data / f"{kind}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(corpus(Random(20261124)), HERE)
