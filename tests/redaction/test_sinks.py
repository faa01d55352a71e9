"""Every byte that leaves a process, and none of the secrets that came into it."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from divan_obs_asgi.testing import assert_no_secret
from tests.patience import PATIENCE_S
from tests.servers.otlp import OtlpReceiver

pytestmark = pytest.mark.slow

ADMIN = "an-admin-token-for-tests"
SECRETS = {
    "token": "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY",
    "e-mail address": "canary@mine.example",
    "card": "4111111111111111",
    "latitude": "52.520008",
    "longitude": "13.404954",
    "password": "p4ss-C4nary-w0rd",
    "session": "s3ss10n-C4nary-1d",
    "api key": "k3y-C4nary-v4lue",
    "owner": "owner.canary@mine.example",
}
TEXT = "{token} of {e-mail address} with {card} at {latitude}, {longitude}".format_map(SECRETS)
BASIC = base64.b64encode(f"ada:{SECRETS['password']}".encode()).decode()
HEADERS = {
    "Authorization": f"Basic {BASIC}",
    "Cookie": f"sessionid={SECRETS['session']}; theme=dark",
    "X-Api-Key": SECRETS["api key"],
    "User-Agent": f"canary/1 (+{SECRETS['e-mail address']})",
    "X-Forwarded-For": "192.0.2.7",
    "Referer": f"https://ada:{SECRETS['password']}@mine.example/?token={SECRETS['token']}",
}
BODY = {
    "password": SECRETS["password"],
    "email": SECRETS["e-mail address"],
    "text": TEXT,
    "nested": [{"lat": float(SECRETS["latitude"]), "lon": float(SECRETS["longitude"])}, json.dumps({"note": TEXT})],
    "card": SECRETS["card"],
}
QUERY = {
    "lat": SECRETS["latitude"],
    "lon": SECRETS["longitude"],
    "access_token": SECRETS["token"],
    "email": SECRETS["e-mail address"],
    "q": f"{SECRETS['token']} {SECRETS['e-mail address']}",
}


def test_no_secret_leaves_the_process(tmp_path: Path, otlp_receiver: OtlpReceiver) -> None:
    """
    A served application sends its input to every sink: log, spans, series, health responses, the bodies
    of its failures. What a client, a collector, a scraper and a reader of the log get holds none of the secrets.
    """
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OBS_", "OTEL_", "LOG_"))},
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]),
        "OBS_TRACING_ENABLED": "true",
        "OBS_REDACT_ERROR_BODIES": "true",
        "OBS_ADMIN_TOKEN": ADMIN,
        # The probes report their last input.
        "HEALTH_INTERVAL_S": "0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint.replace("http://", "grpc://"),
        "OTEL_RESOURCE_ATTRIBUTES": f"owner={SECRETS['owner']}",
    }
    log, errors = tmp_path / "out.log", tmp_path / "err.log"
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        log.open("wb") as out,
        errors.open("wb") as err,
        subprocess.Popen(
            [sys.executable, "-m", "tests.redaction.served", str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env=environ,
            stdout=out,
            stderr=err,
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            listener.close()  # The process has it now; if the process ends, it is closed.
            answers = talk(url)
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
        finally:
            process.kill()
    exported = [resource.SerializeToString() for resource in otlp_receiver.resource_spans()]
    names = {span.name for span in otlp_receiver.spans()}
    logged = [json.loads(line) for line in log.read_bytes().splitlines()]

    # Something did come out everywhere.
    assert [answers[then].status_code for then in ("raise", "json", "text")] == [500, 500, 500]
    assert "POST /send/{what}" in names or "POST /send/{what:path}" in names
    assert any(name.startswith("child /send/") for name in names)
    messages = " ".join(line["msg"] for line in logged)
    assert all(word in messages for word in ("redacted", "args", "extra", "stack", "caught"))
    # The exception is logged once: by the access line, and not again by the server.
    assert "Exception in ASGI" not in messages
    assert [line["route"] for line in logged if "error" in line and line["logger"] == "divan_obs_asgi.access"]
    assert {line["status"] for line in logged} >= {404, 500, None}
    assert "divan_calls_total{caller=" in answers["metrics"].text
    assert 'divan_redactions_total{rule="email",sink="' in answers["metrics"].text
    assert answers["ready"].json()["checks"]["chatty"]["headers"]
    assert (
        answers["startup"].json()["checks"]["redaction"] == {"ok": True, "latency_ms": 0}
        or answers["startup"].json()["checks"]["redaction"]["ok"]
    )
    assert isinstance(answers["json"].json()["redacted"]["payload"], dict)

    sinks = {
        "log": log.read_bytes(),
        "standard error": errors.read_bytes(),
        "spans": exported,
        **{
            f"answer to {name}": [answer.content, *map(str, answer.headers.items())] for name, answer in answers.items()
        },
    }
    for name, captured in sinks.items():
        try:
            assert_no_secret(captured, SECRETS)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def talk(url: str) -> dict[str, httpx.Response]:
    """Send the secrets in every part of a request, and then look at what an operator sees."""
    path = quote(f"{SECRETS['e-mail address']}/{SECRETS['token']}/{SECRETS['latitude']},{SECRETS['longitude']}")

    def ask(method: str, target: str, **more: Any) -> httpx.Response:
        # A connection each: uvicorn closes it after an exception.
        return httpx.request(method, url + target, timeout=PATIENCE_S, **more)

    answers = {
        then: ask("POST", f"/send/{path}", params={**QUERY, "then": then}, headers=HEADERS, json=BODY)
        for then in ("raise", "json", "text")
    }
    answers["nowhere"] = ask("GET", f"/nowhere/{path}", params=QUERY, headers=HEADERS)
    for name in ("live", "ready", "startup"):
        answers[name] = ask("GET", f"/health/{name}")
    answers["metrics"] = ask("GET", "/metrics", headers={"Authorization": f"Bearer {ADMIN}"})
    return answers


def test_the_test_would_find_a_leak() -> None:
    """What was sent holds each of the secrets."""
    sent = [TEXT, HEADERS, BODY, QUERY]
    for label, secret in SECRETS.items():
        if label != "owner":
            with pytest.raises(AssertionError, match=label):
                assert_no_secret(sent, {label: secret})
