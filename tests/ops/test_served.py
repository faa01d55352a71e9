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
