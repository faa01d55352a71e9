"""What frameworks log of a request or a WebSocket, as a reader of the log sees it; the frameworks are real."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import anyio
import django
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import Http404, HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import path
from litestar import Litestar, get
from litestar.logging import LoggingConfig
from quart import Quart, websocket

from divan_obs_asgi.testing import assert_no_secret, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Scope
from tests.logs.root_logger import root_logger_kept
from tests.stacks import Observed

if not settings.configured:
    settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"])
django.setup()

# `FromPath`, which the newest version of Litestar wants, is not there in the oldest one.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated inferred style")

SECRET = "adalovelace"


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    with root_logger_kept():
        yield


def page(request: HttpRequest, name: str) -> HttpResponse:
    raise LookupError("on purpose")


def missing(request: HttpRequest, name: str) -> HttpResponse:
    raise Http404


urlpatterns = [path("fail/<str:name>", page), path("missing/<str:name>", missing)]


def quart() -> Any:
    app = Quart("shop")

    @app.get("/fail/<name>")
    async def fail(name: str) -> str:
        raise LookupError("on purpose")

    @app.websocket("/ws/<name>")
    async def ws(name: str) -> None:
        await websocket.accept()
        raise LookupError("on purpose")

    return app


def litestar() -> Any:
    @get("/fail/{name:str}")
    async def fail(name: str) -> str:
        raise LookupError("on purpose")

    return Litestar([fail], logging_config=LoggingConfig(log_exceptions="always", configure_root_logger=False))


def framework_line(app: ASGIApp, scope: Scope, logger: str) -> dict[str, Any]:
    """Return the one line that the framework writes of a connection, no secret being in any."""
    observed = Observed({"LOG_SAMPLING_BUDGET": "1000000"})
    observed.obs.log.install(own_access_line=False)
    # Litestar gives its logger a handler of its own, and keeps its lines from the root logger.
    logging.getLogger("litestar").handlers.clear()
    logging.getLogger("litestar").propagate = True
    message = {"type": "http.request" if scope["type"] == "http" else "websocket.connect", "body": b""}
    anyio.run(converse, app, scope, [message])
    lines = observed.lines()
    assert_no_secret([str(line) for line in lines], {"path": SECRET})
    [found] = [line for line in lines if line["logger"] == logger]
    return found


@pytest.mark.parametrize(
    ("address", "said", "level"),
    [
        (f"/fail/{SECRET}", "500 Internal Server Error", "ERROR"),
        (f"/missing/{SECRET}", "404 Not Found", "WARNING"),
        (f"/{SECRET}", "404 Not Found", "WARNING"),
    ],
)
def test_djangos_lines_do_not_show_the_path(address: str, said: str, level: str) -> None:
    """Its lines of 404 and 500 have the path as an argument, and the request as a field."""
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG_PROPAGATE_EXCEPTIONS=False):
        line = framework_line(ASGIHandler(), http_scope(address), "django.request")
    assert (line["msg"], line["level"], "request" in line) == (said, level, False)
    # The application's exception is logged as usual.
    assert ("on purpose" in line.get("error", {}).get("traceback", "")) == (level == "ERROR")


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (http_scope(f"/fail/{SECRET}"), "Exception on request GET"),
        (websocket_scope(f"/ws/{SECRET}", headers=[(b"host", b"testserver")]), "Exception on websocket"),
    ],
    ids=["request", "WebSocket"],
)
def test_quarts_lines_do_not_show_the_path(scope: Scope, said: str) -> None:
    """Its line has the application's logger, and a text that was put together before."""
    line = framework_line(quart(), scope, "shop")
    assert line["msg"] == said
    assert "on purpose" in line["error"]["traceback"]


def test_litestars_lines_do_not_show_the_path() -> None:
    """Its line has the path as an argument."""
    line = framework_line(litestar(), http_scope(f"/fail/{SECRET}"), "litestar")
    assert line["msg"] == "Uncaught exception (connection_type=%s, path=%r):"
    assert "on purpose" in line["error"]["traceback"]


def test_an_applications_line_under_its_frameworks_logger_is_untouched() -> None:
    """The file decides, and not the logger: what the application says is not reduced."""
    observed = Observed({"LOG_SAMPLING_BUDGET": "1000000"})
    observed.obs.log.install(own_access_line=False)
    logging.getLogger("django.request").warning("%d sent", 3)
    assert [line["msg"] for line in observed.lines()] == ["3 sent"]
