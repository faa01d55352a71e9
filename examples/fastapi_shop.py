"""
A shop in FastAPI, in one file to copy.

    pip install 'divan-obs-asgi[all]' fastapi uvicorn
    OBS_ADMIN_TOKEN=let-me-in uvicorn fastapi_shop:app

    curl -i http://127.0.0.1:8000/items/7
    curl http://127.0.0.1:8000/health/ready
    curl -H 'Authorization: Bearer let-me-in' http://127.0.0.1:8000/metrics
"""

from fastapi import FastAPI, HTTPException

import divan_obs_asgi as obs

ITEMS = {7: "tea", 8: "coffee"}

log = obs.logger("shop")
app = FastAPI()
observability = obs.init(app)
views = observability.metrics.counter("item_views_total", "Items that were shown.", ["item"])
observability.metrics.declare("item", list(ITEMS.values()))


@observability.probes.probe("stock")
async def stock() -> dict[str, object]:
    return {"items": len(ITEMS)}


@app.get("/items/{item_id}")
async def show(item_id: int) -> dict[str, str]:
    if item_id not in ITEMS:
        raise HTTPException(404)
    views.labels(ITEMS[item_id]).inc()
    log.info("item shown", extra={"item": ITEMS[item_id]})
    return {"name": ITEMS[item_id]}
