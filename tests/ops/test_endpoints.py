"""The endpoints for those who run the service, as their clients see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import httpx
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

import divan_obs_asgi as obs
from divan_obs_asgi.metrics.catalogue import DOMAIN, FAMILIES
from divan_obs_asgi.middlewares import OpsMiddleware
from divan_obs_asgi.ops import build_ops_app
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.servers.asgi import serve
from tests.stacks import BACKENDS, Observed, run_on

TOKEN = "a-token-of-the-operators"
GUARDED = ("/metrics",)
HEALTH = ("/health/live", "/health/ready", "/health/startup")
BEARER = (b"authorization", f"Bearer {TOKEN}".encode())


class Dependency:
    """A probe that passes while its dependency is up."""

    timeout = 10.0
    critical = True

    def __init__(self, group: obs.probes.Group, name: str = "redis") -> None:
        self.name = name
        self.group = group
        self.up = True

    async def check(self) -> Mapping[str, object]:
        if not self.up:
            raise obs.ProbeFailed("refused")
        return {"version": "0008"}


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for an application that has no such path."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"the application"})


def ask(
    observed: Observed,
    path: str,
    *,
    method: str = "GET",
    headers: Sequence[tuple[bytes, bytes]] = (),
    root_path: str = "",
    backend: str = "asyncio",
) -> Conversation:
    """Ask an application behind the stack, as uvicorn would."""
    app = obs.build_stack(not_found, observed.obs, [OpsMiddleware])
    scope = http_scope(path, method=method, headers=headers)
    scope["root_path"] = root_path
    return run_on(backend, converse, app, scope)


def answered(done: Conversation) -> tuple[int | None, Any]:
    return done.status, orjson.loads(done.body)


@pytest.mark.parametrize("backend", BACKENDS)
def test_live_says_one_word(backend: str) -> None:
    """Whatever else is down: as long as the process answers, nothing is gained by restarting it."""
    observed = Observed()
    redis = Dependency("ready")
    redis.up = False
    observed.obs.probes.register(redis)

    done = ask(observed, "/health/live", backend=backend)

    assert (done.status, done.body) == (200, b'{"status":"ok"}')
    assert done.header(b"content-type") == [b"application/json"]


def test_live_names_no_details() -> None:
    """Another liveness probe is asked too, and the answer keeps its shape."""
    observed = Observed()
    lock = Dependency("live", "lock")
    observed.obs.probes.register(lock)
    assert answered(ask(observed, "/health/live")) == (200, {"status": "ok"})
    lock.up = False
    assert answered(ask(observed, "/health/live")) == (503, {"status": "fail"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_ready_follows_its_checks(backend: str) -> None:
    """200 while all of them pass, 503 as soon as one does not; why is not everybody's business."""
    observed = Observed()
    redis = Dependency("ready")
    observed.obs.probes.register(redis)

    status, answer = answered(ask(observed, "/health/ready", backend=backend))
    assert (status, answer["status"]) == (200, "ok")
    assert answer["checks"]["redis"] == {"ok": True, "version": "0008"}

    redis.up = False
    status, answer = answered(ask(observed, "/health/ready", backend=backend))
    assert (status, answer["status"]) == (503, "fail")
    assert answer["checks"]["redis"].keys() == {"ok", "latency_ms"}
    assert answer["checks"]["redis"]["ok"] is False

    redis.up = True
    assert answered(ask(observed, "/health/ready", backend=backend))[0] == 200


@pytest.mark.parametrize("backend", BACKENDS)
def test_startup_passes_once(backend: str) -> None:
    """503 until its checks have passed; the start is not taken back afterwards."""
    observed = Observed()
    cache = Dependency("startup", "cache")
    observed.obs.probes.register(cache)

    cache.up = False
    status, answer = answered(ask(observed, "/health/startup", backend=backend))
    assert (status, answer["status"]) == (503, "fail")
    assert answer["checks"]["cache"].keys() == {"ok", "latency_ms"}
    assert answer["checks"]["cache"]["ok"] is False

    cache.up = True
    assert answered(ask(observed, "/health/startup", backend=backend))[0] == 200
    cache.up = False
    assert answered(ask(observed, "/health/startup", backend=backend))[0] == 200


def test_a_service_that_needs_nothing_is_ready() -> None:
    """No checks, none that fails."""
    assert answered(ask(Observed(), "/health/ready")) == (200, {"status": "ok", "checks": {}})


def test_a_head_request_has_the_status_of_the_get() -> None:
    """Load balancers like HEAD; a server leaves the body out."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    with serve(obs.build_stack(not_found, observed.obs, [OpsMiddleware]), lifespan="off") as serving:
        for path in (*HEALTH, *GUARDED):
            answer = httpx.head(serving.url + path, headers={"Authorization": f"Bearer {TOKEN}"})
            assert (answer.status_code, answer.content) == (200, b"")
            assert httpx.head(serving.url + path).status_code == (401 if path in GUARDED else 200)


@pytest.mark.parametrize("path", [*HEALTH, *GUARDED])
def test_no_answer_is_kept_on_the_way(path: str) -> None:
    """A cache that repeats yesterday's health, or the operators' metrics, would be worse than none."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    assert ask(observed, path).header(b"cache-control") == [b"no-store"]
    assert ask(observed, path, headers=[BEARER]).header(b"cache-control") == [b"no-store"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", [*HEALTH, *GUARDED])
def test_another_method_is_not_allowed(path: str, method: str) -> None:
    """With the token as without it, and the answer says what is."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    for headers in ([], [BEARER]):
        done = ask(observed, path, method=method, headers=headers)
        assert done.status == 405
        assert sorted(done.header(b"allow")[0].split(b", ")) == [b"GET", b"HEAD"]
        assert b"divan_" not in done.body


@pytest.mark.parametrize("backend", BACKENDS)
def test_metrics_are_for_the_holder_of_the_token(backend: str) -> None:
    """`Authorization: Bearer` with the admin token, as Prometheus sends it."""
    done = ask(Observed({"OBS_ADMIN_TOKEN": TOKEN}), "/metrics", headers=[BEARER], backend=backend)
    assert done.status == 200
    assert b"# TYPE divan_http_requests_total counter" in done.body


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", TOKEN.encode())],
        [(b"authorization", b"Bearer " + TOKEN.encode()[:-1])],
        [(b"authorization", b"Bearer " + TOKEN.encode() + b"x")],
        [(b"authorization", b"Bearer " + TOKEN.upper().encode())],
        [(b"authorization", b"Bearer " + TOKEN.encode() + b", Basic x")],
        [(b"authorization", b"Bearer Bearer " + TOKEN.encode())],
        [(b"authorization", b"Bearer\t" + TOKEN.encode())],
        [(b"authorization", b"Bearer" + TOKEN.encode())],
        [(b"authorization", b"Basic " + TOKEN.encode())],
        [(b"authorization", b"Token " + TOKEN.encode())],
        [(b"authorization", b"Bearer \xff\xfe\x00")],
        [(b"authorization", b"Bearer " + TOKEN.encode() + b"\xc2\xa0")],
        [(b"authorization", b"Bearer " + TOKEN.encode() + b"\xa0")],
        [(b"proxy-authorization", b"Bearer " + TOKEN.encode())],
        [(b"cookie", b"authorization=Bearer " + TOKEN.encode())],
    ],
    ids=lambda headers: repr(headers[0][1]) if headers else "none",
)
def test_metrics_are_for_nobody_else(headers: list[tuple[bytes, bytes]]) -> None:
    """Without the token, with a wrong one, with a malformed header: 401, which says how to ask, and no series."""
    done = ask(Observed({"OBS_ADMIN_TOKEN": TOKEN}), "/metrics", headers=headers)
    assert answered(done) == (401, {"detail": "Send the admin token as 'Authorization: Bearer'."})
    assert done.header(b"www-authenticate") == [b'Bearer realm="ops"']


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer wrong"), BEARER],
        [BEARER, (b"authorization", b"Bearer wrong")],
        [BEARER, BEARER],
        [BEARER, (b"authorization", b"")],
    ],
    ids=["right last", "right first", "right twice", "right and empty"],
)
def test_two_authorizations_are_none(headers: list[tuple[bytes, bytes]]) -> None:
    """The header is no list (RFC 9110, section 11.6.2): a proxy and we must not read different ones."""
    assert ask(Observed({"OBS_ADMIN_TOKEN": TOKEN}), "/metrics", headers=headers).status == 401


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
def test_the_scheme_is_read_in_any_case(scheme: bytes) -> None:
    """RFC 9110, section 11.1: it is case-insensitive, the token is not."""
    headers = [(b"authorization", scheme + b" " + TOKEN.encode())]
    assert ask(Observed({"OBS_ADMIN_TOKEN": TOKEN}), "/metrics", headers=headers).status == 200


def test_a_token_may_have_any_characters() -> None:
    """It is compared by its bytes, as `curl -H` sends them from a UTF-8 terminal."""
    token = "geheim-für-Divan-✓"
    observed = Observed({"OBS_ADMIN_TOKEN": token})
    assert ask(observed, "/metrics", headers=[(b"authorization", b"Bearer " + token.encode())]).status == 200
    assert ask(observed, "/metrics", headers=[BEARER]).status == 401


@pytest.mark.parametrize("given", [b"\xff\xfe", "für".encode(), "für".encode("latin-1"), b"\x00", b"\xed\xa0\x80"])
def test_bytes_that_are_no_text_are_only_wrong(given: bytes) -> None:
    """They get the answer of any wrong token and are no error of the server."""
    done = ask(Observed({"OBS_ADMIN_TOKEN": TOKEN}), "/metrics", headers=[(b"authorization", b"Bearer " + given)])
    assert (done.status, done.error) == (401, None)


def test_a_token_of_bytes_that_are_no_text_is_a_token() -> None:
    """Python reads such an environment variable with surrogates; it must not end in a crash at start-up."""
    observed = Observed({"OBS_ADMIN_TOKEN": b"\xff\xfe-secret".decode("utf-8", "surrogateescape")})
    assert ask(observed, "/metrics", headers=[(b"authorization", b"Bearer \xff\xfe-secret")]).status == 200
    assert ask(observed, "/metrics").status == 401


@pytest.mark.parametrize("environ", [{}, {"OBS_ADMIN_TOKEN": ""}])
@pytest.mark.parametrize("given", [None, b"", b"Bearer", b"Bearer ", b"Bearer None", b"Bearer x"])
def test_without_a_token_there_are_no_metrics(environ: dict[str, str], given: bytes | None) -> None:
    """An empty token is none, and the answer says what to set."""
    done = ask(Observed(environ), "/metrics", headers=[] if given is None else [(b"authorization", given)])
    assert answered(done) == (
        403,
        {"detail": "OBS_ADMIN_TOKEN is not set: set it, and send it as 'Authorization: Bearer'."},
    )


def test_public_metrics_are_for_everyone() -> None:
    """`OBS_METRICS_PUBLIC` is for a developer's own machine; a wrong token changes nothing."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true"})
    assert ask(observed, "/metrics").status == 200
    assert ask(observed, "/metrics", headers=[(b"authorization", b"Bearer wrong")]).status == 200


def test_public_metrics_outside_of_development_are_a_start_up_error() -> None:
    """The mistake is found before the first request, and the message says what to do instead."""
    with pytest.raises(obs.ImproperlyConfigured) as error:
        Observed({"OBS_METRICS_PUBLIC": "true", "OBS_ENV": "prod"})
    assert str(error.value) == (
        "OBS_METRICS_PUBLIC is 'true' with OBS_ENV='prod'; it is for OBS_ENV=dev only: "
        "set OBS_ADMIN_TOKEN and scrape with it."
    )


def test_the_path_before_the_application_is_left_out() -> None:
    """Behind `--root-path /api`, uvicorn's paths begin with it; a proxy that cut it off is understood too."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    for path in ("/api/health/ready", "/health/ready"):
        assert ask(observed, path, root_path="/api").status == 200
    for path in ("/api/metrics", "/metrics"):
        assert ask(observed, path, root_path="/api", headers=[BEARER]).status == 200
        assert ask(observed, path, root_path="/api").status == 401
    for path in ("/api/api/metrics", "/apimetrics", "/other/metrics"):
        assert ask(observed, path, root_path="/api", headers=[BEARER]).body == b"the application"


OTHER_SPELLINGS = [
    "//metrics",
    "/metrics/",
    "/metrics//",
    "/./metrics",
    "/x/../metrics",
    "/health/../metrics",
    "/health/ready/../../metrics",
    "/metrics;a=b",
    "/metrics ",
    "/metrics\x00",
    "/metrics\n",
    "/metrics%00",
    "/%6detrics",
    "/metrics?",
    "metrics",
    "/metrics\\",
    "/x/%2e%2e/metrics",
    "/%2556detrics/../%256detrics",
    "/ops/../metrics",
    "//ops",
    "/x/../ops/loggers",
    "/%6fps/loggers",
]


@pytest.mark.parametrize("headers", [[], [BEARER]], ids=["stranger", "operator"])
@pytest.mark.parametrize("path", OTHER_SPELLINGS)
def test_no_other_spelling_is_answered(path: str, headers: list[tuple[bytes, bytes]]) -> None:
    """
    What somebody on the way could read as a guarded path is answered by nobody: not by us, whom a proxy's rule for
    /metrics may be meant to hide, and not by an application that may read it so.
    """
    done = ask(Observed({"OBS_ADMIN_TOKEN": TOKEN}), path, headers=headers)
    assert (done.status, orjson.loads(done.body)) in (
        (404, {"detail": "There is no such endpoint."}),
        # Below /ops what there is and what not is for operators; the token's holder gets the 404.
        (401, {"detail": "Send the admin token as 'Authorization: Bearer'."}),
    )
    assert done.status == 404 or not headers


@pytest.mark.parametrize(
    "path",
    ["", "/Metrics", "/metrics/x", "/xmetrics", "/shops/1", "/health", "/health/ready/", "/\uff4detrics"],
)
def test_what_only_looks_alike_is_the_applications(path: str) -> None:
    """A path is case-sensitive, and a longer one is another one."""
    done = ask(Observed({"OBS_ADMIN_TOKEN": TOKEN}), path, headers=[BEARER])
    assert (done.status, done.body) == (404, b"the application")


@pytest.mark.parametrize("path", ["/ops/", "/ops/nothing", "/ops/loggers/", "/ops/trace"])
def test_what_is_not_below_ops_is_told_to_operators_only(path: str) -> None:
    """All below /ops is guarded; a stranger does not learn what there is."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    assert ask(observed, path).status == 401
    assert answered(ask(observed, path, headers=[BEARER])) == (404, {"detail": "There is no such endpoint."})


def test_a_letter_that_is_hidden_from_a_proxy_is_not_found() -> None:
    """`/%6detrics` is `/metrics` once a server has decoded it, but no rule for `/metrics` has seen it."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true"})
    app = obs.build_stack(not_found, observed.obs, [OpsMiddleware])
    scope = {**http_scope("/metrics"), "raw_path": b"/%6detrics"}
    assert anyio.run(converse, app, scope).status == 404
    for raw_path in (b"/metrics", b"/metrics?name=x", b"/v1/metrics", None):
        assert anyio.run(converse, app, {**scope, "raw_path": raw_path}).status == 200


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_server_does_not_spell_it_differently(http: str) -> None:
    """The same through uvicorn, which decodes: whatever it makes of the path, a stranger gets no series."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    app = obs.build_stack(not_found, observed.obs, [OpsMiddleware])
    with serve(app, lifespan="off", http=http) as serving, httpx.Client(base_url=serving.url) as client:
        for path in ("//metrics", "/metrics/", "/%6detrics", "/./metrics", "/metrics;x", "/metrics?x=1", "/metrics%00"):
            request = client.build_request("GET", "/")
            request.url = request.url.copy_with(raw_path=path.encode())
            answer = client.send(request)
            assert answer.status_code in (401, 404), path
            assert b"divan_" not in answer.content, path


def test_prometheus_can_read_the_page() -> None:
    """Every family of the catalogue is on it, with its type and help, also before the first request."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    done = ask(observed, "/metrics", headers=[BEARER])

    families = {family.name: family for family in text_string_to_metric_families(done.body.decode())}

    for declared in (family for family in FAMILIES if family not in DOMAIN):
        family = families[f"divan_{declared.name.removesuffix('_total')}"]
        assert (family.type, family.documentation) == (declared.kind, declared.help)
    assert done.header(b"content-type")[0].startswith(b"text/plain; version=")


def test_the_page_has_what_was_counted() -> None:
    """The application's own metrics stand beside the library's, and labels survive the way through the format."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true"})
    observed.obs.metrics.counter("coffees_total", "Coffees.", ["kind"]).labels('a "quoted"\nkind\\').inc(3)

    page = ask(observed, "/metrics").body.decode()

    (family,) = (family for family in text_string_to_metric_families(page) if family.name == "divan_coffees")
    samples = [sample for sample in family.samples if sample.name.endswith("_total")]
    assert [(sample.labels, sample.value) for sample in samples] == [({"kind": 'a "quoted"\nkind\\'}, 3.0)]


def test_a_health_check_shows_up_in_the_metrics() -> None:
    """What an orchestrator was told last is what Prometheus reads next."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true"})
    redis = Dependency("ready")
    observed.obs.probes.register(redis)
    redis.up = False
    ask(observed, "/health/ready")
    assert b'divan_probe_up{name="redis"} 0.0\n' in ask(observed, "/metrics").body


def test_the_endpoints_are_an_application_of_their_own() -> None:
    """They can be served on another port, where no client comes."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    app = build_ops_app(observed.obs)
    assert anyio.run(converse, app, http_scope("/health/live")).body == b'{"status":"ok"}'
    assert anyio.run(converse, app, http_scope("/metrics")).status == 401
    assert anyio.run(converse, app, http_scope("/metrics/", headers=[BEARER])).status != 200


def test_headers_that_can_be_read_once_are_enough_for_a_guarded_endpoint() -> None:
    """The token is read first and the rest later; some servers and test clients pass an iterator."""
    observed = Observed({"OBS_ADMIN_TOKEN": TOKEN})
    scope = http_scope("/metrics", headers=[BEARER, (b"accept", b"application/openmetrics-text;version=1.0.0")])
    scope["headers"] = iter(scope["headers"])
    answer = anyio.run(converse, OpsMiddleware(not_found, observed.obs), scope)
    assert answer.status == 200
    assert answer.header(b"content-type")[0].startswith(b"application/openmetrics-text")
