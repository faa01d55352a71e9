"""URLs that an HTTP client's exception quotes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from divan_obs_asgi import RedactionPolicy
from divan_obs_asgi.logs.errors import describe_error
from tests.servers.process import free_port

POLICY = RedactionPolicy()
SAID = "ada-lovelace"
PATH = f"/users/{SAID}/notes?q={SAID}#{SAID}"
HOST = "http://127.0.0.1"


def refused_by_urllib3() -> object:
    return urllib3.PoolManager(retries=0).request("GET", f"{HOST}:{free_port()}{PATH}", timeout=30)


def refused_by_requests() -> object:
    return requests.get(f"{HOST}:{free_port()}{PATH}", timeout=30)


def status_of_requests() -> None:
    response = requests.Response()
    response.status_code, response.reason, response.url = 404, "Not Found", HOST + PATH
    response.raise_for_status()


def status_of_httpx() -> object:
    return httpx.Response(404, request=httpx.Request("GET", HOST + PATH)).raise_for_status()


def status_of_aiohttp() -> None:
    headers = CIMultiDictProxy(CIMultiDict[str]())
    info = aiohttp.RequestInfo(URL(HOST + PATH), "GET", headers, URL(HOST + PATH))
    raise aiohttp.ClientResponseError(info, (), status=404, message="Not Found")


CALLS: list[Callable[[], Any]] = [
    refused_by_urllib3,
    refused_by_requests,
    status_of_requests,
    status_of_httpx,
    status_of_aiohttp,
]


@pytest.mark.parametrize("call", CALLS)
def test_an_exception_of_a_client_names_the_host_and_nothing_behind_it(call: Callable[[], Any]) -> None:
    """A path has ids and names in it as often as a query: lines of these libraries have neither."""
    with pytest.raises((urllib3.exceptions.HTTPError, OSError, httpx.HTTPError, aiohttp.ClientError)) as caught:
        call()
    error = caught.value
    result = [describe_error(error, POLICY)["traceback"], *map(POLICY.redact_text, (str(error), repr(error)))]
    assert SAID not in str(result)
    assert all("127.0.0.1" in text and "[redacted:url]" in text for text in result)
    assert list(map(POLICY.redact_text, result)) == result


@pytest.mark.parametrize(
    "text",
    [
        "waiting for urls '/health/ready'",
        "see https://docs.example.org/errors?code=42 for more",
        "GET /users/42/notes?page=2 in 3 ms",
        "for url 'https://api.example.org'",
        "for url: https://api.example.org/",
        "image url='/a.png'",
    ],
)
def test_other_urls_stay(text: str) -> None:
    """What an application writes of its own calls is its own choice."""
    assert POLICY.redact_text(text) == text
