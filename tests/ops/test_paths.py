"""However a path is spelled: no guarded answer without the token, and never the application's in its place."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

import anyio
import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import OpsMiddleware
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.parts import endpoints
from divan_obs_asgi.testing import Conversation, converse
from divan_obs_asgi.types import Receive, Scope, Send
from tests.ops.asking import bearer, operated, scope_of

OPERATED = operated({"OBS_OPS_MAX_FAILURES": "1000000"})
GUARDED = sorted(
    {
        endpoint.path.replace("{name}", "redis")
        for endpoint in endpoints(OPERATED.obs, Guard(OPERATED.obs.settings, OPERATED.obs.faults))
        if endpoint.guarded
    }
    | {"/ops/", "/ops/nothing", "/ops/nothing/at/all"}
)
HEALTH = ("/health/live", "/health/ready", "/health/startup")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer everything, as a catch-all route does."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"the application"})


STACK = obs.build_stack(application, OPERATED.obs, [OpsMiddleware])


def ask(raw: bytes, *headers: tuple[bytes, bytes], root: str = "", method: str = "GET") -> Conversation:
    """Ask for a path as it is written in the request line; servers decode it once."""
    raw_path = raw.partition(b"?")[0].partition(b"#")[0]
    scope = scope_of("/", *headers, method=method)
    path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    return anyio.run(converse, STACK, {**scope, "path": path, "raw_path": raw_path, "root_path": root})


SEPARATORS = ["/", "//", "/./", "/x/../", "/;a=b/", "\\", "/ /", "/x/y/../../", "/%2e/", "/x/%252e%252e/"]
ENDS = ["", "/", "//", "/.", ";a=b", ";", "/x/..", "%00", "%23", "%3Fname=x", "%20", "/;x", "%5c"]
STARTS = ["", "/.", "/x/..", "/..", "/%2e", "/;x", "%2f", "%5c"]


@st.composite
def spelled(draw: st.DrawFn, path: str) -> bytes:
    """Return another spelling of a path, which some lenient reader takes for that one."""
    parts = [draw(encoded(segment)) for segment in path.split("/")[1:]]
    written = "".join(draw(st.sampled_from(SEPARATORS)) + part for part in parts)
    return (draw(st.sampled_from(STARTS)) + written + draw(st.sampled_from(ENDS))).encode()


@st.composite
def encoded(draw: st.DrawFn, segment: str) -> str:
    """Return a segment of which some letters are escaped, some of them more than once."""
    for _ in range(draw(st.integers(0, 4))):
        hidden = draw(st.sets(st.integers(0, max(0, len(segment) - 1)), max_size=2))
        segment = "".join(
            f"%{ord(letter):02x}" if index in hidden or letter == "%" else letter
            for index, letter in enumerate(segment)
        )
    return segment


GUARDED_SPELLED = st.sampled_from(GUARDED).flatmap(lambda path: st.tuples(st.just(path), spelled(path)))


@given(GUARDED_SPELLED, st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "\x00"]))
@example(("/metrics", b"//metrics"), "GET")
@example(("/metrics", b"/%6detrics"), "GET")
@example(("/metrics", b"/%2525256detrics"), "GET")
@example(("/ops", b"/metrics/../ops"), "GET")
@example(("/ops", b"/./ops"), "GET")
def test_no_spelling_lets_a_stranger_in(given: tuple[str, bytes], method: str) -> None:
    """Nor to the application, which may read it as the guarded path: a 4xx of ours, that tells nothing."""
    _, raw = given
    done = ask(raw, method=method)
    assert done.status in (401, 404, 405), raw
    assert method == "HEAD" or list(orjson.loads(done.body)) == ["detail"]


@given(GUARDED_SPELLED)
def test_the_token_opens_one_spelling(given: tuple[str, bytes]) -> None:
    """A proxy's rule for the path as it stands holds, and in no spelling the application answers."""
    path, raw = given
    assume(raw.decode() != path)
    # What is left is a path of its own: below /ops, where there is nothing.
    assert ask(raw, bearer()).status == 404, raw


@pytest.mark.slow
@given(
    GUARDED_SPELLED,
    st.sampled_from(["/api", "/api/", "/v1/api", "/"]),
    st.sampled_from(["", "/", "/.", "//", "/x/.."]),
)
@example(("/metrics", b"/metrics"), "/api", "/")
def test_a_mounted_application_is_guarded_as_well(given: tuple[str, bytes], root: str, before: str) -> None:
    """Whether a proxy has cut the root off or not, and however it is spelled."""
    path, raw = given
    assume(not raw.startswith(b"/.."))  # Out of the root, and so another path.
    mounted = (before + root.rstrip("/")).encode() + raw
    for written in (raw, mounted):
        done = ask(written, root=root)
        assert done.status in (401, 404, 405), written
    if before == "" and raw.decode() == path:
        assert ask(mounted, bearer(), root=root).status != 299


@given(
    st.binary(max_size=30) | st.text("/.;%2fFmetricsops\\ \x00", max_size=30).map(str.encode),
    st.sampled_from(["", "/api"]),
    st.booleans(),
)
def test_whatever_is_asked_for_is_told_to_nobody(raw: bytes, root: str, guesses: bool) -> None:
    """A stranger gets the application, health, or a refusal; and no path is an error of ours."""
    done = ask(b"/" + raw, *([bearer("a-guess")] if guesses else []), root=root)
    assert done.error is None
    assert done.status == 299 or done.status in (401, 404, 405) or (done.status == 200 and b"health" in raw)


RIGHT = bearer()[1]
CREDENTIALS = st.sampled_from([RIGHT, RIGHT.upper(), RIGHT + b"x", RIGHT[:-1], b"Basic " + RIGHT[7:], b"Bearer", b""])
NAMES = st.sampled_from([b"authorization", b"proxy-authorization", b"x-forwarded-authorization", b"cookie", b"token"])
HEADERS = st.lists(st.tuples(NAMES | st.binary(max_size=8).map(bytes.lower), CREDENTIALS | st.binary(max_size=40)))


@given(st.sampled_from(GUARDED), HEADERS, st.sampled_from(["GET", "HEAD", "POST"]))
def test_one_right_header_opens_and_nothing_else(path: str, headers: list[tuple[bytes, bytes]], method: str) -> None:
    """Not twice, not in another header, not beside a wrong one; and no header is an error of ours."""
    given = [value for name, value in headers if name == b"authorization"]
    done = ask(path.encode(), *headers, method=method)
    assert done.error is None
    assert (done.status == 401) == (given != [RIGHT]) or done.status == 405
    assert done.status != 299


@pytest.mark.parametrize("path", GUARDED)
def test_raw_path_and_path_have_to_agree(path: str) -> None:
    """Where a server, or a middleware before us, has changed one of the two, the guarded answer is not given."""
    scope = scope_of(path, bearer())
    for raw_path in (
        b"/public",
        b"/%6f" + path.encode()[2:],
        path.encode().upper(),
        b"//x" + path.encode()[1:] + b"/",
        b"",
    ):
        done = anyio.run(converse, STACK, {**scope, "raw_path": raw_path})
        assert done.status == 404, raw_path


@pytest.mark.parametrize("path", HEALTH)
def test_health_is_answered_by_its_name_only(path: str) -> None:
    """It is nobody's secret: another spelling is the application's, as it would be without us."""
    assert ask(path.encode()).status == 200
    for raw in (b"/" + path.encode(), path.encode() + b"/", path.upper().encode()):
        assert ask(raw).status == 299


@given(st.text(min_size=1, max_size=12).filter(lambda text: "/" not in text))
def test_the_applications_own_paths_are_its_own(name: str) -> None:
    """Nothing that is far from ours is taken away."""
    assume(not set(name) <= {".", " "})
    assert ask(b"/shop/" + quote(name).encode() + b"/metrics").status in (299, 404)
    assert ask(b"/items/" + quote("a" + name.replace(".", "")).encode()).status == 299
