"""
A shop in Django, in one file to copy. In a project, put the last lines into its asgi.py.

    pip install 'divan-obs-asgi[all]' django uvicorn
    OBS_ADMIN_TOKEN=let-me-in uvicorn django_shop:app

    curl -i http://127.0.0.1:8000/items/7
    curl http://127.0.0.1:8000/health/ready
    curl -H 'Authorization: Bearer let-me-in' http://127.0.0.1:8000/metrics
"""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import path

import divan_obs_asgi as obs

ITEMS = {7: "tea", 8: "coffee"}


def show(request: HttpRequest, item_id: int) -> JsonResponse:
    if item_id not in ITEMS:
        raise Http404
    views.labels(ITEMS[item_id]).inc()
    log.info("item shown", extra={"item": ITEMS[item_id]})
    return JsonResponse({"name": ITEMS[item_id]})


urlpatterns = [path("items/<int:item_id>", show)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"])

log = obs.logger("shop")
observability = obs.Observability.from_env()
views = observability.metrics.counter("item_views_total", "Items that were shown.", ["item"])
observability.metrics.declare("item", list(ITEMS.values()))
observability.probes.register(obs.probes.DiskProbe(".", min_free_bytes=1_000_000))
app = obs.wrap(get_asgi_application(), observability)
