"""With the deployment files the service starts, passes its probes, is scraped and drains."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from divan_obs_asgi.ops_assets.deployment.service import TOKEN_FILE
from divan_obs_asgi.ops_assets.files import exported
from divan_obs_asgi.ops_assets.parameters import Parameters
from tests.example.service import started
from tests.patience import PATIENCE_S
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.postgres import PostgresServer
from tests.servers.prometheus import PrometheusServer
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.slow

FILES = exported(Parameters(namespace="acme", job="shop"))
TOKEN = "a-token-for-the-tests-of-deployments"


def container() -> Any:
    [found] = yaml.safe_load(FILES["kubernetes/deployment.yml"])["spec"]["template"]["spec"]["containers"]
    return found


def flags() -> dict[str, str]:
    """Return the variables that both deployments set, which are equal except for the addresses."""
    kubernetes = {entry["name"]: entry["value"] for entry in container()["env"] if "value" in entry}
    compose = yaml.safe_load(FILES["compose.yml"])["services"]["backend"]["environment"]
    assert kubernetes.items() <= compose.items()
    assert set(compose) - set(kubernetes) == {
        *("OBS_ADMIN_TOKEN", "HOST", "PORT", "REDIS_URL", "DATABASE_URL", "JWT_SECRET"),
    }
    return {**kubernetes, "OBS_ADMIN_TOKEN": TOKEN}


def scraped(target: str, folder: Path) -> None:
    """Scrape it with a real Prometheus and the exported files, except for address, token path and intervals."""
    (folder / "token").write_text(TOKEN)
    server = PrometheusServer(target, TOKEN)
    text = FILES["prometheus/prometheus.yml"].replace("backend:8000", target).replace(TOKEN_FILE, f"{folder}/token")
    text = text.replace('"15s"', '"500ms"').replace('"10s"', '"500ms"')
    (server.directory / "prometheus.yml").write_text(text)
    (server.directory / "rules-phase8.yml").write_text(FILES["prometheus/rules-phase8.yml"])
    try:
        server.start().wait_for('up{job="shop"}', [1])
        server.wait_for('count(acme_draining{job="shop"})', [1])
    finally:
        server.close()


def test_a_page_inhibits_the_tickets_of_its_job() -> None:
    """In a real Alertmanager. Tickets of other jobs and pages are sent."""
    server = AlertmanagerServer(FILES["alertmanager/alertmanager.yml"])
    try:
        server.start()
        page, ours, theirs = {"severity": "page"}, {"severity": "ticket"}, {"severity": "ticket", "job": "other"}
        server.post([{"alertname": "X", "job": "shop"} | labels for labels in (page, ours, theirs)])
        server.wait_for({("shop", "page"): "active", ("shop", "ticket"): "suppressed", ("other", "ticket"): "active"})
    finally:
        server.close()


def test_the_deployed_service(tmp_path: Path, redis_server: RedisServer, postgres_server: PostgresServer) -> None:
    """Its probes return 200, its metrics have the namespace, and the Kubernetes hook starts the drain."""
    stores = {"REDIS_URL": redis_server.url, "DATABASE_URL": postgres_server.url}
    with started(tmp_path, **flags(), **stores) as (_, printed):
        url = re.findall(r"http://127\.0\.0\.1:\d+", printed)[0]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            ready = container()["readinessProbe"]["httpGet"]["path"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert client.get(container()[probe]["httpGet"]["path"]).status_code == 200
            [scrape] = yaml.safe_load(FILES["prometheus/prometheus.yml"])["scrape_configs"]
            assert "acme_http_requests_total" in client.get(scrape["metrics_path"]).text
            scraped(url.removeprefix("http://"), tmp_path)
            _, option, script = container()["lifecycle"]["preStop"]["exec"]["command"]
            done = subprocess.run(
                [sys.executable, option, script.replace("http://127.0.0.1:8000", url)],
                env={**os.environ, "OBS_ADMIN_TOKEN": TOKEN, "http_proxy": "http://127.0.0.1:1"},
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert client.get(ready).status_code == 503
            assert client.get("/ops/drain").json()["state"] == "draining"
