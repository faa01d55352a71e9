"""HttpProbe, TcpProbe and S3Probe over real sockets. The request goes to the given host only."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.probes import HttpProbe, S3Probe, TcpProbe
from divan_obs_asgi.probes.http import _first_status
from tests.probes.leftovers import Open
from tests.probes.listening import hangs, listening, says
from tests.servers.process import free_port, program
from tests.stacks import BACKENDS, Observed, run_on

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def url_of(port: int, path: str = "/healthz?deep=1") -> str:
    return f"http://127.0.0.1:{port}{path}"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_url_that_answers_passes(backend: str) -> None:
    """The request is as configured, and the connection is closed."""
    with listening(says(OK)) as server:
        probe = HttpProbe(url_of(server.port), name="search", headers={"authorization": "Bearer hunter2"})
        assert run_on(backend, probe.check) == {}
    assert server.received == [
        b"GET /healthz?deep=1 HTTP/1.1\r\n"
        + f"host: 127.0.0.1:{server.port}\r\n".encode()
        + b"user-agent: divan-obs\r\naccept: */*\r\nauthorization: Bearer hunter2\r\nconnection: close\r\n\r\n"
    ]


def test_each_header_is_sent_once() -> None:
    """In any case of letters: servers refuse a request with two `host` headers."""
    headers = {"Host": "search.internal", "ACCEPT": "text/plain", "Connection": "keep-alive", "User-Agent": "we"}
    with listening(says(OK)) as server:
        anyio.run(HttpProbe(url_of(server.port, "/"), name="search", method="POST", headers=headers).check)
    assert server.received == [
        b"POST / HTTP/1.1\r\nhost: search.internal\r\nuser-agent: we\r\naccept: text/plain\r\n"
        b"connection: close\r\ncontent-length: 0\r\n\r\n"
    ]


@pytest.mark.parametrize(
    ("answer", "reason", "details"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "error", {"status": 503}),
        (b"HTTP/1.1 404\r\n\r\n", "error", {"status": 404}),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "auth", {"status": 401}),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", "auth", {"status": 403}),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "error", {}),
        (b"HTTP/1.1 999 What\r\n\r\n", "error", {}),
        (b"x" * 100_000, "error", {}),
        (b"", "refused", {}),
        (b"HTTP/1.1 2", "refused", {}),
    ],
)
def test_each_kind_of_failure_has_its_reason(answer: bytes, reason: str, details: dict[str, object]) -> None:
    """A wrong status, wrong credentials, a response that is not HTTP, a connection that closes early."""
    with listening(says(answer)) as server, pytest.raises(obs.ProbeFailed, match=f"^{reason}$") as failure:
        anyio.run(HttpProbe(url_of(server.port), name="search").check)
    assert failure.value.details == details


def test_a_response_may_come_in_pieces_and_after_interim_responses() -> None:
    """103 Early Hints first, and every byte in its own packet."""

    def dribbles(stream: Any) -> None:
        for byte in b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK:
            stream.sendall(bytes([byte]))

    with listening(dribbles) as server:
        assert anyio.run(HttpProbe(url_of(server.port), name="search").check) == {}


class Pieces:
    """A connection on which an answer comes in pieces, and then ends."""

    def __init__(self, answer: bytes, lengths: list[int]) -> None:
        self._left = answer
        self._lengths = lengths

    async def receive(self, max_bytes: int) -> bytes:
        length = min(self._lengths.pop() if self._lengths else max_bytes, max_bytes)
        piece, self._left = self._left[:length], self._left[length:]
        if not piece:
            raise anyio.EndOfStream
        return piece


heads = st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103\r\nlink: </HTTP/1.1 500>\r\n\r\n"])


@given(st.lists(heads, max_size=3), st.integers(200, 599), st.lists(st.integers(1, 40), max_size=30))
def test_the_status_is_read_wherever_the_response_is_cut(before: list[bytes], status: int, lengths: list[int]) -> None:
    """The first final status counts."""
    stream: Any = Pieces(b"".join(before) + f"HTTP/1.1 {status} Why\r\nx: y\r\n\r\n".encode(), lengths)
    assert anyio.run(_first_status, stream) == status


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=30))
def test_any_response_has_a_defined_outcome(answer: bytes, lengths: list[int]) -> None:
    """A status, "not HTTP", or an early end; never an exception of the probe's own."""
    stream: Any = Pieces(answer, lengths)
    with contextlib.suppress(obs.ProbeFailed, anyio.EndOfStream):
        assert 200 <= anyio.run(_first_status, stream) < 600


def test_a_redirect_is_not_followed() -> None:
    """The token in the headers is for the configured host only."""
    with listening(says(OK)) as elsewhere:
        moved = f"HTTP/1.1 302 Found\r\nlocation: {url_of(elsewhere.port)}\r\n\r\n".encode()
        with listening(says(moved)) as server:
            probe = HttpProbe(url_of(server.port), name="search", headers={"authorization": "Bearer hunter2"})
            with pytest.raises(obs.ProbeFailed, match=r"^error$") as failure:
                anyio.run(probe.check)
            assert failure.value.details == {"status": 302}
            assert anyio.run(HttpProbe(url_of(server.port), name="search", accept={200, 302}).check) == {}
    assert elsewhere.received == []


def test_a_closed_port_is_refused() -> None:
    """By HttpProbe, TcpProbe and S3Probe."""
    port = free_port()
    for probe in (HttpProbe(url_of(port), name="search"), TcpProbe("127.0.0.1", port, name="smtp")):
        with pytest.raises(obs.ProbeFailed, match=r"^refused$"):
            anyio.run(probe.check)


def test_a_url_that_hangs_is_a_timeout_and_leaves_nothing_behind() -> None:
    """Thirty checks leave no task and no socket."""
    observed = Observed()

    async def check() -> None:
        before = Open.now()
        for _ in range(30):
            report = await observed.obs.probes.ask("ready")
            assert report.checks["search"]["reason"] == "timeout"
        # The listener's sockets belong to this process too, and close a moment later.
        await before.until_no_more()

    with listening(hangs) as server:
        observed.obs.probes.register(HttpProbe(url_of(server.port), name="search", timeout=0.02))
        anyio.run(check)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost` that signs itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    openssl = program("openssl", package="openssl")
    wanted = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command = [
        openssl,
        "req",
        *wanted.split(),
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(path),
        "-out",
        "-",
    ]
    made = subprocess.run(command, capture_output=True, check=True).stdout
    path.write_bytes(path.read_bytes() + made)
    return path


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_certificate_must_be_trusted(certificate: Path, backend: str) -> None:
    """By the system's certificates, or by the context that is given."""
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(certificate)
    trusts = ssl.create_default_context(cafile=str(certificate))
    with listening(says(OK), serves) as server:
        url = f"https://localhost:{server.port}/"
        assert run_on(backend, HttpProbe(url, name="search", tls=trusts).check) == {}
        for stranger in (
            HttpProbe(url, name="search"),
            HttpProbe(url.replace("localhost", "127.0.0.1"), name="ip", tls=trusts),
        ):
            with pytest.raises(obs.ProbeFailed, match=r"^error$"):
                run_on(backend, stranger.check)
    assert len(server.received) == 1  # A server with an untrusted certificate receives no request.


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_port_that_listens_passes(backend: str) -> None:
    """Nothing is sent."""
    with listening(hangs) as server:
        assert run_on(backend, TcpProbe("127.0.0.1", server.port, name="smtp").check) == {}


def test_an_unknown_host_is_refused() -> None:
    """`.invalid` never resolves (RFC 2606)."""
    with pytest.raises(obs.ProbeFailed, match=r"^refused$"):
        anyio.run(TcpProbe("db.invalid", 5432, name="db").check)


@pytest.mark.parametrize("status", [b"200 OK", b"403 Forbidden", b"404 Not Found", b"301 Moved"])
def test_an_object_store_that_refuses_the_request_passes(status: bytes) -> None:
    """The request has no credentials; a refusal shows that the store works."""
    with listening(says(b"HTTP/1.1 " + status + b"\r\n\r\n")) as server:
        assert anyio.run(S3Probe(url_of(server.port, "/bucket")).check) == {}
    assert server.received[0].startswith(b"HEAD /bucket HTTP/1.1\r\n")
    assert b"authorization" not in server.received[0]


def test_an_overloaded_object_store_fails() -> None:
    """S3 answers 503 Slow Down."""
    slow_down = says(b"HTTP/1.1 503 Slow Down\r\n\r\n")
    with listening(slow_down) as server, pytest.raises(obs.ProbeFailed, match=r"^error$"):
        anyio.run(S3Probe(url_of(server.port)).check)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"url": "ftp://h/"}, r"The URL of a probe is invalid; expected http:// or https://\."),
        ({"url": "http://h:port/"}, r"The URL of a probe is invalid; expected http:// or https://\."),
        ({"url": "http:///x"}, r"The URL of a probe has no host, or a character that must be escaped\."),
        ({"url": "http://h/a b"}, r"The URL of a probe has no host, or a character that must be escaped\."),
        ({"url": "http://h/\r\nx: y"}, r"The URL of a probe has no host, or a character that must be escaped\."),
        ({"url": "http://me:hunter2@h/"}, r"The URL of a probe has a user; send headers=.* instead\."),
        ({"headers": {"x": "a\r\nb: c"}}, r"A probe cannot send the header 'x': its name or value is invalid\."),
        ({"headers": {"x y": "a"}}, r"A probe cannot send the header 'x y': its name or value is invalid\."),
        ({"method": "GET /"}, r"A probe cannot send 'GET /'; expected a method like GET\."),
    ],
)
def test_an_invalid_request_is_a_start_up_error(arguments: dict[str, Any], expected: str) -> None:
    """A header cannot add a second request, and the message does not contain a password."""
    with pytest.raises(obs.ImproperlyConfigured, match=f"^{expected}$") as error:
        HttpProbe(**{"url": "http://h/", "name": "search", **arguments})
    assert "hunter2" not in str(error.value)
