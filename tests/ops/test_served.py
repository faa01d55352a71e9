"""The guard on the wire, as a scraper and a client meet it that share an address."""

from __future__ import annotations

import time

import pytest

from tests.ops.asking import TOKEN
from tests.ops.service import OPERATOR, served
from tests.patience import PATIENCE_S
from tests.servers.process import free_port

pytestmark = pytest.mark.slow

APP = """
import divan_obs_asgi as obs
from starlette.applications import Starlette

app = Starlette()
obs.init(app)
"""
WRONG = [
    {"Authorization": "Bearer a-guess"},
    {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="},
    {"Authorization": TOKEN},
]


@pytest.mark.parametrize("own_port", [False, True])
def test_a_client_does_not_blind_the_scraper(own_port: bool) -> None:
    """Whatever it sends: behind an ingress both have one address."""
    port = free_port()
    with served(APP, {"OBS_OPS_PORT": str(port)} if own_port else {}) as service:
        url = f"http://127.0.0.1:{port}" if own_port else ""
        until = time.monotonic() + PATIENCE_S
        while own_port and not service.client.get("/health/ready").json()["checks"]["ops_port"]["ok"]:
            assert time.monotonic() < until, "nobody listens on the port of its own"
            time.sleep(0.05)
        for path in ("/metrics", "/ops/none", "/health/ready?verbose"):
            for headers in WRONG * 6:
                service.client.get(f"{url}{path}", headers=headers)
        twice = [("Authorization", f"Bearer {TOKEN}")] * 2
        answers = [
            service.client.get(f"{url}/metrics", headers={"Authorization": "Bearer a-guess"}),
            service.client.get(f"{url}/metrics", headers=twice),
            service.client.get(f"{url}/metrics", headers=OPERATOR),
        ]
        assert [answer.status_code for answer in answers] == [429, 401, 200]


BROKEN = """
import divan_obs_asgi as obs
from starlette.applications import Starlette

app = Starlette()
observability = obs.init(app)

@observability.endpoint("/ops/broken", summary="It fails.")
def broken(request):
    raise ZeroDivisionError("on purpose")

@observability.endpoint("/ops/exits", summary="It exits.")
async def exits(request):
    raise SystemExit(3)
"""


@pytest.mark.parametrize("path", ["/ops/broken", "/ops/exits"])
def test_a_broken_endpoint_of_the_service_is_one_line(path: str) -> None:
    """The server goes on, and says nothing beside the line of the request."""
    with served(BROKEN) as service:
        # uvicorn closes the connection of a request that has raised, as it does for the application's own.
        assert service.client.get(path, headers={**OPERATOR, "Connection": "close"}).status_code == 500
        assert service.client.get("/ops/config", headers=OPERATOR).status_code == 200
        page = service.client.get("/metrics", headers=OPERATOR).text
        assert f'divan_http_requests_total{{method="GET",route="{path}",status="500"}} 1.0' in page
    lines = [line for line in service.log if "ERROR" in line or "Traceback" in line]
    assert len(lines) == 1
    assert path in lines[0]
