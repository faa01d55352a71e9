"""Credentials with neutral names, in queries."""

from __future__ import annotations

import pytest

from divan_obs_asgi import RedactionPolicy

POLICY = RedactionPolicy()
SECRET = "h4nterXyz29qLm"


@pytest.mark.parametrize(
    "text",
    [
        "GET /ws?ticket={} HTTP/1.1",
        '"GET /cb?code={}&state=abc12345 HTTP/1.1" 302',
        "https://a.example/cb?state=abc12345&code={}",
        "https://a.example/data?appid={}",
        "/data/2.5/weather?q=Mainz&appid={}",
        "https://a.example/js?key={}&v=3",
        "https://a.example/c?sv=2022&sig={}&se=2026",
        "/f?X-Amz-Signature={}&X-Amz-Date=20260101T000000Z",
        "/f?X-Amz-Credential={}",
        "/f?X-Amz-Security-Token={}",
        "/a?access_token={}",
        "/a?tkn={}",
        "/a?next=%2Fb%3Fticket%3D{}%26c%3D1",
        "grant_type=authorization_code&code={}",
        "code={}&state=abc12345",
    ],
)
def test_a_credential_in_a_query_is_hidden(text: str) -> None:
    """In URLs, request lines, forms, and URLs inside of URLs."""
    redacted = POLICY.redact_text(text.format(SECRET))
    assert SECRET not in redacted
    assert POLICY.redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "key=room:7",
        "/x?key=room:7",
        "/x?key=name&order=asc",
        "/a?code=404",
        "/a?code=404&state=open",
        "code=E1234 returned",
        "/a?state=running&page=2",
        "/f?X-Amz-Date=20260101T000000Z&X-Amz-Expires=300",
        f"key={SECRET}",
        f"cache key={SECRET} evicted",
    ],
)
def test_the_same_names_mean_something_else_elsewhere(text: str) -> None:
    """Keys of caches, codes of errors, states of machines."""
    assert POLICY.redact_text(text) == text
