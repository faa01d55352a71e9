"""
A shop in Starlette, in one file to copy.

    pip install 'divan-obs-asgi[all]' uvicorn
    OBS_ADMIN_TOKEN=let-me-in uvicorn starlette_shop:app

    curl -i http://127.0.0.1:8000/items/7
    curl http://127.0.0.1:8000/health/ready
    curl -H 'Authorization: Bearer let-me-in' http://127.0.0.1:8000/metrics
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import divan_obs_asgi as obs

ITEMS = {7: "tea", 8: "coffee"}


async def show(request: Request) -> JSONResponse:
    name = ITEMS.get(request.path_params["item_id"])
    if name is None:
        raise HTTPException(404)
    views.labels(name).inc()
    log.info("item shown", extra={"item": name})
    return JSONResponse({"name": name})


log = obs.logger("shop")
app = Starlette(routes=[Route("/items/{item_id:int}", show)])
observability = obs.init(app)
views = observability.metrics.counter("item_views_total", "Items that were shown.", ["item"])
observability.metrics.declare("item", list(ITEMS.values()))
observability.probes.register(obs.probes.DiskProbe(".", min_free_bytes=1_000_000))
