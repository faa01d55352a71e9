"""What /health/* tell, to whom, and in which form."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import divan_obs_asgi as obs
from divan_obs_asgi.probes import Group
from divan_obs_asgi.testing import Conversation, assert_no_secret, converse
from tests.ops.asking import application, ask, bearer, detail, operated, scope_of, told
from tests.stacks import BACKENDS, Observed

BROWSER = (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
SCRAPER = (b"accept", b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")


class Dependency:
    """A probe that says what the test wants."""

    timeout = 10.0

    def __init__(
        self, name: str, group: Group = "ready", *, critical: bool = True, details: Mapping[str, object] | None = None
    ) -> None:
        self.name = name
        self.group = group
        self.critical = critical
        self.up = True
        self._details = details or {}

    async def check(self) -> Mapping[str, object]:
        if not self.up:
            raise obs.ProbeFailed("refused", **self._details)
        return self._details


def with_probes(*probes: Dependency, **environ: str) -> Observed:
    observed = operated(environ)
    for probe in probes:
        observed.obs.probes.register(probe)
    return observed


def content(done: Conversation) -> Any:
    return orjson.loads(done.body)


@pytest.mark.parametrize("up", [True, False])
def test_ready_has_the_shape_of_the_specification(up: bool) -> None:
    """Its very example; where something fails only `status` and `ok` differ."""
    migrations = Dependency("migrations", details={"version": "0008"})
    redis = Dependency("redis")
    redis.up = up
    done = ask(with_probes(redis, Dependency("postgres"), migrations), "/health/ready")
    assert re.sub(rb'"latency_ms":\d+', b'"latency_ms":0', done.body) == (
        b'{"status":"%s","checks":{"redis":{"ok":%s,"latency_ms":0},"postgres":{"ok":true,"latency_ms":0},'
        b'"migrations":{"ok":true,"version":"0008"}}}'
    ) % ((b"ok", b"true") if up else (b"fail", b"false"))
    assert done.status == (200 if up else 503)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_holder_of_the_token_is_told_more(backend: str) -> None:
    """Why, since when, and how the last checks went."""
    redis = Dependency("redis")
    observed = with_probes(redis)
    ask(observed, "/health/ready")
    redis.up = False

    done = ask(observed, "/health/ready?verbose", bearer(), backend=backend)

    check = content(done)["checks"]["redis"]
    assert (done.status, check["ok"], check["reason"], check["critical"]) == (503, False, "refused", True)
    assert 0 <= check["age_s"] <= check["since_s"] + 0.001 < 60
    assert [(past["ok"], past["reason"]) for past in check["history"]] == [(False, "refused"), (True, None)]


@pytest.mark.parametrize("headers", [[], [bearer("wrong")], [bearer(), bearer()]], ids=["none", "wrong", "two"])
@pytest.mark.parametrize("path", ["/health/ready", "/health/live", "/health/startup"])
def test_verbose_changes_nothing_for_a_stranger(path: str, headers: list[tuple[bytes, bytes]]) -> None:
    """A balancer whose token has changed does not take the service out; and nobody learns more than without it."""
    observed = with_probes(Dependency("redis"))
    plain, verbose = ask(observed, path, *headers), ask(observed, f"{path}?verbose", *headers)
    assert (plain.status, verbose.status) == (200, 200)
    assert b"history" not in verbose.body
    assert content(plain).keys() == content(verbose).keys()


def test_who_guesses_by_verbose_locks_nobody_out() -> None:
    """The health answer is given all the same, and the right token is told more whatever was guessed before."""
    observed = with_probes(Dependency("redis"), OBS_OPS_MAX_FAILURES="2")
    stack = obs.build_stack(application, observed.obs)
    tokens = ["wrong", "wrong", "wrong", "the-token-of-the-operators"]
    answers = anyio.run(_one_after_the_other, stack, tokens)
    assert [answer.status for answer in answers] == [200, 200, 200, 200]
    assert [b"history" in answer.body for answer in answers] == [False, False, False, True]


async def _one_after_the_other(stack: Any, tokens: list[str]) -> list[Conversation]:
    return [await converse(stack, scope_of("/health/ready?verbose", bearer(token))) for token in tokens]


@pytest.mark.parametrize("group", ["live", "ready", "startup"])
def test_one_probe_can_be_asked_for(group: str) -> None:
    """Its status alone decides; what does not exist, or is in another group, is not found."""
    cache = Dependency("cache", group, critical=False)
    observed = with_probes(cache)
    path = f"/health/{group}/cache"
    cache.up = False
    done = ask(observed, path, bearer())
    assert (done.status, content(done)["reason"], content(done)["critical"]) == (503, "refused", False)
    assert ask(observed, f"/health/{group}").status == 200
    cache.up = True
    assert told(observed, path)["ok"] is True
    for unknown in (f"/health/{group}/cach", f"/health/{'ready' if group != 'ready' else 'live'}/cache"):
        assert detail(ask(observed, unknown, bearer())) == (404, "There is no such probe in this group.")


def test_one_probe_is_for_the_holder_of_the_token() -> None:
    """Which probes there are is told to nobody else, by no status."""
    observed = with_probes(Dependency("redis"))
    for path in ("/health/ready/redis", "/health/ready/nothing"):
        assert detail(ask(observed, path)) == (401, "Send the admin token as 'Authorization: Bearer'.")
        assert ask(observed, path, bearer("wrong")).status == 401
    without = Observed()
    assert ask(without, "/health/ready/redis").status == 403


def test_a_drain_fits_the_shape() -> None:
    """It is one check more; its cause is for the token's holder."""
    observed = with_probes(Dependency("redis"))
    observed.obs.drain.start("maintenance")
    done = ask(observed, "/health/ready")
    assert (done.status, content(done)["checks"]["drain"]) == (503, {"ok": False, "latency_ms": 0})
    drain = content(ask(observed, "/health/ready?verbose", bearer()))["checks"]["drain"]
    assert (drain["reason"], drain["cause"]) == ("draining", "maintenance")


@pytest.mark.parametrize("accept", [BROWSER, SCRAPER, (b"accept", b"*/*")], ids=["browser", "scraper", "any"])
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health/startup"])
def test_head_is_the_get_without_its_body(path: str, accept: tuple[bytes, bytes]) -> None:
    """In every form: the same status and headers, and no byte more."""
    observed = with_probes(Dependency("redis"))
    get, head = ask(observed, path, accept), ask(observed, path, accept, method="HEAD")
    assert (head.status, head.body) == (get.status, b"")
    for name in (b"content-type", b"cache-control", b"vary"):
        assert head.header(name) == get.header(name)
    assert head.header(b"cache-control") == [b"no-store"]
    assert head.header(b"vary") == [b"accept"]


class Reader(HTMLParser):
    """Reads what a browser would show, and what it would load or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_browser_is_shown_a_page() -> None:
    """With the status of the answer, what a reader looks for, and a policy that lets nothing else in."""
    redis = Dependency("redis", details={"version": "7.4"})
    redis.up = False
    done = ask(with_probes(redis), "/health/ready", BROWSER)
    page = done.body.decode()
    assert (done.status, done.header(b"content-type")) == (503, [b"text/html; charset=utf-8"])
    shown = " ".join(Reader(page).text)
    assert all(word in shown for word in ("/health/ready", "fail", "redis", "version: 7.4"))
    assert "refused" not in shown
    (policy,) = done.header(b"content-security-policy")
    (style,) = re.findall(r"<style>(.*?)</style>", page)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.decode() == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert done.header(b"x-content-type-options") == [b"nosniff"]


def test_the_page_shows_the_holder_of_the_token_more() -> None:
    """As the JSON answer does."""
    redis = Dependency("redis")
    redis.up = False
    page = ask(with_probes(redis), "/health/ready?verbose", BROWSER, bearer()).body
    assert b"reason: refused" in page


@pytest.mark.slow
@given(
    st.dictionaries(
        st.text(max_size=20) | st.just("<script>"),
        st.text(max_size=40) | st.sampled_from(["<img src=x onerror=alert(1)>", "</table>", '"><script>', "&lt;", "'"]),
        max_size=3,
    )
)
def test_what_a_probe_says_is_text_on_the_page(details: dict[str, str]) -> None:
    """Whatever it is made of, a browser finds the same elements as without it, and no attribute more."""
    bare = Reader(ask(with_probes(Dependency("search", details={"a": ""})), "/health/ready", BROWSER).body.decode())
    given = {"a": "", **details}
    done = ask(with_probes(Dependency("search", details=given)), "/health/ready", BROWSER)
    page = Reader(done.body.decode())
    assert {tag for tag in page.tags if tag != "br"} == {tag for tag in bare.tags if tag != "br"}
    assert [tag for tag in page.tags if tag != "br"] == [tag for tag in bare.tags if tag != "br"]
    assert page.attributes == bare.attributes


def test_a_scraper_gets_gauges() -> None:
    """Those of health, for everybody; with 200 also where a check fails, for Prometheus reads no other."""
    redis = Dependency("redis")
    redis.up = False
    observed = with_probes(redis, Dependency("search"))
    done = ask(observed, "/health/ready", SCRAPER)
    assert (done.status, done.header(b"content-type")) == (
        200,
        [b"application/openmetrics-text; version=1.0.0; charset=utf-8"],
    )
    parsed = text_string_to_metric_families(done.body.decode())  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    assert {sample.labels["name"]: sample.value for sample in families["divan_probe_up"].samples} == {
        "redis": 0.0,
        "search": 1.0,
    }
    assert families["divan_redis_up"].samples[0].value == 0.0
    assert families["divan_health_ready"].samples[0].value == 0.0
    assert families.keys() == {
        "divan_health_ready",
        "divan_probe_up",
        "divan_redis_up",
        "divan_redis_latency_seconds",
        "divan_postgres_up",
        "divan_postgres_latency_seconds",
        "divan_draining",
    }


def test_no_form_of_the_answer_holds_a_secret() -> None:
    """What a probe has said goes through the policy, whatever the client asks for."""
    secret = "postgres://divan:hunter2-of-production@db/divan"
    dependency = Dependency("db", details={"password": "hunter2-of-production", "note": secret})
    for up in (True, False):
        dependency.up = up
        observed = with_probes(dependency)
        answers = [
            ask(observed, path, *headers).body
            for path in ("/health/ready", "/health/ready?verbose", "/health/ready/db")
            for headers in ([bearer()], [bearer(), BROWSER], [bearer(), SCRAPER])
        ]
        assert_no_secret(answers, ["hunter2-of-production"])
