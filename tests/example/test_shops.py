"""The small examples: files that can be copied and served by the command in their docstrings."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import django  # noqa: F401
import fastapi  # noqa: F401
import httpx
import litestar  # noqa: F401
import pytest
import socketio

from tests.servers.command import Command, until

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHOPS = sorted(EXAMPLES.glob("*_shop.py"))
ADMIN = {"Authorization": "Bearer let-me-in"}


class Shop(Command):
    """The command of an example's docstring, around a copy of the example."""

    def __init__(self, example: Path) -> None:
        variables, server, app = re.findall(r"^    (\w+=\S+) (\w+) \w+:(\w+)$", example.read_text(), re.MULTILINE)[0]
        name, _, value = variables.partition("=")
        super().__init__("", server, app, env={name: value, "LOG_SAMPLING_RATE_INFO": "1"})
        shutil.copy(example, self.directory)
        self.example = example

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", self._server, f"{self.example.stem}:{self._app}", "--port", str(self.port)]


@pytest.fixture(params=SHOPS, ids=lambda example: example.stem)
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """An example, served."""
    served = Shop(request.param)
    try:
        yield served.start()
    finally:
        served.close()


def test_a_small_example_is_observed(shop: Shop) -> None:
    """Its request has an id and an access line by its template; its health, its metric and its log line are there."""
    response = httpx.get(f"{shop.url}/items/7")
    assert response.status_code == 200
    assert "tea" in response.text
    line = shop.line("GET /items/{item_id}")
    assert line["request_id"] == response.headers["x-request-id"]

    if shop.example.stem == "socketio_shop":
        with socketio.SimpleClient() as client:
            client.connect(shop.url)
            client.call("show", "7")
    assert shop.line("item shown")["item"] == "tea"

    until(lambda: httpx.get(f"{shop.url}/health/ready").status_code == 200, shop)
    assert len(httpx.get(f"{shop.url}/health/ready").json()["checks"]) == 1

    assert httpx.get(f"{shop.url}/metrics").status_code == 401
    page = httpx.get(f"{shop.url}/metrics", headers=ADMIN).text
    assert 'divan_item_views_total{item="tea"} 1.0' in page
    assert 'divan_http_requests_total{method="GET",route="/items/{item_id}",status="200"} 1.0' in page


@pytest.mark.parametrize("example", SHOPS, ids=lambda example: example.stem)
def test_a_small_example_is_small_and_says_how_it_is_served(example: Path) -> None:
    """It fits on a screen; the commands of its docstring name the file itself and URLs that it has."""
    text = example.read_text()
    assert len(text.splitlines()) <= 40
    assert f"OBS_ADMIN_TOKEN=let-me-in uvicorn {example.stem}:app\n" in text
    curls = [shlex.split(line)[-1] for line in re.findall(r"^    curl (.*)$", text, re.MULTILINE)]
    assert [url.removeprefix("http://127.0.0.1:8000") for url in curls] == ["/items/7", "/health/ready", "/metrics"]


def test_there_is_an_example_for_each_kind_of_application() -> None:
    assert [example.stem for example in SHOPS] == [
        f"{kind}_shop" for kind in ("django", "fastapi", "litestar", "socketio", "starlette")
    ]
