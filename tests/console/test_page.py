"""The page of the console in a real headless Chromium: what it shows, what it never does, and that it stays alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.console.fake_service import STATIC, TOKEN, FakeService
from tests.console.states import FAILED, HOSTILE
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.chromium import Browser

# A browser and a server, which say the same on every interpreter.
pytestmark = pytest.mark.slow

MOST_BYTES = 60 * 1024


@dataclass
class Visited:
    """A visit: what it found, and the service that it was to."""

    found: Any
    service: FakeService
    refused: list[str]


def visited(
    browser: Browser, name: str, scene: str = "normal", *, prefix: str = "", public: bool = False, **order: object
) -> Visited:
    """Visit the page; it must have broken no rule of its policy, and left nothing in the browser."""
    service = FakeService(scene, prefix=prefix, public=public)
    with serve(service.app) as serving:
        url = f"{serving.url}{prefix}/ops/console"
        result = browser.visit(
            patience_s=16 * PATIENCE_S, url=url, origin=serving.url, token=TOKEN, visit=name, **order
        )
    assert result["complaints"] == []
    assert result["foreign"] == []
    cookie, local, session, address = result["kept"].split(" ")
    assert (cookie, local, session) == ("", "0", "0")
    assert TOKEN not in address
    assert not any(TOKEN in one for one in service.urls)
    return Visited(result["found"], service, result["refused"])


def test_nothing_but_the_field_is_shown_without_a_token(browser: Browser) -> None:
    """A wrong token is refused, the eleventh one by the limit; the right one opens the page and leaves the field."""
    visit = visited(browser, "door")
    assert visit.found["closed"].split() == ["Admin", "token", "Open"]
    assert visit.found["answers"][:10] == ["This token is wrong."] * 10
    assert "limit" in visit.found["answers"][10]
    assert "37 s" in visit.found["answers"][10]
    assert not visit.found["stillClosed"]
    assert visit.found["accessible"] == []
    assert visit.found["typed"] == ""
    assert "divan-shop" in visit.found["header"]
    assert visit.service.credentials[0] == ""


def test_a_service_that_is_open_to_everybody_needs_no_token(browser: Browser) -> None:
    """OBS_METRICS_PUBLIC opens the page as it opens other reads; a proxy and OBS_OPS_PREFIX may put a path in front."""
    visit = visited(browser, "open", public=True, prefix="/api/internal")
    assert "divan-shop" in visit.found
    assert visit.refused == []


def test_a_request_shows_what_it_did(browser: Browser) -> None:
    """A slow one its SQL as a bar, one that repeats a statement "20 x", a failed one its lines, error and traceback."""
    found = visited(browser, "requests").found
    assert "SELECT name, score FROM scores WHERE board = ?" in found["slow"]
    assert "3 further calls are not kept." in found["slow"]
    assert [kind for kind, _ in found["slowBars"]][-2:] == ["call redis", "call sql"]
    assert found["slowBars"][-1][1] > 90
    assert found["slowLink"] == "https://traces.example.com/trace/00000000000000000000000000000003"
    assert "20 \N{MULTIPLICATION SIGN}" in found["repeated"]
    assert found["repeated"].count("SELECT name FROM people WHERE id = ?") == 1
    assert "The cart has no items." in found["failed"]
    assert "shop/cart.py:12 total\nZeroDivisionError: division by zero" in found["failed"]
    assert "curl http://HOST/carts/{id}" in found["failed"]
    assert "new since start" not in found["error"]
    assert "shop/app.py:40 cart" in found["error"]


def test_every_tab_answers_its_question(browser: Browser) -> None:
    """The header has the six numbers; the tabs have errors, routes, probes, stalls, clients and what runs."""
    found = visited(browser, "tabs").found
    for part in (
        "divan-shop",
        "prod",
        "4f1c9a2",
        "ready",
        "2 of 2 workers",
        "Requests/s",
        "128",
        "0.4 %",
        "184 ms",
        "212",
    ):
        assert part in found["header"]
    assert "new since start" in found["errors"]
    assert "25 %" in found["routes"]
    assert "✗ refused" in found["health"]
    assert "not asked yet" in found["health"]
    assert "redis: refused" in found["health"]
    assert "shop/report.py:88 render" in found["loop"]
    assert "/chat say" in found["clients"]
    assert found["monitoring"].index("the breaker is open") < found["monitoring"].index("2 s ago")
    assert "OBS_TRACING_ENABLED is false" in found["about"]
    assert "nightly" in found["about"]


def test_a_link_leads_to_what_it_names(browser: Browser) -> None:
    """By the id of the console, the request id of a log line, the trace id, the fingerprint or the route."""
    links = {
        "request": f"#request={FAILED['id']}",
        "request_id": f"#request={FAILED['request_id']}",
        "trace": f"#trace={FAILED['trace_id']}",
        "error": f"#error={FAILED['error']}",
        "route": "#route=/carts/{id}",
        "forgotten": "#request=4711-999",
        "unknown": "#trace=ffff",
        "nonsense": "#request=%",
    }
    found = visited(browser, "link", links=links).found
    for name in ("request", "request_id", "trace"):
        assert "The cart has no items." in found[name]
    assert "Traceback, the last call at the end" in found["error"]
    assert "Only /carts/{id}." in found["route"]
    assert "/leaderboards" not in found["route"]
    assert "This request is forgotten." in found["forgotten"]
    assert "No such request is kept (trace)." in found["unknown"]
    assert "No such request is kept (request)." in found["nonsense"]


def test_the_page_follows_the_service(browser: Browser) -> None:
    """New entries come, a restart is said, trouble slows it down, a pause stops it, a damaged answer breaks nothing."""
    found = visited(browser, "changes").found
    assert (found["before"], found["after"], found["sameRow"], found["errors"]) == (5, 6, True, 2)
    assert "503: Too busy." in found["trouble"]
    assert "Asks again in" in found["trouble"]
    assert found["fresh"] == 1
    assert "The service has restarted." in found["restarted"]
    assert found["paused"] == 0
    assert "12 older requests are gone" in found["forgotten"]
    assert "This worker (4711) of unknown many" in found["oneOfMany"]
    assert found["odd"].startswith("odd")


def test_the_keys_do_what_the_help_says(browser: Browser) -> None:
    """They can be switched off: a screen reader or dictation may send such keys."""
    found = visited(browser, "keys").found
    assert found["second"] == "GET /rooms/{name}/members"
    assert found["back"]
    assert found["opened"] == found["second"]
    assert found["filtered"] == 1
    assert "Filter the rows" in found["help"]
    assert found["off"] == "false"
    assert found["arrow"] == "true"


def test_an_action_asks_before_it_is_done(browser: Browser) -> None:
    """A drain asks twice; what is not possible is greyed out with the reason."""
    visit = visited(browser, "actions")
    found = visit.found
    assert found["disabled"]
    assert "Not possible: OBS_TRACING_ENABLED is false." in found["greyed"]
    assert "Drain this worker?" in found["first"]
    assert "Are you sure?" in found["second"]
    assert "ready" in found["kept"]
    assert "Set the logger shop.cart to DEBUG for 10 minutes?" in found["level"]
    assert "X-Divan-Debug: v1.signed" in found["header"]
    level, job, header, drain = visit.service.posted
    assert level == ("/ops/loggers", {"logger": "shop.cart", "level": "DEBUG", "ttl_s": 600}, None)
    assert job[:2] == ("/ops/rollover", {"job": "nightly"})
    assert job[2] is not None
    assert header == ("/ops/console/debug-header", None, None)
    assert drain == ("/ops/drain", None, None)


def test_hostile_texts_are_shown_as_text(browser: Browser) -> None:
    """Markup stays text, what is invisible is shown as its number, a text of 1 MB is cut, and the page goes on."""
    found = visited(browser, "hostile", "hostile").found
    assert (found["elements"], found["links"], found["hacked"]) == (0, 0, "undefined")
    for shown in (
        HOSTILE[0],
        "⟨U+202E⟩gnp.exe",
        "nul⟨U+0000⟩nul",
        "lone ⟨U+D800⟩ surrogate ⟨U+DFFF⟩",
        "more characters)",
    ):
        assert shown in found["texts"]
    assert "\u202e" not in found["texts"]


def test_rows_that_have_not_changed_stay_as_they_are(browser: Browser) -> None:
    """With 500 routes and 8 workers, an answer with the same content changes nothing in the page."""
    found = visited(browser, "many", "many").found
    assert found["kept"] == 500
    assert found["changed"] == 0
    assert found["filtered"] == 1
    assert "8 of 8 workers" in found["workers"]
    assert "1 files could not be read" in found["workers"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(browser: Browser, scheme: str) -> None:
    """
    Each tab at 360, 768 and 1440 px and at 200 %: axe finds nothing serious, and nothing is cut off.

    Contrast, names, roles and focus are among axe's rules.
    """
    found = visited(browser, "looks", open=0, schemes=[scheme]).found
    assert found["violations"] == []
    assert found["overflows"] == []


def test_the_page_is_small() -> None:
    """All of its files, as they are served: at most 60 KiB, not compressed; no file of another kind is among them."""
    sizes = {file.name: len(file.read_bytes()) for file in STATIC.iterdir()}
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    assert {name.rpartition(".")[2] for name in sizes} == {"html", "css", "js"}
