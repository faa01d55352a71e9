"""POST /ops/ingest: what it counts, and that nothing a client sends becomes a series or stays in memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.ops.endpoints.ingest import MAX_BODY
from divan_obs_asgi.ops.endpoints.vitals import MAX_CLS, MAX_MS, MAX_VITALS, NAVIGATIONS, RATINGS
from divan_obs_asgi.testing import Conversation, converse
from divan_obs_asgi.types import ASGIApp, Message
from tests.ops.asking import application, ask, bearer, detail, messages, operated, scope_of, told
from tests.ops.service import OPERATOR, served
from tests.stacks import BACKENDS, Observed

SHOP = "https://shop.example"
ORIGIN = (b"origin", SHOP.encode())
TEXT = (b"content-type", b"text/plain;charset=UTF-8")
FLAGS = {
    "OBS_VITALS_ENABLED": "true",
    "OBS_VITALS_ORIGINS": f"{SHOP},http://localhost:3000",
    "OBS_VITALS_ROUTES": "/,/rooms/[id]",
}
PATH = "/ops/ingest"
REJECTED = "divan_web_vitals_rejected_total"


def taking(flags: dict[str, str] | None = None) -> Observed:
    return operated({**FLAGS, **(flags or {})})


def vital(**changes: object) -> dict[str, object]:
    return {"name": "LCP", "value": 1300, "rating": "good", "navigation": "navigate", "route": "/", **changes}


def send(
    observed: Observed, *vitals: object, headers: tuple[tuple[bytes, bytes], ...] = (ORIGIN, TEXT)
) -> Conversation:
    return ask(observed, PATH, *headers, method="POST", body={"vitals": vitals})


def rejected(observed: Observed) -> dict[str, float]:
    return {dict(labels)["reason"]: value for labels, value in observed.samples(REJECTED).items()}


def series(observed: Observed) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return what the families of web vitals have, but for the reasons of refusals."""
    ours, refusals = "divan_web_vitals", "divan_web_vitals_rejected"
    return {one for one in all_series(observed) if one[0].startswith(ours) and not one[0].startswith(refusals)}


def all_series(observed: Observed) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return every series that there is."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in observed.obs.metrics.registry.collect()
        for sample in family.samples
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_vitals_are_counted(backend: str) -> None:
    """Times in seconds, CLS as the score that it is, and each by its rating; the answer has no content."""
    observed = taking()
    vitals = [
        vital(),
        vital(name="INP", value=136.5, rating="good", route="/rooms/[id]", navigation="soft-navigation"),
        vital(name="CLS", value=0.3, rating="poor"),
        vital(name="TTFB", value=0),
    ]
    done = ask(observed, PATH, ORIGIN, TEXT, method="POST", body={"vitals": vitals}, backend=backend)
    assert (done.status, done.body) == (204, b"")
    assert done.header(b"access-control-allow-origin") == [SHOP.encode()]
    assert done.header(b"vary") == [b"origin"]
    assert done.header(b"cache-control") == [b"no-store"]
    seconds = "divan_web_vitals_seconds"
    assert observed.value(f"{seconds}_sum", name="LCP", route="/") == 1.3
    assert observed.value(f"{seconds}_bucket", name="LCP", route="/", le="1.8") == 1
    assert observed.value(f"{seconds}_bucket", name="LCP", route="/", le="0.8") == 0
    assert observed.value(f"{seconds}_sum", name="INP", route="/rooms/[id]") == 0.1365
    assert observed.value(f"{seconds}_count", name="TTFB", route="/") == 1
    assert observed.value("divan_web_vitals_cls_bucket", route="/", le="0.25") == 0
    assert observed.value("divan_web_vitals_cls_sum", route="/") == 0.3
    assert observed.value("divan_web_vitals_ratings_total", name="CLS", route="/", rating="poor") == 1
    assert rejected(observed) == {}


def test_an_edge_is_part_of_its_rating() -> None:
    """web-vitals calls a value at its threshold good, and so does the bucket that ends there."""
    observed = taking()
    send(observed, vital(value=2500), vital(name="CLS", value=0.1))
    assert observed.value("divan_web_vitals_seconds_bucket", name="LCP", route="/", le="2.5") == 1
    assert observed.value("divan_web_vitals_cls_bucket", route="/", le="0.1") == 1


def test_every_word_of_the_vocabularies_is_taken() -> None:
    """All ratings, all ways to come to a page, all names; at both ends of what a value can be."""
    observed = taking()
    for navigation in NAVIGATIONS:
        assert send(observed, vital(navigation=navigation)).status == 204
    for rating in RATINGS:
        assert send(observed, vital(rating=rating)).status == 204
    for name, most in (("LCP", MAX_MS), ("INP", MAX_MS), ("FCP", MAX_MS), ("TTFB", MAX_MS), ("CLS", MAX_CLS)):
        assert send(observed, vital(name=name, value=most), vital(name=name, value=-0.0)).status == 204
    assert send(observed, *[vital()] * MAX_VITALS).status == 204


def test_a_route_that_is_not_listed_is_unmatched() -> None:
    """An id in a path would be a series for each."""
    observed = taking()
    for route in ("/rooms/7", "", "/rooms/[id]?q=1", "__overflow__", "/" * 9000, "\x00", "/\U0001f600"):
        assert send(observed, vital(route=route)).status == 204
    assert observed.value("divan_web_vitals_ratings_total", name="LCP", route="__unmatched__", rating="good") == 7
    assert {dict(labels)["route"] for _, labels in series(observed)} == {"__unmatched__"}


NO_NAVIGATIONS: tuple[object, ...] = ("back_forward", "", None, {}, "soft")
NO_VALUES: tuple[object, ...] = (-1, -1e-9, 1e308, MAX_MS + 1, 2**64 - 1, "1", None, True, [1], {})
INVALID: dict[str, list[object]] = {
    "body": [
        vital(id="v4-1"),
        vital(route=None),
        vital(route=["/"]),
        {"name": "LCP"},
        [],
        "LCP",
        None,
        {**vital(), "attribution": {"element": "#user-7"}},
    ],
    "name": [vital(name=name) for name in ("FID", "lcp", "", None, 1, ["LCP"], {"LCP": 1}, "LCP\n")],
    "rating": [vital(rating=rating) for rating in ("ok", "", None, 0, ["good"], "good ")],
    "navigation": [
        *(vital(navigation=navigation) for navigation in NO_NAVIGATIONS),
        vital(name="TTFB", value=0, navigation="soft-navigation"),
    ],
    "value": [
        *(vital(value=value) for value in NO_VALUES),
        vital(name="CLS", value=MAX_CLS + 0.01),
    ],
}


@pytest.mark.parametrize(("reason", "bad"), [(reason, bad) for reason, all_bad in INVALID.items() for bad in all_bad])
def test_what_is_invalid_is_refused_as_a_whole(reason: str, bad: object) -> None:
    """The reason is counted and answered in a line that repeats nothing; the valid vital beside it is not counted."""
    observed = taking()
    done = send(observed, vital(), bad)
    status, sentence = detail(done)
    assert status == 422
    assert "\n" not in sentence
    assert done.header(b"access-control-allow-origin") == [SHOP.encode()]
    assert rejected(observed) == {reason: 1}
    assert series(observed) == set()


@pytest.mark.parametrize(
    ("reason", "status", "body"),
    [
        ("body", 400, b'{"vitals":[{"value":NaN}]}'),
        ("body", 400, b'{"vitals":' + b"[" * 8000),
        ("body", 422, b'{"vitals":' + b"[" * 500 + b"]" * 500 + b"}"),
        ("body", 422, b""),
        ("body", 422, b"[]"),
        ("body", 422, b'{"vitals":{}}'),
        ("body", 422, b'{"vitals":[],"user":"u-1"}'),
        ("count", 422, b'{"vitals":[]}'),
        ("count", 422, orjson.dumps({"vitals": [vital()] * (MAX_VITALS + 1)})),
        ("size", 413, b" " * (MAX_BODY + 1)),
    ],
    ids=lambda given: str(given[:24]) if isinstance(given, bytes) else str(given),
)
def test_a_body_that_is_none_is_refused(reason: str, status: int, body: bytes) -> None:
    """Not JSON, nested, empty, of another shape, too many, too long."""
    observed = taking()
    assert ask(observed, PATH, ORIGIN, TEXT, method="POST", body=body).status == status
    assert rejected(observed) == {reason: 1}
    assert series(observed) == set()


def test_a_type_that_no_script_sends_is_refused() -> None:
    """Plain text and JSON are taken, as is a body that does not say what it is; nothing compressed is."""
    observed = taking()
    for types in ((), (TEXT,), ((b"content-type", b"Application/JSON"),)):
        assert send(observed, vital(), headers=(ORIGIN, *types)).status == 204
    assert send(observed, vital(), headers=(ORIGIN, (b"content-type", b"text/html"))).status == 415
    assert send(observed, vital(), headers=(ORIGIN, (b"content-encoding", b"gzip"))).status == 415
    assert rejected(observed) == {"type": 2}


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"origin", b"null"),),
        ((b"origin", b""),),
        ((b"origin", b"https://evil.example"),),
        ((b"origin", b"https://shop.example.evil.example"),),
        ((b"origin", b"http://shop.example"),),
        ((b"origin", b"https://shop.example:8443"),),
        ((b"origin", b"https://shop.example/"),),
        ((b"origin", b"*"),),
        (ORIGIN, (b"origin", b"https://evil.example")),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_another_origin_is_refused(method: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Before a byte of the body is read; and its script reads nothing of the answer."""

    async def main() -> Conversation:
        async def receive() -> Message:
            raise AssertionError("the body was read")

        done = Conversation()

        async def keep(message: Message) -> None:
            done.sent.append(message)

        scope = scope_of(PATH, *headers, TEXT, method=method)
        await obs.build_stack(application, observed.obs, [obs.middlewares.OpsMiddleware])(scope, receive, keep)
        return done

    observed = taking()
    done = anyio.run(main)
    assert detail(done) == (403, "The origin is not in OBS_VITALS_ORIGINS.")
    assert done.header(b"access-control-allow-origin") == []
    assert rejected(observed) == {"origin": 1}


def test_a_script_of_another_origin_may_ask_first() -> None:
    """Application/json of another origin is asked for by OPTIONS (Fetch Standard); text/plain is not."""
    done = ask(taking(), PATH, ORIGIN, (b"access-control-request-method", b"POST"), method="OPTIONS")
    assert (done.status, done.body) == (204, b"")
    assert done.header(b"access-control-allow-origin") == [SHOP.encode()]
    assert done.header(b"access-control-allow-methods") == [b"POST"]
    assert done.header(b"access-control-allow-headers") == [b"content-type"]
    assert done.header(b"access-control-allow-credentials") == []


def test_other_methods_are_refused() -> None:
    done = ask(taking(), PATH, ORIGIN)
    assert (done.status, done.header(b"allow")) == (405, [b"OPTIONS, POST"])


def test_it_is_not_there_by_default() -> None:
    """Strangers are told what they are told of every path below /ops; it is in no list."""
    observed = operated({"OBS_VITALS_ORIGINS": SHOP})
    assert send(observed, vital()).status == 401
    assert ask(observed, PATH, ORIGIN, bearer(), method="POST").status == 404
    assert PATH not in {endpoint["path"] for endpoint in told(observed, "/ops")["endpoints"]}
    assert rejected(observed) == {}


def test_it_is_described() -> None:
    """In the directory and as OpenAPI, open to all; with a prefix below that."""
    observed = taking({"OBS_OPS_PREFIX": "/internal"})
    listed = [one for one in told(observed, "/internal/ops")["endpoints"] if one["path"].endswith("ingest")]
    assert [(one["path"], one["method"], one["guarded"]) for one in listed] == [
        ("/internal/ops/ingest", "POST", False),
        ("/internal/ops/ingest", "OPTIONS", False),
    ]
    post = told(observed, "/internal/ops/openapi.json")["paths"]["/internal/ops/ingest"]["post"]
    assert (post["security"], post["responses"]["204"]) == ([], {"description": "Counted."})
    assert post["responses"].keys() == {"204", "400", "403", "413", "415", "422", "429"}


def test_no_token_is_needed_and_none_is_looked_at() -> None:
    """A page has no secret; OBS_OPS_NETWORKS is about operators. A use is not in the audit log."""
    observed = taking({"OBS_OPS_NETWORKS": "10.0.0.0/8"})
    observed.obs.log.install()
    assert send(observed, vital(), headers=(ORIGIN, TEXT, bearer("wrong"))).status == 204
    assert messages(observed, "divan_obs_asgi.audit") == []


def test_with_a_port_of_its_own_for_operators_browsers_still_find_it() -> None:
    """It is where the application is, which is the only place that they reach."""
    assert send(taking({"OBS_OPS_PORT": "9999"}), vital()).status == 204


class Sender:
    """Sends to one stack, whose limits last."""

    def __init__(self, observed: Observed) -> None:
        self._stack: ASGIApp = obs.build_stack(application, observed.obs)

    async def send(self, body: bytes, client: str = "192.0.2.7", origin: bytes = SHOP.encode()) -> Conversation:
        scope = scope_of(PATH, (b"origin", origin), TEXT, method="POST", client=(client, 5))
        halves = [body[: len(body) // 2], body[len(body) // 2 :]]
        incoming: list[Message] = [{"type": "http.request", "body": half, "more_body": True} for half in halves]
        return await converse(
            self._stack, scope, [*incoming, {"type": "http.request", "body": b"", "more_body": False}]
        )


GOOD = orjson.dumps({"vitals": [vital()]})


def test_an_address_has_a_limit() -> None:
    """One of IPv6 has those of its whole /64; another address goes on."""

    async def main() -> list[Conversation]:
        sender = Sender(observed)
        clients = ("192.0.2.7", "192.0.2.7", "192.0.2.8", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
        return [await sender.send(GOOD, client) for client in clients]

    observed = taking({"OBS_VITALS_ADDRESS_LIMIT": "1"})
    done = anyio.run(main)
    assert [one.status for one in done] == [204, 429, 204, 204, 429, 204]
    assert done[1].header(b"retry-after") == [b"60"]
    assert rejected(observed) == {"rate": 2}


def test_all_addresses_together_have_a_limit() -> None:
    async def main() -> list[int | None]:
        sender = Sender(observed)
        return [(await sender.send(GOOD, f"192.0.2.{number}")).status for number in range(5)]

    observed = taking({"OBS_VITALS_TOTAL_LIMIT": "3"})
    assert anyio.run(main) == [204, 204, 204, 429, 429]
    assert rejected(observed) == {"rate": 2}


def bodies(number: int) -> bytes:
    """Return one of the bodies that someone might try, each time another one."""
    kinds: list[Callable[[], Any]] = [
        lambda: {"vitals": [vital(name=f"LCP{number}")]},
        lambda: {"vitals": [vital(route=f"/rooms/{number}")]},
        lambda: {"vitals": [vital(value=1e308)]},
        lambda: {"vitals": [vital(value=-number - 1)]},
        lambda: {"vitals": [vital(rating=f"good{number}")]},
        lambda: {f"vitals{number}": []},
        lambda: {"vitals": [{f"key{number}": 1}]},
    ]
    raw = [
        b'{"vitals":[{"name":"LCP","value":NaN}]}',
        b'{"vitals":[{"name":"LCP","value":1e999,"rating":"good","navigation":"navigate","route":"/"}]}',
        b"%d" % number + b" " * 1_000_000,
        b'{"a":' * 900 + b"%d" % number + b"}" * 900,
    ]
    which = number % (len(kinds) + len(raw))
    return orjson.dumps(kinds[which]()) if which < len(kinds) else raw[which - len(kinds)]


@pytest.mark.slow
def test_hostile_senders_make_no_series_and_stay_nowhere() -> None:
    """3,000 requests of 100 addresses, some of another origin: invented names, routes, numbers, 1 MB, nested JSON."""

    async def flood(sender: Sender, first: int, count: int) -> None:
        for number in range(first, first + count):
            origin = b"https://evil%d.example" % number if number % 13 == 0 else SHOP.encode()
            await sender.send(bodies(number), f"192.0.2.{number % 100}", origin)
            # As beside a server: a loop that never turns keeps timers that were cancelled.
            await anyio.lowlevel.checkpoint()

    async def main() -> int:
        sender = Sender(observed)
        # orjson keeps up to 2,048 keys that it has read: a bound, and not a leak.
        for number in range(20_000):
            orjson.loads(b'{"invented%d":1}' % number)
        await flood(sender, 0, 300)
        before, at_first = all_series(observed), held()
        await flood(sender, 300, 3_000)
        assert all_series(observed) == before
        return held() - at_first

    def held() -> int:
        observed.stream.seek(0)
        observed.stream.truncate()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    # High limits: what gets past them must be harmless, too. Log lines would be kept by the test itself.
    limits = {"OBS_VITALS_ADDRESS_LIMIT": "100000", "OBS_VITALS_TOTAL_LIMIT": "100000"}
    observed = taking({**limits, "OBS_ACCESS_LOG_ENABLED": "false"})
    tracemalloc.start()
    try:
        grown = anyio.run(main)
    finally:
        tracemalloc.stop()
    assert {dict(labels)["route"] for _, labels in series(observed)} == {"__unmatched__"}
    assert rejected(observed).keys() == {"body", "name", "value", "rating", "size", "origin"}
    # A request of 1 MB that stayed would be seen, and twenty bytes for each of the 3,000.
    assert grown < 60_000


@pytest.mark.slow
def test_hostile_senders_reach_the_limits_and_no_further() -> None:
    """With the limits as they are by default, which also count what is refused; each refusal has a reason of ours."""

    async def main() -> None:
        sender = Sender(observed)
        for number in range(10_000):
            await sender.send(bodies(number), f"192.0.2.{number % 100}")

    observed = taking({"OBS_ACCESS_LOG_ENABLED": "false"})
    start = time.monotonic()
    anyio.run(main)
    minutes = (time.monotonic() - start) / 60
    reasons = rejected(observed)
    counted = observed.samples("divan_web_vitals_ratings_total")
    assert reasons.keys() == {"body", "name", "value", "rating", "size", "rate"}
    assert sum(reasons.values()) + sum(counted.values()) == 10_000
    # A full bucket at first, and what it gains meanwhile.
    assert 10_000 - reasons["rate"] <= 3000 * (1 + minutes) + 1


APP = """
import divan_obs_asgi as obs

async def application(scope, receive, send):
    raise NotImplementedError

app = obs.wrap(application)
"""


@pytest.mark.slow
def test_a_served_application_counts_what_a_browser_sends() -> None:
    """As sendBeacon sends it; 1 MB is refused, and the service goes on."""
    with served(APP, FLAGS) as service:
        beacon = {"Origin": SHOP, "Content-Type": "text/plain;charset=UTF-8"}
        body = {"vitals": [vital(), vital(name="CLS", value=0.05)]}
        assert service.client.post(PATH, headers=beacon, content=orjson.dumps(body)).status_code == 204
        with suppress(httpx.TransportError):  # The server may close while the client still writes.
            assert service.client.post(PATH, headers=beacon, content=b" " * 1_000_000).status_code == 413
        assert service.client.post(PATH, headers={**beacon, "Origin": "https://evil.example"}).status_code == 403
        page = service.client.get("/metrics", headers=OPERATOR).text
    assert 'divan_web_vitals_seconds_bucket{le="1.8",name="LCP",route="/"} 1.0' in page
    assert 'divan_web_vitals_cls_bucket{le="0.1",route="/"} 1.0' in page
    assert 'divan_web_vitals_rejected_total{reason="size"} 1.0' in page
    assert 'divan_web_vitals_rejected_total{reason="origin"} 1.0' in page
