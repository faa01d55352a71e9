"""
A shop of plain ASGI and Socket.IO, in one file to copy.

    pip install 'divan-obs-asgi[all]' uvicorn
    OBS_ADMIN_TOKEN=let-me-in uvicorn socketio_shop:app

    curl -i http://127.0.0.1:8000/items/7
    curl http://127.0.0.1:8000/health/ready
    curl -H 'Authorization: Bearer let-me-in' http://127.0.0.1:8000/metrics
"""

from typing import Any

import socketio

import divan_obs_asgi as obs
from divan_obs_asgi.types import Receive, Scope, Send

ITEMS = {"7": "tea", "8": "coffee"}
log = obs.logger("shop")
observability = obs.Observability.from_env()
views = observability.metrics.counter("item_views_total", "Items that were shown.", ["item"])
observability.probes.register(obs.probes.DiskProbe(".", min_free_bytes=1_000_000))
sio: Any = obs.socketio_ext.ObservedAsyncServer(async_mode="asgi", obs=observability)


async def show(sid: str, item_id: str) -> None:
    views.labels(ITEMS[item_id]).inc()
    log.info("item shown", extra={"item": ITEMS[item_id]})


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    scope["divan_obs_asgi.route"] = "/items/{item_id}"
    name = ITEMS.get(scope["path"].removeprefix("/items/"))
    await send({"type": "http.response.start", "status": 200 if name else 404, "headers": []})
    await send({"type": "http.response.body", "body": (name or "").encode()})


sio.on("show", show)
app = obs.wrap(socketio.ASGIApp(sio, page), observability)
