"""GET /ops: what there is."""

from __future__ import annotations

import os

from divan_obs_asgi.version import __version__
from tests.ops.asking import ask, bearer, operated, told
from tests.stacks import Observed


def test_it_tells_which_service_this_is() -> None:
    """And which of its processes has answered, and what that one is busy with."""
    answer = told(operated({"OBS_ENV": "prod", "OBS_COMMIT": "3f2c1ab", "OBS_SERVICE_NAME": "chat"}), "/ops")
    del answer["endpoints"]
    assert answer == {
        "service": "chat",
        "env": "prod",
        "commit": "3f2c1ab",
        "version": __version__,
        "pid": os.getpid(),
        "in_flight": {"requests": 0, "websockets": 0},
    }


def test_everything_that_it_tells_is_there() -> None:
    """And everything that is there is told, itself included."""
    observed = operated()
    listed = told(observed, "/ops")["endpoints"]
    assert {entry["path"] for entry in listed} >= {"/ops", "/ops/openapi.json", "/metrics", "/health/live"}
    for entry in listed:
        path = entry["path"].replace("{name}", "x")
        # A method that nobody has: the answer tells those that are allowed, and nothing is done.
        allowed = ask(observed, path, bearer(), method="BREW").header(b"allow")[0].decode().split(", ")
        assert entry["method"] in allowed
        assert entry["summary"].endswith((".", "?"))
        stranger = ask(observed, path, method=entry["method"]).status
        assert (stranger == 401) is entry["guarded"]


def test_strangers_learn_nothing() -> None:
    """Neither the service's name nor its commit."""
    assert ask(operated(), "/ops").status == 401
    assert ask(Observed(), "/ops").status == 403
    assert ask(Observed({"OBS_METRICS_PUBLIC": "true"}), "/ops").status == 200


def test_the_declaration_is_the_only_one() -> None:
    """Each path once, each method of it once."""
    pairs = [(entry["path"], entry["method"]) for entry in told(operated(), "/ops")["endpoints"]]
    assert len(pairs) == len(set(pairs))
