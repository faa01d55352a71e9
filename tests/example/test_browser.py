"""What a real browser measures of a page arrives in /metrics, and nothing else does."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.example.service import ADMIN, started
from tests.ops.service import OPERATOR, Service
from tests.patience import PATIENCE_S
from tests.servers.chromium import visit
from tests.servers.process import free_port

# A browser, a server and waits of half a second, which say the same on every interpreter.
pytestmark = pytest.mark.slow

FILES = Path(__file__).with_name("browser")
SCRIPT = FILES / "visit.js"
POLICY = "default-src 'self'"
ROUTES = ("/rooms/[id]", "/people/[name]")
# The reference backend, with a page that its script is meant for, and a file of what is sent to it.
SERVICE = f"""
import json
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.divan.backend import create_app
from examples.divan.pages import POLICY

FILES = Path({str(FILES)!r})

async def page(request):
    html = Template((FILES / "page.html").read_text()).substitute(enabled=backend.state.vitals_enabled)
    return HTMLResponse(html, headers=POLICY)

backend = create_app()
backend.state.vitals_enabled = "true" if 'data-enabled="true"' in backend.state.page else "false"
backend.router.routes[:0] = [
    Route("/rooms/7", page),
    Mount("/browser", StaticFiles(directory=FILES)),
]

async def app(scope, receive, send):
    async def kept():
        message = await receive()
        if message["type"] == "http.request":
            with open("sent.txt", "ab") as file:
                file.write(message["body"] + (b"" if message["more_body"] else b"\\n"))
        return message

    sent = scope["type"] == "http" and scope["method"] == "POST"
    await backend(scope, kept if sent else receive, send)
"""


@contextmanager
def serving(embedded: dict[str, str], *, enabled: bool) -> Iterator[Service]:
    """Serve the backend with the page, whose origin may send vitals."""
    with closing(Service(SERVICE, embedded)) as service:
        origin = str(service.client.base_url).rstrip("/")
        service.flags |= {
            "OBS_ADMIN_TOKEN": OPERATOR["Authorization"].removeprefix("Bearer "),
            "OBS_LOGGING_ENABLED": "true",
            "OBS_VITALS_ENABLED": str(enabled).lower(),
            "OBS_VITALS_ORIGINS": origin,
            "OBS_VITALS_ROUTES": ",".join(ROUTES),
        }
        yield service.start()


def sent(service: Service) -> str:
    """Return all that was posted."""
    file = service.directory / "sent.txt"
    return file.read_text() if file.exists() else ""


class Counted:
    """The samples of web vitals on a page of metrics."""

    def __init__(self, page: str) -> None:
        self.samples = [
            sample
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if "_web_vitals_" in sample.name
        ]

    def value(self, family: str, /, **labels: str) -> float:
        """Return the sum of the samples of this name with these labels."""
        found = [
            s for s in self.samples if s.name == f"divan_web_vitals_{family}" and labels.items() <= s.labels.items()
        ]
        return sum(sample.value for sample in found)

    def rated(self) -> set[tuple[str, str]]:
        """Return the names and routes that were counted."""
        samples = [s for s in self.samples if s.name == "divan_web_vitals_ratings_total"]
        return {(sample.labels["name"], sample.labels["route"]) for sample in samples if sample.value}


def counted(client: httpx.Client, headers: dict[str, str], wanted: set[tuple[str, str]]) -> Counted:
    """Return what was counted, once these are among it: a browser sends while the page is left."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = Counted(client.get("/metrics", headers=headers).text)
        if wanted <= found.rated():
            return found
        assert time.monotonic() < deadline, f"{wanted - found.rated()} missing"
        time.sleep(0.05)


def test_the_vitals_of_the_first_page_arrive(tmp_path: Path) -> None:
    """
    What `make run` serves at / measures itself, under a policy that allows neither inline script nor inline style.

    Its second view shows what was counted, to the holder of the token.
    """
    token = ADMIN["Authorization"].removeprefix("Bearer ")
    with started(tmp_path, PORT=str(free_port()), OBS_ADMIN_TOKEN=token) as (_, printed):
        url = re.findall(r"http://127\.0\.0\.1:\d+", printed)[0]
        with httpx.Client(base_url=url) as client:
            assert client.get("/").headers["content-security-policy"] == POLICY
            assert visit(SCRIPT, url=url, visit="start", token=token)["complaints"] == []
            counted(client, ADMIN, {(name, "/") for name in ("LCP", "FCP", "TTFB", "CLS")} | {("LCP", "/vitals")})
            again = visit(SCRIPT, url=url, visit="start", token=token)
    assert 'divan_web_vitals_ratings_total{name="LCP",rating="good",route="/"}' in again["found"]


def test_a_page_that_shifts_and_blocks_is_seen_to(embedded: dict[str, str]) -> None:
    """
    Each of two routes, without a new load of the page, has what was measured on it.

    What is sent holds nothing of the page's text, query, fragment or ids.
    """
    with serving(embedded, enabled=True) as service:
        url = str(service.client.base_url.join("/rooms/7?token=hunter2#zebra"))
        visited = visit(SCRIPT, url=url, visit="bad")
        assert visited["complaints"] == []
        wanted = {("LCP", ROUTES[0]), ("CLS", ROUTES[0]), ("INP", ROUTES[0]), ("LCP", ROUTES[1]), ("INP", ROUTES[1])}
        found = counted(service.client, OPERATOR, wanted)
        bodies = sent(service)
    assert found.value("cls_sum", route=ROUTES[0]) > 0
    assert found.value("seconds_sum", name="INP", route=ROUTES[0]) >= 0.25
    assert found.value("seconds_count", name="INP", route=ROUTES[0]) == 1
    assert ("TTFB", ROUTES[1]) not in found.rated()
    assert {route for _, route in found.rated()} == set(ROUTES)
    assert found.value("rejected_total") == 0
    vitals = [vital for body in bodies.splitlines() for vital in json.loads(body)["vitals"]]
    assert {key for vital in vitals for key in vital} == {"name", "value", "rating", "navigation", "route"}
    for secret in ("hunter2", "token", "zebra", "Zebra", "ada", "/7", "?", "#", "http", "block", "text"):
        assert secret not in bodies


def test_a_page_whose_flag_is_off_measures_nothing(embedded: dict[str, str]) -> None:
    """No observer is made, and nothing is sent."""
    with serving(embedded, enabled=False) as service:
        url = str(service.client.base_url.join("/rooms/7?token=hunter2"))
        visited = visit(SCRIPT, url=url, visit="unmeasured")
        page = service.client.get("/metrics", headers=OPERATOR).text
        assert sent(service) == ""
    assert (visited["complaints"], visited["observers"]) == ([], 0)
    assert Counted(page).rated() == set()
