"""Who may use the guarded endpoints, as the holders of tokens and strangers see it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import anyio
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.ops import guard
from divan_obs_asgi.ops import rate_limit as failures
from divan_obs_asgi.ops.audit import MAX_ANONYMOUS
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.rate_limit import RateLimit
from divan_obs_asgi.ops.responses import RequestRefused
from divan_obs_asgi.settings import OpsSettings
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Scope
from tests.logs.root_logger import root_logger_kept
from tests.ops.asking import application, ask, bearer, detail, messages
from tests.stacks import BACKENDS, Observed

NEW, OLD = "the-token-of-today", "the-token-of-yesterday"


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    with root_logger_kept():
        yield
    logging.getLogger("tests.ops.guard").setLevel(logging.NOTSET)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_two_tokens_are_valid_while_clients_change_over() -> None:
    """The old one goes when its flag goes; another one is never valid."""
    rotating = Observed({"OBS_ADMIN_TOKEN": NEW, "OBS_ADMIN_TOKEN_PREVIOUS": OLD})
    rotated = Observed({"OBS_ADMIN_TOKEN": NEW})
    assert [ask(rotating, "/metrics", bearer(token)).status for token in (NEW, OLD, "another")] == [200, 200, 401]
    assert [ask(rotated, "/metrics", bearer(token)).status for token in (NEW, OLD)] == [200, 401]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/metrics", "/ops", "/ops/config", "/health/ready/redis"])
@pytest.mark.parametrize("headers", [[], [bearer("wrong")], [bearer("")], [(b"authorization", b"Basic b3A6b3A=")]])
def test_401_is_for_whom_a_token_would_help(path: str, method: str, headers: list[tuple[bytes, bytes]]) -> None:
    """With the challenge that RFC 9110 (section 15.5.2) wants; where no token would help it is 403, without one."""
    for environ, status in (({"OBS_ADMIN_TOKEN": NEW}, 401), ({}, 403), ({"OBS_ADMIN_TOKEN": " "}, 403)):
        done = ask(Observed(environ), path, *headers, method=method)
        challenge = [b'Bearer realm="ops"'] if status == 401 else []
        assert (done.status, done.header(b"www-authenticate")) == (status, challenge)


@pytest.mark.parametrize("environ", [{}, {"OBS_ENV": "prod"}, {"OBS_METRICS_PUBLIC": "true"}])
def test_without_a_token_nothing_is_changed(environ: dict[str, str]) -> None:
    """Also in development, also where metrics are public; the answer names the flag."""
    done = ask(Observed(environ), "/ops/loggers", bearer(""), method="POST", body=b'{"logger":"a","level":"DEBUG"}')
    assert detail(done) == (403, "OBS_ADMIN_TOKEN is not set: set it, and send it as 'Authorization: Bearer'.")


@pytest.mark.parametrize("tokens", [{"admin_token": ""}, {"admin_token": NEW, "admin_token_previous": ""}], ids=str)
@pytest.mark.parametrize("credentials", [b"Bearer", b"Bearer ", b"bearer   ", b"Bearer \t", b""])
def test_an_empty_token_opens_nothing(tokens: dict[str, str], credentials: bytes) -> None:
    """Code that hands over an empty variable has set none, and `Bearer` alone does not carry it."""
    door = Guard(obs.Settings(ops=OpsSettings(**tokens)), Observed().obs.faults)  # type: ignore[arg-type]
    assert status(door, (b"authorization", credentials)) == (401 if tokens["admin_token"] else 403)


@pytest.mark.parametrize("token", ["schlüssel-ключ", "two words", "a:b=c/d+e~"])
def test_a_token_of_any_letters_is_one(token: str) -> None:
    """As the bytes that the environment had; another spelling of them, or of `Bearer`, changes nothing."""
    door = Guard(obs.Settings.from_env({"OBS_ADMIN_TOKEN": token}), Observed().obs.faults)
    assert status(door, (b"authorization", b"bEARER  " + token.encode())) == 200
    assert status(door, (b"authorization", b"Bearer " + token.encode() + b"\xff")) == 401
    assert status(door, (b"authorization", b"Bearer " + token.encode("utf-16"))) == 401


def test_what_is_public_is_what_can_only_be_read() -> None:
    """`OBS_METRICS_PUBLIC` opens the GETs below /ops with /metrics, and no POST."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true", "OBS_ADMIN_TOKEN": NEW})
    assert ask(observed, "/ops/loggers").status == 200
    assert ask(observed, "/ops/loggers", method="POST", body=b'{"logger":"a","level":"DEBUG"}').status == 401


def guarding(clock: Clock, most: int = 3, authorize: Any = None) -> Guard:
    settings = obs.Settings(ops=OpsSettings(admin_token=NEW, max_failures=most))
    return Guard(settings, Observed().obs.faults, authorize, clock)


def status(guard: Guard, *headers: tuple[bytes, bytes], client: str = "192.0.2.7") -> int:
    """Return the status with which a request is refused, or 200."""
    scope = {**http_scope("/metrics", headers=headers), "client": (client, 1)}
    try:
        anyio.run(lambda: guard.admit(scope, "/metrics", changes=False))
    except RequestRefused as refused:
        return refused.status
    return 200


def test_who_guesses_has_to_wait() -> None:
    """After so many wrong tokens in a minute the address gets 429 for further ones; when it is over, 401 again."""
    clock = Clock()
    door = guarding(clock)
    assert [status(door, bearer(f"guess {number}")) for number in range(5)] == [401, 401, 401, 429, 429]
    clock.now += failures.WINDOW_S - 0.1
    assert status(door, bearer("guess")) == 429
    clock.now += 0.1
    assert [status(door, bearer("guess")) for _ in range(4)] == [401, 401, 401, 429]


def test_the_right_token_always_passes() -> None:
    """Behind an ingress all clients have one address: whoever guesses there does not lock the scraper out."""
    settings = obs.Settings(ops=OpsSettings(admin_token=NEW, admin_token_previous=OLD, max_failures=3))
    door = Guard(settings, Observed().obs.faults, None, Clock())
    assert [status(door, bearer("guess")) for _ in range(100)] == [401] * 3 + [429] * 97
    assert [status(door, bearer(token)) for token in (NEW, OLD, "guess", NEW)] == [200, 200, 429, 200]


NO_TOKENS: dict[str, list[tuple[bytes, bytes]]] = {
    "none": [],
    "basic": [(b"authorization", b"Basic dXNlcjpwYXNzd29yZA==")],
    "the token under another scheme": [(b"authorization", f"Token {NEW}".encode())],
    "the token alone": [(b"authorization", NEW.encode())],
    "the right one twice": [bearer(NEW), bearer(NEW)],
    "a wrong one beside the right one": [bearer("guess"), bearer(NEW)],
    "nothing after the scheme": [(b"authorization", b"Bearer ")],
    "no text": [(b"authorization", b"\xff\x00\xfe")],
    "empty": [(b"authorization", b"")],
}


@pytest.mark.parametrize("headers", NO_TOKENS.values(), ids=list(NO_TOKENS))
def test_what_is_no_bearer_token_counts_against_nobody(headers: list[tuple[bytes, bytes]]) -> None:
    """It is refused each time, and is neither a guess nor a line of the audit log."""
    door = guarding(Clock(), most=1)
    assert {status(door, *headers) for _ in range(20)} == {401}
    assert [status(door, bearer("guess")), status(door, bearer("guess"))] == [401, 429]


@pytest.mark.parametrize("length", [1025, 60_000])
def test_a_token_of_any_length_is_right_where_it_is_ours(length: int) -> None:
    """And wrong where it is not."""
    long = "aB3" * length
    door = Guard(obs.Settings(ops=OpsSettings(admin_token=long, max_failures=1)), Observed().obs.faults)
    assert [status(door, bearer(token)) for token in (long, long[:-1], f"{long}x", long)] == [200, 401, 429, 200]


@pytest.mark.parametrize("path", ["/metrics", "/ops/loggers", "/ops/there-is-none", "/health/ready?verbose"])
def test_no_endpoint_locks_another_one(path: str) -> None:
    """Wrong tokens are counted wherever they are sent; the right one passes everywhere."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW, "OBS_OPS_MAX_FAILURES": "2"})
    stack = obs.build_stack(application, observed.obs)
    path, _, query = path.partition("?")
    scope = {**http_scope(path, headers=[bearer("guess")]), "query_string": query.encode()}
    for _ in range(5):
        anyio.run(converse, stack, dict(scope))
    scrape = [anyio.run(converse, stack, http_scope("/metrics", headers=[bearer(token)])) for token in ("guess", NEW)]
    assert [done.status for done in scrape] == [429, 200]


def test_the_answer_says_how_long() -> None:
    """In whole seconds, rounded up (RFC 9110, section 10.2.3)."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW, "OBS_OPS_MAX_FAILURES": "1"})
    stack = obs.build_stack(application, observed.obs)
    scopes = [http_scope("/metrics", headers=[bearer("wrong")]) for _ in range(2)]
    _, done = [anyio.run(converse, stack, scope) for scope in scopes]
    assert detail(done) == (429, "Too many wrong tokens from this address; wait.")
    (seconds,) = done.header(b"retry-after")
    assert 55 <= int(seconds) <= 60


def test_success_does_not_make_up_for_failures() -> None:
    """Otherwise whoever has an account of any kind could reset the count of guesses at another one."""
    door = guarding(Clock(), most=2)
    assert [status(door, bearer(token)) for token in ("a", NEW, "b", NEW, "c")] == [401, 200, 401, 200, 429]


def test_a_client_with_ipv6_has_one_address() -> None:
    """It may choose among the addresses of a /64; one of IPv4 in IPv6's clothes is that of IPv4."""
    door = guarding(Clock(), most=1)
    assert status(door, bearer("a"), client="2001:db8::1") == 401
    assert status(door, bearer("b"), client="2001:db8::2") == 429
    assert status(door, bearer("c"), client="2001:db8:0:1::1") == 401
    assert status(door, bearer("d"), client="192.0.2.1") == 401
    assert status(door, bearer("e"), client="::ffff:192.0.2.1") == 429


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has more addresses than that fills nobody's memory."""
    monkeypatch.setattr(failures, "MAX_ADDRESSES", 10)
    remembered = RateLimit(2, Clock())
    for number in range(1000):
        for _ in range(3):
            remembered.add(f"address {number}")
    assert len(remembered) == 10
    assert [remembered.wait_s(f"address {number}") for number in (0, 989, 990, 999)] == [0.0, 0.0, 60.0, 60.0]


@pytest.mark.parametrize(
    ("client", "allowed"),
    [
        (("10.1.2.3", 1), True),
        (("::ffff:10.1.2.3", 1), True),
        (("fd00::7", 1), True),
        (("fe80::1%eth0", 1), True),
        (("192.0.2.7", 1), False),
        (("11.0.0.1", 1), False),
        (("2001:db8::1", 1), False),
        (("unix", 1), False),
        (None, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("environ", [{"OBS_ADMIN_TOKEN": NEW}, {"OBS_METRICS_PUBLIC": "true"}])
def test_only_allowed_networks_are_answered(client: object, allowed: bool, environ: dict[str, str]) -> None:
    """With the right token, and where metrics are public; health is for everybody."""
    observed = Observed({**environ, "OBS_OPS_NETWORKS": "10.0.0.0/8, fd00::/8, fe80::/10"})
    done = ask(observed, "/metrics", bearer(NEW), client=client)
    assert done.status == (200 if allowed else 403)
    assert allowed or detail(done)[1] == "This address is not in OBS_OPS_NETWORKS."
    assert ask(observed, "/health/live", client=client).status == 200


def test_what_a_client_says_of_its_address_counts_for_nothing() -> None:
    """Whoever could choose it would be in every network, and never at its last guess."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW, "OBS_OPS_NETWORKS": "10.0.0.0/8"})
    said = [(name, b"10.1.2.3") for name in (b"x-forwarded-for", b"x-real-ip", b"client-ip")]
    assert ask(observed, "/metrics", bearer(NEW), *said, (b"forwarded", b"for=10.1.2.3")).status == 403


def allows(scope: Scope) -> bool:
    return True


async def allows_later(scope: Scope) -> bool:
    await anyio.lowlevel.checkpoint()
    return True


async def forbids_later(scope: Scope) -> bool:
    return False


def takes_part(scope: Scope) -> Any:
    return "yes"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("authorize", "allowed"),
    [(allows, True), (allows_later, True), (lambda scope: False, False), (forbids_later, False), (takes_part, False)],
)
def test_the_application_has_a_say(authorize: Callable[[Scope], Any], allowed: bool, backend: str) -> None:
    """A function of its own can refuse; anything but True is a refusal."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW}, authorize=authorize)
    done = ask(observed, "/metrics", bearer(NEW), backend=backend)
    assert done.status == (200 if allowed else 403)
    assert allowed or detail(done)[1] == "The application does not allow it."


def test_the_application_lets_nobody_in() -> None:
    """Its function is asked after the token, and not in its place."""
    asked: list[str] = []

    def authorize(scope: Scope) -> bool:
        asked.append(scope["path"])
        scope["headers"].clear()
        return True

    observed = Observed({"OBS_ADMIN_TOKEN": NEW}, authorize=authorize)
    assert [ask(observed, "/metrics", *headers).status for headers in ([], [bearer("x")], [bearer(NEW)])] == [
        401,
        401,
        200,
    ]
    assert asked == ["/metrics"]
    assert ask(Observed({}, authorize=authorize), "/metrics").status == 403


async def hangs(scope: Scope) -> bool:
    await anyio.sleep_forever()
    return True


def breaks(scope: Scope) -> Awaitable[bool]:
    raise RuntimeError("on purpose, with a-secret-in-it")


@pytest.mark.parametrize("authorize", [hangs, breaks])
def test_a_broken_function_is_a_refusal_and_a_fault(authorize: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gets in because something is down, and those who run the service are told."""
    monkeypatch.setattr(guard, "AUTHORIZE_TIMEOUT_S", 0.02)
    observed = Observed({"OBS_ADMIN_TOKEN": NEW}, authorize=authorize)
    observed.obs.log.install()
    assert detail(ask(observed, "/metrics", bearer(NEW))) == (403, "The application does not allow it.")
    assert observed.value("divan_obs_errors_total", component="authorize") == 1
    assert not any("a-secret" in str(line) for line in observed.lines())


def audited(observed: Observed) -> Sequence[str]:
    return messages(observed, "divan_obs_asgi.audit")


WISH = b'{"logger":"tests.ops.guard","level":"DEBUG","ttl_s":1}'


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        ([bearer(NEW)], WISH, "200, for the holder of OBS_ADMIN_TOKEN"),
        ([bearer(OLD)], WISH, "200, for the holder of OBS_ADMIN_TOKEN_PREVIOUS"),
        ([bearer(NEW)], b"[]", "400, for the holder of OBS_ADMIN_TOKEN"),
        ([bearer("a wrong one")], WISH, "401, for a refused client"),
        ([], WISH, "401, for a refused client"),
    ],
)
def test_every_use_of_what_changes_something_is_told(
    headers: Sequence[tuple[bytes, bytes]], body: bytes, told: str
) -> None:
    """Who, what and how it went, once, whatever level and sampling say; and nothing of a token."""
    flags = {"OBS_ADMIN_TOKEN": NEW, "OBS_ADMIN_TOKEN_PREVIOUS": OLD, "LOG_LEVEL": "CRITICAL"}
    observed = Observed({**flags, "LOG_SAMPLING_RATE_INFO": "0", "LOG_SAMPLING_BUDGET": "1", "LOG_RECORDER_LINES": "0"})
    observed.obs.log.install()
    done = ask(observed, "/ops/loggers", *headers, method="POST", body=body)
    assert audited(observed) == [f"POST /ops/loggers: {told} at 192.0.2.7."]
    (line,) = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.audit"]
    assert line["request_id"].encode() == done.header(b"x-request-id")[0]
    everything = observed.stream.getvalue() + done.body
    assert not any(token.encode() in everything for token in (NEW, OLD, "a wrong one"))


def test_the_audit_log_is_not_switched_off() -> None:
    """Whoever has got the token cannot hide what it does; nor does the level of a logger above it."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW})
    observed.obs.log.install()
    for name, granted in (("divan_obs_asgi.audit", False), ("divan_obs_asgi", True), ("root", True)):
        body = orjson.dumps({"logger": name, "level": "CRITICAL", "ttl_s": 60})
        assert ask(observed, "/ops/loggers", bearer(NEW), method="POST", body=body).status == (200 if granted else 422)
    assert len(audited(observed)) == 3
    for name in ("divan_obs_asgi", "root"):
        observed.obs.log.levels.reset(name)


def test_a_configuration_that_does_not_know_the_audit_log_leaves_it_on() -> None:
    """`logging.config` disables every logger that is there already and not named, as Alembic's `env.py` has it do."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW})
    observed.obs.log.install()
    audit = logging.getLogger("divan_obs_asgi.audit")
    audit.disabled = True
    ask(observed, "/ops/loggers", bearer(NEW), method="POST", body=WISH)
    assert len(audited(observed)) == 1


def test_reading_is_no_use_of_what_changes_something() -> None:
    """A scrape every 15 seconds is no news."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW})
    observed.obs.log.install()
    ask(observed, "/ops/loggers", bearer(NEW))
    assert audited(observed) == []


def test_a_use_that_fails_is_told_too() -> None:
    """What an endpoint raised is in the line of its request; the audit log says that it was used."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW})
    observed.obs.log.install()

    def broken(*arguments: object) -> None:
        raise RuntimeError("on purpose")

    observed.obs.log.levels.set = broken  # type: ignore[assignment, method-assign]
    scope = http_scope("/ops/loggers", method="POST", headers=[bearer(NEW)])
    body = {"type": "http.request", "body": WISH, "more_body": False}
    done = anyio.run(converse, obs.build_stack(application, observed.obs), scope, [body])
    assert (done.status, type(done.error)) == (500, RuntimeError)
    assert audited(observed) == ["POST /ops/loggers: failed, for the holder of OBS_ADMIN_TOKEN at 192.0.2.7."]


@pytest.mark.parametrize("path", ["/metrics", "/ops/tasks", "/ops/there-is-none", "/health/ready?verbose"])
def test_a_wrong_token_is_told_wherever_it_is_sent(path: str) -> None:
    """Somebody guesses, or has an old one; the path is the template, and nothing of the token is in the line."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW})
    observed.obs.log.install()
    path, _, query = path.partition("?")
    stack = obs.build_stack(application, observed.obs)
    scope = {**http_scope(path, headers=[bearer("guess-of-today")]), "query_string": query.encode()}
    anyio.run(converse, stack, scope)
    told = path.replace("there-is-none", "{unknown}")
    assert audited(observed) == [f"GET {told}: 401, for a refused client at 192.0.2.7."]
    assert b"guess-of-today" not in observed.stream.getvalue()


def test_refusals_are_told_up_to_so_many_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can cause them: the rest of a minute is one line with their number, after it or at the end."""
    clock = Clock()
    door = guarding(clock)

    def guess(times: int) -> list[str]:
        caplog.clear()
        for number in range(times):
            status(door, bearer("guess"), client=f"192.0.{number % 250}.7")
        return [record.getMessage() for record in caplog.records if record.name == "divan_obs_asgi.audit"]

    assert len(guess(MAX_ANONYMOUS + 100)) == MAX_ANONYMOUS
    clock.now += failures.WINDOW_S
    first, *others = guess(2)
    assert first == "100 more requests within a minute have no lines: they were refused, or needed no token."
    assert len(others) == 2
    assert len(guess(MAX_ANONYMOUS)) == MAX_ANONYMOUS - 2
    caplog.clear()
    anyio.run(_end_at_once, door)
    assert [record.getMessage() for record in caplog.records] == [
        "2 more requests within a minute have no lines: they were refused, or needed no token."
    ]


async def _end_at_once(door: Guard) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.audit.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


def test_uses_are_told_however_many_were_refused() -> None:
    """Strangers do not push the holders of tokens out of the audit log."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW})
    observed.obs.log.install()
    stack = obs.build_stack(application, observed.obs)
    body = {"type": "http.request", "body": WISH, "more_body": False}
    tokens = ["guess"] * (MAX_ANONYMOUS + 5) + [NEW]
    for token in tokens:
        anyio.run(converse, stack, http_scope("/ops/loggers", method="POST", headers=[bearer(token)]), [body])
    assert audited(observed)[MAX_ANONYMOUS:] == [
        "POST /ops/loggers: 200, for the holder of OBS_ADMIN_TOKEN at 192.0.2.7."
    ]


def test_an_invented_method_is_not_in_the_audit_log() -> None:
    """Nothing that a client chooses but its address is."""
    observed = Observed({"OBS_ADMIN_TOKEN": NEW})
    observed.obs.log.install()
    ask(observed, "/ops/there-is-none", bearer("guess"), method="FORGED")
    assert audited(observed) == ["(other) /ops/{unknown}: 401, for a refused client at 192.0.2.7."]
