"""States of the console as the page receives them: a service with some of everything that the page shows."""

from __future__ import annotations

from typing import Any

State = dict[str, Any]

NOW = 1_790_000_000.0
#: Texts that a client can send, and that a page must show as text.
HOSTILE = [
    "</script><img src=x onerror=globalThis.hacked=1>",
    "\u202egnp.exe",
    "nul\0nul",
    "lone \ud800 surrogate \udfff",
    "x" * 1_000_000,
    "javascript:globalThis.hacked=1",
    "__proto__",
    "{{constructor.constructor('globalThis.hacked=1')()}}",
]


def request(number: int, route: str = "/rooms/{name}", **changes: Any) -> State:
    entry = {
        "id": f"4711-{number}",
        "at": NOW - 60 + number,
        "kind": "http",
        "method": "GET",
        "route": route,
        "status": 200,
        "outcome": "ok",
        "ms": 12.5,
        "bytes": 1200,
        "worker": 4711,
        "trace_id": f"{number:032x}",
        "request_id": f"req-{number}",
        "error": "",
        "classes": ["latest"],
        "calls": 2,
        "debug": False,
    }
    return {**entry, **changes}


SLOW = request(3, "/leaderboards/{name}", ms=1840.0, classes=["latest", "slow"], calls=2)
REPEATED = request(4, "/rooms/{name}/members", ms=95.0, calls=20)
FAILED = request(5, "/carts/{id}", status=500, outcome="error", error="f1a2b3c4", classes=["latest", "failed"], calls=1)
ERROR = {
    "id": "f1a2b3c4",
    "type": "ZeroDivisionError",
    "at": "shop/cart.py:12 total",
    "count": 3,
    "first": NOW - 3000,
    "last": NOW - 55,
    "new": True,
    "routes": ["/carts/{id}"],
    "requests": ["4711-5"],
    "traceback": ["shop/app.py:40 cart", "shop/cart.py:30 show", "shop/cart.py:12 total"],
    "message": "division by zero",
}


def call(number: int, kind: str, name: str, text: str, ms: float, **changes: Any) -> State:
    return {"kind": kind, "name": name, "text": text, "start_ms": number * 4.0, "ms": ms, "ok": True, "n": 1, **changes}


def line(level: str, text: str) -> State:
    return {"at": NOW - 55, "level": level, "logger": "shop.cart", "msg": text, "fields": {"items": 0}}


def details() -> dict[str, State]:
    """The requests that can be opened, by id."""
    slow_sql = "SELECT name, score FROM scores WHERE board = ? ORDER BY score DESC"
    member_sql = "SELECT name FROM people WHERE id = ?"
    calls: dict[str, list[State]] = {
        SLOW["id"]: [call(1, "redis", "GET", "GET board:*", 0.4), call(2, "sql", "SELECT scores", slow_sql, 1800.0)],
        # As they come where the service has not folded them.
        REPEATED["id"]: [call(at, "sql", "SELECT people", member_sql, 3.5) for at in range(20)],
        FAILED["id"]: [call(0, "http", "GET prices.internal", "GET /prices", 8.0, ok=False)],
    }
    lines = {FAILED["id"]: [line("DEBUG", "The cart has no items."), line("ERROR", "The cart cannot be shown.")]}
    return {
        one["id"]: {
            "request": {
                **one,
                "first_byte_ms": one["ms"] * 0.9,
                "fields": {"board": "weekly"},
                "waited": {"pool": 4.0},
            },
            "calls": calls.get(one["id"], []),
            "lines": lines.get(one["id"], []),
            "error": ERROR if one["error"] else None,
            "curl": f"curl http://HOST{one['route']}",
            "dropped": {"calls": 3 if one is SLOW else 0, "lines": 0},
        }
        for one in state()["requests"]
    }


def figures(rate: float, p95: float, failed: float = 0.0) -> State:
    return {"rate": rate, "p50": p95 / 4, "p95": p95, "p99": p95 * 1.5, "error_share": failed}


def route(path: str, rate: float, p95: float, failed: float = 0.0) -> State:
    return {
        "id": f"GET {path}",
        "route": path,
        "method": "GET",
        "m1": figures(rate, p95, failed),
        "m5": figures(rate * 0.8, p95 * 0.9, failed),
        "line": [rate * (1 + (at % 7) / 10) for at in range(60)],
    }


def number(now: float, step: float) -> State:
    return {
        "now": now,
        "line": [None if 20 <= at < 25 else max(0.0, now + step * ((at * 7) % 11 - 5)) for at in range(60)],
    }


def probe(name: str, *, ok: bool | None = True, reason: str | None = None, group: str = "ready") -> State:
    return {
        "id": name,
        "group": group,
        "critical": name == "postgres",
        "ok": ok,
        "reason": reason,
        "latency_ms": 1.3,
        "asked": NOW - 1,
        "since": NOW - 600,
        "history": [
            {"at": NOW - 900, "ok": True, "reason": None, "ms": 1.0},
            {"at": NOW - 600, "ok": bool(ok), "reason": reason, "ms": 1.3},
        ],
        "worker": 4711,
    }


def check(name: str, title: str, value: str, cure: str = "") -> State:
    return {"id": name, "ok": not cure, "title": title, "value": value, "cure": cure}


def action(name: str, path: str, title: str, why_not: str = "") -> State:
    return {"id": name, "method": "POST", "path": path, "allowed": not why_not, "why_not": why_not, "title": title}


def change(number: int, kind: str, text: str, *, ok: bool) -> State:
    return {"id": str(number), "at": NOW - 600 + number, "kind": kind, "text": text, "ok": ok, "worker": 4711}


def state(**changes: Any) -> State:
    """Return a complete state; `changes` replace parts of it."""
    stall = {"id": "1", "at": NOW - 20, "ms": 420.0, "place": "shop/report.py:88 render", "worker": 4711}
    whole = {
        "cursor": "k1-1",
        "full": True,
        "restarted": False,
        "now": NOW,
        "service": {
            "name": "divan-shop",
            "env": "prod",
            "version": "1.2.0",
            "commit": "4f1c9a2",
            "library": "0.1.0",
            "started": NOW - 86_000,
            "ready": True,
            "draining": False,
            "prefix": "",
            "trace_url": "https://traces.example.com/trace/{trace_id}",
        },
        "workers": {
            "known": True,
            "answering": 4711,
            "list": [
                {"pid": 4711, "started": NOW - 86_000, "alive": True},
                {"pid": 4712, "started": NOW - 86_000, "alive": True},
            ],
            "skipped_files": 0,
        },
        "numbers": {
            "requests_per_s": number(128.4, 8),
            "error_share": number(0.004, 0.001),
            "p95_ms": number(184.0, 12),
            "in_flight": number(9, 1),
            "loop_lag_ms": number(1.2, 0.3),
            "clients": number(212, 3),
        },
        "requests": [request(1), request(2, "/health-data", worker=4712), SLOW, REPEATED, FAILED],
        "errors": [ERROR, {**ERROR, "id": "0badcafe", "type": "KeyError", "at": "shop/user.py:7 name", "new": False}],
        "routes": [
            route("/rooms/{name}", 84.0, 22.0),
            route("/leaderboards/{name}", 12.0, 1700.0),
            route("/carts/{id}", 3.0, 40.0, 0.25),
        ],
        "probes": [
            probe("postgres"),
            probe("redis", ok=False, reason="refused"),
            probe("migrations", group="startup"),
            probe("event_loop", ok=None, group="live"),
        ],
        "loop": {
            "lag_ms": {"p50": 1.2, "p99": 38.0},
            "stalls": [{**stall, "stack": ["shop/app.py:40 report", "shop/report.py:88 render"]}],
            "tasks": [
                {"place": "shop/chat.py:31 listen", "count": 48},
                {"place": "uvicorn/server.py:229 main", "count": 1},
            ],
        },
        "sockets": {
            "namespaces": [{"id": "/chat", "clients": 212, "events_per_s": 31.0}],
            "handlers": [{"id": "/chat say", "count": 9120, "p95_ms": 14.0, "errors": 2}],
            "refused": [{"id": "auth", "count": 4}],
            "websockets": 212,
        },
        "monitoring": [
            check("scrape", "Last scrape", "2 s ago, 12 ms, 41 kB, from 1 scraper"),
            check(
                "spans",
                "Spans",
                "312 of 9,000 dropped, the breaker is open",
                "OTEL_EXPORTER_OTLP_ENDPOINT, docs/tracing.md",
            ),
        ],
        "about": {
            "flags": [{"name": "OBS_ADMIN_TOKEN", "value": "[set]", "default": ""}],
            "middlewares": [
                {"name": "RequestIdMiddleware", "why_not": None},
                {"name": "TracingMiddleware", "why_not": "OBS_TRACING_ENABLED is false"},
            ],
            "jobs": [
                {"id": "lb_snapshot", "runs": 3, "last": NOW - 300, "outcome": "ok", "ms": 42.0},
                {"id": "nightly", "runs": 0, "last": None, "outcome": "", "ms": None},
            ],
        },
        "changes": [
            change(1, "probe", "redis: refused", ok=False),
            change(2, "level", "shop.cart: DEBUG for 10 min", ok=True),
        ],
        "actions": [
            action("level", "/ops/loggers", "Set a log level"),
            action("drain", "/ops/drain", "Drain"),
            action("job", "/ops/rollover", "Start a job"),
            action("trace_test", "/ops/trace/test", "Export a test span", "OBS_TRACING_ENABLED is false."),
            action("debug_header", "/ops/console/debug-header", "Debug one request"),
        ],
        "forgotten": {"requests": 0, "errors": 0, "changes": 0, "bytes": 0},
        "left_out": {"requests": 0, "errors": 0, "changes": 0},
    }
    return {**whole, **changes}


def many() -> State:
    """A state with 500 routes and 8 workers, which differ a little each time."""
    workers = [{"pid": 4711 + at, "started": NOW, "alive": True} for at in range(8)]
    return state(
        routes=[route(f"/items/{at}/{{id}}", 500.0 - at, 20.0) for at in range(500)],
        workers={"known": True, "answering": 4711, "list": workers, "skipped_files": 1},
    )


def hostile() -> State:
    """A state in which every text that comes from outside is a hostile one."""
    return state(
        requests=[
            request(at, text, outcome=text, method=text[:20], request_id=text, error=text)
            for at, text in enumerate(HOSTILE)
        ],
        errors=[
            {
                **ERROR,
                "id": f"{at}{text}",
                "type": text,
                "at": text,
                "message": text,
                "traceback": [text],
                "routes": [text],
            }
            for at, text in enumerate(HOSTILE)
        ],
        routes=[{**route(text, 1.0, 1.0), "id": f"GET {text}"} for text in HOSTILE],
        probes=[probe(text, ok=False, reason=text) for text in HOSTILE],
        changes=[change(at, text, text, ok=False) for at, text in enumerate(HOSTILE)],
        service={**state()["service"], "name": HOSTILE[0], "commit": HOSTILE[1], "trace_url": "javascript:{trace_id}"},
    )
