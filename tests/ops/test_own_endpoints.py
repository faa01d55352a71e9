"""Ops endpoints that a service adds, as its developers, operators and clients see them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

import divan_obs_asgi as obs
from divan_obs_asgi.ops import Endpoint, Operation, RequestRefused, ResponseDescription, read_json
from divan_obs_asgi.ops.audit import MAX_ANONYMOUS
from divan_obs_asgi.testing import converse
from tests.ops.asking import application, ask, bearer, detail, messages, operated, scope_of, told
from tests.stacks import BACKENDS, Observed, run_on

AUDIT = "divan_obs_asgi.audit"


def with_cache(environ: dict[str, str] | None = None, **arguments: Any) -> Observed:
    """Return a bundle with an endpoint that reads and one that changes something."""
    observed = operated(environ, **arguments)

    @observed.obs.endpoint("/ops/cache")
    async def cache(request: Request) -> dict[str, int]:
        """How full the cache is."""
        return {"entries": 3}

    @observed.obs.endpoint("/ops/cache", method="DELETE", summary="Empty the cache.")
    def clear(request: Request) -> Response:
        return Response(status_code=204)

    return observed


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_function_answers_operators(backend: str) -> None:
    """What it returns is sent as JSON, and no cache stores the response; a plain function runs in a thread."""
    observed = with_cache()
    assert told(observed, "/ops/cache", backend=backend) == {"entries": 3}
    done = ask(observed, "/ops/cache", bearer(), method="DELETE", backend=backend)
    assert (done.status, done.header(b"cache-control")) == (204, [b"no-store"])
    done = ask(observed, "/ops/cache", bearer(), method="PUT")
    assert (done.status, done.header(b"allow")) == (405, [b"DELETE, GET, HEAD"])
    done = ask(observed, "/ops/cache", bearer(), method="HEAD")
    assert (done.status, done.body, done.header(b"content-length")) == (200, b"", [b"13"])


GUARD = [
    ({}, [], "GET", 401),
    ({}, [bearer("a-guess")], "GET", 401),
    ({}, [bearer("a-guess")], "DELETE", 401),
    ({}, [bearer()], "GET", 200),
    ({}, [bearer()], "DELETE", 204),
    ({"OBS_ADMIN_TOKEN": ""}, [], "GET", 403),
    ({"OBS_ADMIN_TOKEN": "", "OBS_METRICS_PUBLIC": "true"}, [], "GET", 200),
    ({"OBS_METRICS_PUBLIC": "true"}, [], "DELETE", 401),
    ({"OBS_OPS_NETWORKS": "10.0.0.0/8"}, [bearer()], "GET", 403),
    ({"OBS_OPS_NETWORKS": "192.0.2.0/24"}, [bearer()], "GET", 200),
]


@pytest.mark.parametrize(("environ", "headers", "method", "status"), GUARD, ids=lambda value: str(value)[:60])
def test_the_guard_is_that_of_the_librarys_endpoints(
    environ: dict[str, str], headers: list[tuple[bytes, bytes]], method: str, status: int
) -> None:
    """Token, networks and public reading are the same as for an endpoint of the library."""
    observed = with_cache(environ)
    assert ask(observed, "/ops/cache", *headers, method=method).status == status
    if method == "GET":
        assert ask(observed, "/ops/config", *headers).status == status


def test_wrong_tokens_are_limited() -> None:
    """They count together with those for other endpoints; the right token still passes."""
    observed = with_cache({"OBS_OPS_MAX_FAILURES": "1"})
    stack = obs.build_stack(application, observed.obs)
    statuses = [
        run_on("asyncio", converse, stack, scope_of("/ops/cache", bearer(token))).status
        for token in ("guess", "guess", "the-token-of-the-operators")
    ]
    assert statuses == [401, 429, 200]


def test_the_application_can_refuse() -> None:
    """`authorize` is asked for these endpoints as well."""
    observed = with_cache(authorize=lambda scope: scope["method"] == "GET")
    assert ask(observed, "/ops/cache", bearer()).status == 200
    assert detail(ask(observed, "/ops/cache", bearer(), method="DELETE")) == (403, "The application does not allow it.")


@pytest.mark.parametrize("path", ["//ops/cache", "/x/../ops/cache", "/%6fps/cache", "/ops/cache/", "/ops/./cache"])
def test_another_spelling_is_not_answered(path: str) -> None:
    """A proxy's rule for /ops/cache cannot be avoided."""
    assert ask(with_cache(), path, bearer()).status == 404


def test_without_the_guard_everybody_is_answered() -> None:
    """Only if the declaration says so: `guarded=False`."""
    observed = operated()

    @observed.obs.endpoint("/ops/version", guarded=False, summary="The version of the service.")
    def version(request: Request) -> Response:
        return PlainTextResponse("7")

    done = ask(observed, "/ops/version")
    assert (done.status, done.body, done.header(b"cache-control")) == (200, b"7", [b"no-store"])
    assert entries(observed)["GET", "/ops/version"] == ("The version of the service.", False)


def entries(observed: Observed) -> dict[tuple[str, str], tuple[str, bool]]:
    """Return the index, by method and path."""
    listed = told(observed, "/ops")["endpoints"]
    return {(one["method"], one["path"]): (one["summary"], one["guarded"]) for one in listed}


def test_it_is_in_the_index() -> None:
    """The summary is the argument, or the first line of the docstring."""
    index = entries(with_cache())
    assert index["GET", "/ops/cache"] == ("How full the cache is.", True)
    assert index["DELETE", "/ops/cache"] == ("Empty the cache.", True)


def test_it_is_in_the_openapi_document() -> None:
    """With its responses, its parameters, its body, and the responses of the guard."""
    observed = operated()
    entry = {"type": "object", "properties": {"ttl_s": {"type": "number"}}, "required": ["ttl_s"]}
    observed.obs.endpoints.register(
        Endpoint(
            "/ops/cache/{name}",
            (
                Operation(
                    "PUT",
                    "Change an entry.",
                    lambda request: None,
                    {200: ResponseDescription("The entry.", entry)},
                    body=entry,
                    query={"dry_run": {"type": "boolean"}},
                ),
            ),
        )
    )
    described = told(observed, "/ops/openapi.json")["paths"]["/ops/cache/{name}"]
    assert described["parameters"] == [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
    put = described["put"]
    assert put["summary"] == "Change an entry."
    assert put["security"] == [{"adminToken": []}]
    assert sorted(put["responses"]) == ["200", "400", "401", "403", "413", "415", "422", "429"]
    assert put["responses"]["200"]["content"] == {"application/json": {"schema": entry}}
    assert put["requestBody"] == {"required": True, "content": {"application/json": {"schema": entry}}}
    assert put["parameters"] == [{"name": "dry_run", "in": "query", "schema": {"type": "boolean"}}]


def test_operation_ids_are_unique() -> None:
    """Generators of clients need that."""
    observed = operated()
    for path in ("/ops/a-b", "/ops/a/b", "/ops/a_b"):
        observed.obs.endpoint(path, summary="One of them.")(lambda request: None)
    paths = told(observed, "/ops/openapi.json")["paths"]
    ids = [
        operation["operationId"] for item in paths.values() for key, operation in item.items() if key != "parameters"
    ]
    assert len(ids) == len(set(ids))


def test_parameters_and_bodies_can_be_read() -> None:
    """A handler reads them from the request; `read_json` refuses what is too long or not JSON."""
    observed = operated()

    @observed.obs.endpoint("/ops/cache/{name}", method="POST", summary="Change an entry.")
    async def change(request: Request) -> dict[str, object]:
        return {"name": request.path_params["name"], "body": await read_json(request)}

    assert told(observed, "/ops/cache/users", method="POST", body={"a": 1}) == {"name": "users", "body": {"a": 1}}
    assert ask(observed, "/ops/cache/users", bearer(), method="POST", body=b"{").status == 400
    assert ask(observed, "/ops/cache/a/b", bearer(), method="POST").status == 404


def test_changes_are_audited() -> None:
    """Every use of a method that changes something is a line, refused or not; reading is not."""
    observed = with_cache()
    obs.init(Starlette(), observed.obs)
    for headers, method in (([bearer()], "GET"), ([bearer()], "DELETE"), ([], "DELETE")):
        ask(observed, "/ops/cache", *headers, method=method)
    assert messages(observed, AUDIT) == [
        "DELETE /ops/cache: 204, for the holder of OBS_ADMIN_TOKEN at 192.0.2.7.",
        "DELETE /ops/cache: 401, for a refused client at 192.0.2.7.",
    ]


def test_changes_without_the_guard_are_audited() -> None:
    """Anybody can cause these lines, so that there are at most 20 in a minute."""
    observed = operated()
    obs.init(Starlette(), observed.obs)
    observed.obs.endpoint("/ops/hook", method="POST", guarded=False, summary="A hook.")(lambda request: None)
    stack = obs.build_stack(application, observed.obs)
    for _ in range(MAX_ANONYMOUS + 5):
        run_on("asyncio", converse, stack, scope_of("/ops/hook", method="POST"))
    assert (
        messages(observed, AUDIT)
        == ["POST /ops/hook: 200, for an unauthenticated client at 192.0.2.7."] * MAX_ANONYMOUS
    )


async def cancelled(request: Request) -> None:
    task = asyncio.ensure_future(asyncio.sleep(30))
    await asyncio.sleep(0)
    task.cancel()
    await task


def exits(request: Request) -> None:
    sys.exit(3)


async def exits_in_the_loop(request: Request) -> None:
    sys.exit(3)


def breaks(request: Request) -> None:
    raise ZeroDivisionError("on purpose")


async def breaks_in_the_loop(request: Request) -> None:
    raise ZeroDivisionError("on purpose")


def returns_an_object(request: Request) -> object:
    return object()


FAILING = [breaks, breaks_in_the_loop, returns_an_object, cancelled, exits, exits_in_the_loop]


@pytest.mark.parametrize("handler", FAILING, ids=lambda handler: handler.__name__)
def test_a_handler_that_fails_is_a_500(handler: Callable[[Request], object]) -> None:
    """It is counted and audited, and is one line; the next request is answered."""
    observed = operated()
    observed.obs.endpoint("/ops/broken", method="POST", summary="It fails.")(handler)
    obs.init(Starlette(), observed.obs)
    done = ask(observed, "/ops/broken", bearer(), method="POST")
    assert (done.status, done.body) == (500, b"Internal Server Error")
    labels = {"route": "/ops/broken", "method": "POST", "status": "500"}
    assert observed.value("divan_http_requests_total", **labels) == 1
    lines = [line for line in observed.lines() if line["level"] == "ERROR"]
    assert [(line["route"], line["status"]) for line in lines] == [("/ops/broken", 500)]
    assert messages(observed, AUDIT) == ["POST /ops/broken: failed, for the holder of OBS_ADMIN_TOKEN at 192.0.2.7."]
    assert told(observed, "/ops/config")


def refuses(request: Request) -> None:
    raise RequestRefused(409, "The cache is being filled.")


def refuses_as_starlette(request: Request) -> None:
    raise HTTPException(409, "The cache is being filled.")


@pytest.mark.parametrize("handler", [refuses, refuses_as_starlette], ids=lambda handler: handler.__name__)
def test_a_handler_can_refuse(handler: Callable[[Request], object]) -> None:
    """By the library's exception, or by that of Starlette and FastAPI."""
    observed = operated()
    observed.obs.endpoint("/ops/cache", summary="Refused.")(handler)
    assert detail(ask(observed, "/ops/cache", bearer())) == (409, "The cache is being filled.")


def test_a_stream_is_sent() -> None:
    """A response of any kind is sent; the one to HEAD has no body."""
    observed = operated()

    @observed.obs.endpoint("/ops/dump", summary="All entries.")
    async def dump(request: Request) -> Response:
        return StreamingResponse(iter(["a\n", "b\n"]), media_type="text/plain")

    assert ask(observed, "/ops/dump", bearer()).body == b"a\nb\n"
    assert ask(observed, "/ops/dump", bearer(), method="HEAD").body == b""


@pytest.mark.parametrize("path", ["/ops/cache", "/ops/cache/{name}"])
def test_it_may_be_registered_after_the_stack_is_built(path: str) -> None:
    """Before the application has started: it is served, guarded and listed as if it came first."""
    observed = operated()
    stack = obs.build_stack(application, observed.obs)
    observed.obs.endpoint(path, summary="Late.")(lambda request: {"late": True})
    wanted = path.replace("{name}", "users")
    assert run_on("asyncio", converse, stack, scope_of(wanted)).status == 401
    done = run_on("asyncio", converse, stack, scope_of(wanted, bearer()))
    assert orjson.loads(done.body) == {"late": True}
    index = orjson.loads(run_on("asyncio", converse, stack, scope_of("/ops", bearer())).body)
    assert path in [one["path"] for one in index["endpoints"]]


def test_the_prefix_moves_it() -> None:
    """It is declared without OBS_OPS_PREFIX and served below it."""
    observed = with_cache({"OBS_OPS_PREFIX": "/internal"})
    assert told(observed, "/internal/ops/cache") == {"entries": 3}
    assert ("GET", "/internal/ops/cache") in {
        (one["method"], one["path"]) for one in told(observed, "/internal/ops")["endpoints"]
    }


def test_a_conflict_with_the_library_is_a_start_up_error() -> None:
    """All of them in one message, whether the stack is built already or not."""
    observed = operated()
    for path in ("/ops/config", "/ops/drain", "/ops/mine"):
        observed.obs.endpoint(path, summary="Mine.")(lambda request: None)
    with pytest.raises(obs.ImproperlyConfigured) as error:
        obs.build_stack(application, observed.obs)
    assert str(error.value) == (
        "OBS_MIDDLEWARE: divan_obs_asgi.middlewares.OpsMiddleware raised when it was called with (app, observability): "
        "Endpoint /ops/config belongs to the library; choose another path.\n"
        "Endpoint /ops/drain belongs to the library; choose another path."
    )
    late = operated()
    obs.build_stack(application, late.obs)
    with pytest.raises(obs.ImproperlyConfigured, match=r"^Endpoint /ops/tasks belongs to the library; choose another"):
        late.obs.endpoint("/ops/tasks", method="DELETE", summary="Mine.")(lambda request: None)
    assert "/ops/tasks" in {path for _, path in entries(late)}


def test_a_conflict_with_another_endpoint_is_a_start_up_error() -> None:
    """The same method of a path, the same path with and without a guard, or two templates for one path."""
    observed = with_cache()
    observed.obs.endpoint("/ops/{kind}/entries", summary="Entries.")(lambda request: None)

    def refused(path: str, **arguments: Any) -> str:
        with pytest.raises(obs.ImproperlyConfigured) as error:
            observed.obs.endpoint(path, summary="Another.", **arguments)(lambda request: None)
        return str(error.value)

    assert refused("/ops/cache") == "GET /ops/cache is registered already."
    assert refused("/ops/cache", guarded=False) == (
        "GET /ops/cache is registered already.\n"
        "Endpoint /ops/cache is guarded for one method and not for another; use two paths."
    )
    assert refused("/ops/users/{id}") == (
        "Endpoint /ops/users/{id} conflicts with /ops/{kind}/entries: some paths match both."
    )
    observed.obs.endpoint("/ops/users/all", summary="A path without parameters goes first.")(lambda request: None)


BAD_PATHS = ["", "/", "cache", "/cache", "/ops", "/ops/", "/ops/cache/", "/ops//cache", "/ops/../x", "/ops/%63ache"]
BAD_PATHS += ["/ops/{name:path}", "/ops/{}", "/ops/a b", "/ops/a?b", "/ops/x{name}", "/opscache/x", "/ops/ca\u0301che"]


@pytest.mark.parametrize("path", [*BAD_PATHS, None])
def test_a_bad_path_is_a_start_up_error(path: Any) -> None:
    """A path must be below /ops and have one spelling."""
    with pytest.raises(obs.ImproperlyConfigured) as error:
        operated().obs.endpoint(path, summary="Bad.")(lambda request: None)
    assert str(error.value) == (
        f"An ops endpoint has the path {path!r}; expected one like '/ops/cache' or '/ops/cache/{{name}}'."
    )


def test_all_mistakes_are_in_one_message() -> None:
    """Path, parameters, guard, method, handler, summary and responses."""
    bundle = operated().obs
    with pytest.raises(obs.ImproperlyConfigured) as error:
        bundle.endpoint("/cache", method="BREW", guarded="no", responses={99: "x"})(lambda request: None)  # type: ignore[arg-type, dict-item]
    assert str(error.value).splitlines() == [
        "An ops endpoint has the path '/cache'; expected one like '/ops/cache' or '/ops/cache/{name}'.",
        "Endpoint /cache has guarded='no'; expected True or False.",
        "Endpoint /cache has the method 'BREW'; expected one of GET, POST, PUT, PATCH, DELETE, OPTIONS.",
        "Endpoint /cache has the summary ''; expected one line, from summary= or the handler's docstring.",
        "Endpoint /cache has responses that are not a status and a divan_obs_asgi.ops.ResponseDescription each.",
    ]
    response = {200: ResponseDescription("Done.")}

    def generator(request: Request) -> Any:
        yield "a"

    twice = Operation("GET", "Once.", generator, response, audited=False)
    with pytest.raises(obs.ImproperlyConfigured) as error:
        bundle.endpoints.register(Endpoint("/ops/{a}/{a}", (twice, Operation("GET", "Twice.", 7, response))))  # type: ignore[arg-type]
    assert str(error.value).splitlines() == [
        "Endpoint /ops/{a}/{a} has two parameters of the same name.",
        "Endpoint /ops/{a}/{a} has the methods ['GET', 'GET']; expected at least one, each of them once.",
        "Endpoint /ops/{a}/{a} has a generator function as its handler; return a StreamingResponse.",
        "Endpoint /ops/{a}/{a} has audited=False; this needs guarded=False.",
        "Endpoint /ops/{a}/{a} has the handler 7; expected a function that takes the request.",
    ]
    with pytest.raises(obs.ImproperlyConfigured, match=r"^An ops endpoint is str; expected"):
        bundle.endpoints.register("/ops/cache")  # type: ignore[arg-type]


def test_the_function_stays_as_it_is() -> None:
    """It can be called and tested without the library."""
    observed = operated()

    def cache(request: Request) -> int:
        """How full the cache is."""
        return 3

    assert observed.obs.endpoint("/ops/cache")(cache) is cache


def test_a_route_of_the_application_that_it_shadows_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """In the WARNING at start-up, as for the endpoints of the library."""
    observed = with_cache()
    app = Starlette()
    app.add_route("/ops/cache", lambda request: PlainTextResponse("the application"))
    obs.build_stack(app, observed.obs)
    observed.obs.background.mark_started()
    assert "The application's own /ops/cache cannot be reached" in caplog.text


@pytest.mark.parametrize("flag", ["OBS_OPS_ENABLED", "OBS_ENABLED"])
def test_it_is_off_with_the_others(flag: str) -> None:
    """A path of a service whose ops endpoints are off is the application's."""
    observed = with_cache({flag: "false"})
    stack = obs.build_stack(PlainTextResponse("the application"), observed.obs)
    assert run_on("asyncio", converse, stack, scope_of("/ops/cache", bearer())).body == b"the application"
