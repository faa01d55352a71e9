"""A request is freed when it has ended: nothing of the library waits for the garbage collector."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.stack.build import MiddlewareFactory
from divan_obs_asgi.types import Receive, Scope, Send
from tests import garbage
from tests.garbage import ENDINGS, SERVERS, application, garbage_of, ours
from tests.logs.root_logger import root_logger_kept
from tests.stacks import CORE, Observed, named

pytestmark = [pytest.mark.slow, pytest.mark.interpreter]

TIMES = 5
#: The server leaves more or less of its own, as the client leaves before or after a part was sent.
UNSTEADY = {"left_while_sending"}
ALONE = [*((one,) for one in CORE), CORE]


@cache
def left_by_servers(server: str) -> dict[str, int]:
    """Return how many objects a server leaves by itself, for each ending of which it does not keep the application."""
    bare = garbage_of(server, application, ENDINGS, TIMES)
    # hypercorn keeps the exception of a cancelled application in a cycle of its own, with every frame on its way.
    return {ending: len(left) for ending, left in bare.items() if not any(map(is_of_the_application, left))}


def is_of_the_application(found: object) -> bool:
    code = getattr(found, "f_code", None)
    return code is not None and code.co_filename == garbage.__file__


def left_behind(server: str, stack: Any) -> dict[str, Any]:
    """Return what is left of each ending beside what the server leaves by itself."""
    by_server = left_by_servers(server)
    left = garbage_of(server, stack, by_server, TIMES)
    more = {ending: len(found) - by_server[ending] for ending, found in left.items()}
    return {
        ending: (more[ending], ours(found))
        for ending, found in left.items()
        if ours(found) or (more[ending] >= TIMES and ending not in UNSTEADY)
    }


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("factories", ALONE, ids=named)
def test_no_request_waits_for_the_garbage_collector(server: str, factories: tuple[MiddlewareFactory, ...]) -> None:
    """However it ends, a request leaves no more to it than without the library, and nothing of the library's."""
    observed = Observed()
    with root_logger_kept():
        observed.obs.log.install()
        assert left_behind(server, obs.build_stack(application, observed.obs, factories)) == {}


def test_a_cycle_would_be_seen() -> None:
    """What the other tests look for is found where it is."""

    async def stores_itself(scope: Scope, receive: Receive, send: Send) -> None:
        scope["mine"] = scope["divan_obs_asgi.record"], scope
        await application(scope, receive, send)

    left = garbage_of("httptools", obs.build_stack(stores_itself, Observed().obs, CORE), ["ok"], TIMES)
    assert ours(left["ok"])["MeasuredRequest"] == TIMES
