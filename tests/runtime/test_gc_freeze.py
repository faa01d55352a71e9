"""OBS_GC_FREEZE: the objects of the start-up are not collected again and again."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest

from tests.patience import PATIENCE_S
from tests.servers.command import Command

SERVICE = """
import gc
import divan_obs_asgi as obs

OF_PYTHON = gc.get_freeze_count()  # Python 3.12 freezes some objects of its own.

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(gc.get_freeze_count() - OF_PYTHON).encode()})

app = obs.wrap(app)
"""


def frozen(lifespan: str, **env: str) -> list[int]:
    """Return how many objects are frozen at the first request, and at the second."""
    with closing(Command(SERVICE, "uvicorn", "app", "--lifespan", lifespan, env=env)) as command:
        command.start()
        return [int(httpx.get(command.url, timeout=PATIENCE_S).text) for _ in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_what_was_made_at_start_up_is_frozen_once(lifespan: str) -> None:
    """At the end of the start-up, or at the first request where the server has no lifespan."""
    first, second = frozen(lifespan, OBS_GC_FREEZE="true")
    assert first > 10_000
    # Frozen objects may be freed, and no others join them.
    assert second <= first


@pytest.mark.slow
def test_by_default_nothing_is_frozen() -> None:
    """A frozen cycle is never freed, so an application has to ask for it."""
    assert frozen("on") == [0, 0]
