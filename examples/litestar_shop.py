"""
A shop in Litestar, in one file to copy.

    pip install 'divan-obs-asgi[all]' litestar uvicorn
    OBS_ADMIN_TOKEN=let-me-in uvicorn litestar_shop:app

    curl -i http://127.0.0.1:8000/items/7
    curl http://127.0.0.1:8000/health/ready
    curl -H 'Authorization: Bearer let-me-in' http://127.0.0.1:8000/metrics
"""

from typing import Any

from litestar import Litestar, get
from litestar.exceptions import NotFoundException

import divan_obs_asgi as obs

ITEMS = {7: "tea", 8: "coffee"}


@get("/items/{item_id:int}")
async def show(item_id: int) -> dict[str, str]:
    if item_id not in ITEMS:
        raise NotFoundException
    views.labels(ITEMS[item_id]).inc()
    log.info("item shown", extra={"item": ITEMS[item_id]})
    return {"name": ITEMS[item_id]}


log = obs.logger("shop")
observability = obs.Observability.from_env()
views = observability.metrics.counter("item_views_total", "Items that were shown.", ["item"])
observability.metrics.declare("item", list(ITEMS.values()))
observability.probes.register(obs.probes.DiskProbe(".", min_free_bytes=1_000_000))
shop: Any = Litestar([show])
app = obs.wrap(shop, observability)
