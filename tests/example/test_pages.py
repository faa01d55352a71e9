"""The page of the reference backend, as it is served; test_browser.py opens it."""

from __future__ import annotations

import re

import pytest

from examples.divan.__main__ import demo_environment
from tests.example.service import ADMIN, running

MEASURING = {
    "OBS_VITALS_ENABLED": "true",
    "OBS_VITALS_ORIGINS": "http://t",
    "OBS_VITALS_ROUTES": "/,/vitals,/a&b",
}


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/vitals"])
@pytest.mark.parametrize("prefix", ["", "/internal"])
async def test_whatever_the_page_links_to_is_there(embedded: dict[str, str], path: str, prefix: str) -> None:
    """Under a policy that allows no inline script or style; what operators may see answers with their token."""
    async with running({**embedded, **MEASURING, "OBS_OPS_PREFIX": prefix}) as divan:
        answer = await divan.get(path)
        assert (answer.status_code, answer.headers["content-security-policy"]) == (200, "default-src 'self'")
        links = set(re.findall(r'(?:href|src)="([^"]*)"', answer.text))
        codes = {link: (await divan.get(link)).status_code for link in links}
        opened = {link: (await divan.get(link, headers=ADMIN)).status_code for link in links}
    health = {f"{prefix}/health/{group}" for group in ("live", "ready", "startup")}
    guarded = {f"{prefix}/metrics", f"{prefix}/ops"}
    assert health | guarded | {"/", "/vitals", "/docs", "/page/vitals.js"} <= links
    assert {link for link, code in codes.items() if code != 200} == guarded
    assert set(opened.values()) == {200}
    assert f'data-enabled="true" data-endpoint="{prefix}/ops/ingest" data-routes="/,/vitals,/a&amp;b"' in answer.text
    assert not re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son[a-z]+=|javascript:", answer.text)


@pytest.mark.anyio
async def test_the_page_measures_only_where_the_service_takes_it(embedded: dict[str, str]) -> None:
    """The flag is the service's own."""
    async with running(embedded) as divan:
        assert 'data-enabled="false"' in (await divan.get("/")).text


@pytest.mark.parametrize(
    ("env", "enabled"), [("", "true"), ("dev", "true"), ("staging", "false"), ("prod", "false"), ("review-7", "false")]
)
def test_make_run_takes_vitals_for_a_first_try(env: str, enabled: str) -> None:
    """Of pages on this machine; where it runs as anything else, only if somebody says so."""
    made = demo_environment({"OBS_ENV": env, "PORT": "8123"})
    assert made["OBS_VITALS_ENABLED"] == enabled
    assert made["OBS_VITALS_ORIGINS"] == "http://127.0.0.1:8123,http://localhost:8123,http://[::1]:8123"
    assert "OBS_VITALS_ENABLED" not in demo_environment({"OBS_VITALS_ENABLED": "false"})
