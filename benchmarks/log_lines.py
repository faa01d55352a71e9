"""
Lines as services write them, from a fixed seed: JSON, key=value, sentences, the ends of tracebacks, access lines.

A dirty line is a clean one with one field more, which holds a secret: every kind in turn, in every shape of line.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from divan_obs_asgi.redaction.numbers import luhn, mod97

SEED = 20_260_401

# The key of a secret, its text in the line, and the part of it that must not survive.
Secret: TypeAlias = tuple[str, str, str]

_VERBS: Final = ("accepted", "delivered", "queued", "retried", "stored", "skipped", "rebalanced", "evicted")
_THINGS: Final = ("invite", "message", "snapshot", "presence update", "room", "leaderboard page", "thumbnail")
_LOGGERS: Final = ("app.chat", "app.presence", "app.rooms.service", "jobs.leaderboard", "uvicorn.error", "db.pool")
_ROUTES: Final = ("/rooms/{room_id}/messages", "/users/{user_id}", "/proximity/nearby", "/activities", "/health/ready")
_AGENTS: Final = ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0)", "okhttp/4.12.0", "python-httpx/0.28.1", "curl/8.5.0")
_ERRORS: Final = ("ValueError", "TimeoutError", "sqlalchemy.exc.OperationalError", "redis.exceptions.ConnectionError")
_WORD: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Line:
    """
    A line of a log.

    Attributes:
        text: as it stands in the file.
        fields: the same as a structure, JSON: what a scrubber of structures is given.
        secret: what may not survive; empty in a clean line.
    """

    text: str
    fields: bytes
    secret: str


def lines(secrets: bool) -> Iterator[Line]:
    """Yield lines without end: all with a secret, or all without."""
    rng = random.Random(SEED + secrets)
    number = 0
    while True:
        shape = _SHAPES[number % len(_SHAPES)]
        secret = None
        if secrets:
            # Every kind meets every shape: the two lists have no common length.
            secret = _SECRETS[number % len(_SECRETS)](rng)
        text, fields = shape(rng, secret)
        yield Line(text, orjson.dumps(fields), secret[2] if secret else "")
        number += 1


def texts(source: Iterator[Line], size: int) -> Iterator[list[Line]]:
    """Yield the next lines of `source` for one text after the other, each of about `size` characters."""
    chunk: list[Line] = []
    length = 0
    for line in source:
        chunk.append(line)
        length += len(line.text) + 1
        if length >= size:
            yield chunk
            chunk, length = [], 0


# The shapes of lines.

Shaped: TypeAlias = tuple[str, dict[str, Any]]


def _json(rng: random.Random, secret: Secret | None) -> Shaped:
    fields: dict[str, Any] = {
        "ts": _ts(rng),
        "level": rng.choice(("INFO", "WARNING")),
        "msg": _sentence(rng),
        "trace_id": _hex(rng, 32),
        "latency_ms": round(rng.uniform(0.2, 400), 3),
    }
    if secret:
        fields[secret[0]] = secret[1]
    else:
        fields |= {"route": rng.choice(_ROUTES), "status": rng.choice((200, 201, 204, 404))}
    return orjson.dumps(fields).decode(), fields


def _pairs(rng: random.Random, secret: Secret | None) -> Shaped:
    fields = {
        "time": _ts(rng),
        "level": "info",
        "logger": rng.choice(_LOGGERS),
        "event": rng.choice(_VERBS),
        "attempt": str(rng.randrange(1, 6)),
        "took": f"{rng.uniform(0.1, 90):.2f}ms",
        **({secret[0]: secret[1]} if secret else {"request_id": _uuid(rng), "shard": str(rng.randrange(64))}),
    }
    return " ".join(f'{key}="{value}"' if " " in value else f"{key}={value}" for key, value in fields.items()), fields


def _explained(rng: random.Random, secret: Secret | None) -> Shaped:
    text = f"{_ts(rng).replace('T', ' ')[:23]} INFO [{rng.choice(_LOGGERS)}] {_sentence(rng)}"
    text += (
        f", {secret[0]}: {secret[1]}"
        if secret
        else f" for room {_uuid(rng)} in {rng.uniform(0.1, 90):.1f} ms, {rng.randrange(900)} left"
    )
    return text, {"message": text}


def _traceback(rng: random.Random, secret: Secret | None) -> Shaped:
    where = f'  File "/srv/app/{rng.choice(_LOGGERS).replace(".", "/")}.py", line {rng.randrange(20, 900)}, in handle'
    what = f"{rng.choice(_ERRORS)}: {_sentence(rng)}"
    detail = f"{secret[0]}={secret[1]}" if secret else f"expected {rng.randrange(9)} of {rng.randrange(10, 99)} rows"
    frames = [{"vars": {secret[0]: secret[1]} if secret else {"rows": 7}, "filename": where}]
    return f"{where}\n{what} ({detail})", {"value": what, "stacktrace": {"frames": frames}}


def _access(rng: random.Random, secret: Secret | None) -> Shaped:
    query = {"page": str(rng.randrange(1, 40)), **({secret[0]: secret[1].replace(" ", "%20")} if secret else {})}
    agent = rng.choice(_AGENTS)
    path = rng.choice(("/rooms/lobby/messages", "/users/me", "/proximity/nearby", "/static/app.3f2c1ab.js"))
    url = f"{path}?{'&'.join(f'{key}={value}' for key, value in query.items())}"
    text = f'10.3.0.{rng.randrange(255)} - - [24/Nov/2026:09:30:{rng.randrange(10, 60)} +0000] "GET {url} HTTP/1.1" '
    text += f'200 {rng.randrange(90_000)} "-" "{agent}"'
    return text, {"request": {"url": path, "query": query, "headers": {"user-agent": agent}}, "status": 200}


_SHAPES: Final[tuple[Callable[[random.Random, Secret | None], Shaped], ...]] = (
    _json,
    _pairs,
    _explained,
    _json,
    _access,
    _traceback,
    _pairs,
)


def _sentence(rng: random.Random) -> str:
    return (
        f"{rng.choice(_THINGS)} {rng.choice(_VERBS)} after {rng.randrange(2, 40)} tries by worker {rng.randrange(16)}"
    )


def _ts(rng: random.Random) -> str:
    return f"2026-11-24T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(10**6):06}Z"


def _hex(rng: random.Random, size: int) -> str:
    return f"{rng.getrandbits(4 * size):0{size}x}"


def _uuid(rng: random.Random) -> str:
    return f"{_hex(rng, 8)}-{_hex(rng, 4)}-4{_hex(rng, 3)}-a{_hex(rng, 3)}-{_hex(rng, 12)}"


# The kinds of secrets. They are invented, and none stands in this file as it appears in a line.


def _random(rng: random.Random, size: int, alphabet: str = _WORD) -> str:
    return "".join(rng.choices(alphabet, k=size))


def _b64(rng: random.Random, data: bytes) -> str:
    return base64.urlsafe_b64encode(data or rng.randbytes(24)).decode().rstrip("=")


def _jwt(rng: random.Random) -> str:
    return ".".join(_b64(rng, part) for part in (b'{"alg":"HS256"}', b'{"sub":"%d"}' % rng.randrange(10**6), b""))


def _card(rng: random.Random) -> str:
    head = f"4{rng.randrange(10**14):014}"
    return next(head + str(digit) for digit in range(10) if luhn((head + str(digit)).encode()))


def _iban(rng: random.Random) -> str:
    account = f"{rng.randrange(10**18):018}"
    return next(f"DE{check:02}{account}" for check in range(2, 99) if mod97(f"DE{check:02}{account}".encode()) == 1)


def _plain(key: str, value: Callable[[random.Random], str]) -> Callable[[random.Random], Secret]:
    def make(rng: random.Random) -> Secret:
        secret = value(rng)
        return key, secret, secret

    return make


def _position(rng: random.Random) -> Secret:
    where = f"{rng.uniform(10, 80):.6f},{rng.uniform(10, 170):.6f}"
    return "near", where, where


def _user_info(rng: random.Random) -> Secret:
    secret = _random(rng, 14)
    return "upstream", f"postgresql://app:{secret}@db-{rng.randrange(9)}:5432/divan", secret


def _bearer(rng: random.Random) -> Secret:
    secret = _random(rng, 36)
    return "tried", f"Bearer {secret}", secret


_SECRETS: Final[tuple[Callable[[random.Random], Secret], ...]] = (
    _plain("password", lambda rng: _random(rng, 8) + str(rng.randrange(100))),
    _plain("to", lambda rng: f"{_random(rng, 7).lower()}.{_random(rng, 5).lower()}@mail.example.org"),
    _plain("api_key", lambda rng: _random(rng, 32)),
    _plain("with", _jwt),
    _bearer,
    _plain("note", lambda rng: "ghp_" + _random(rng, 36)),
    _position,
    _plain("used", lambda rng: "AKIA" + _random(rng, 16, string.ascii_uppercase + string.digits)),
    _plain("charged", _card),
    _user_info,
    _plain("access_token", lambda rng: _random(rng, 40)),
    _plain("called", lambda rng: f"+4930{rng.randrange(10**7, 10**8)}"),
    _plain("paid_from", _iban),
    _plain("sessionid", lambda rng: _random(rng, 28)),
    _plain("charge", lambda rng: "sk_live_" + _random(rng, 24)),
    _plain("hook", lambda rng: "xoxb-" + _random(rng, 11, string.digits) + "-" + _random(rng, 24)),
)

__all__ = ["SEED", "Line", "lines", "texts"]
