"""The reference backend with faults that it does not have: `uvicorn tests.ops_assets.troubled:app`."""

from __future__ import annotations

import asyncio
import time

from examples.divan.backend import create_app
from examples.divan.realtime import NAMESPACE

app = create_app()


@app.post("/trouble/fail")
async def fail() -> None:
    # A secret by its name, for the series of redactions.
    raise RuntimeError("no luck with password=correct-horse-battery")


@app.post("/trouble/block")
async def block() -> None:
    """Block the event loop again and again, each time for longer than the watchdog overlooks."""
    for _ in range(8):
        time.sleep(0.25)  # noqa: ASYNC251
        # Two blocks at once would be a long one.
        await asyncio.sleep(0.1)


@app.post("/trouble/wait")
async def wait() -> None:
    """Take longer than a request may, and block nothing."""
    await asyncio.sleep(0.5)


async def on_trouble(sid: str, data: object = None) -> None:
    raise RuntimeError("no luck")


app.state.chat_server.on("trouble", on_trouble, namespace=NAMESPACE)
