"""The surface in Django, its WebSocket in Channels."""

from __future__ import annotations

from typing import Any

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

import divan_obs_asgi as obs
from tests.matrix import surface


def room(request: HttpRequest, room_id: str) -> HttpResponse:
    return HttpResponse(surface.room())


def fail(request: HttpRequest, room_id: str) -> HttpResponse:
    return HttpResponse(surface.fail())


async def wait(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await surface.wait())


class Echo(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(surface.echo(text_data or ""))


urlpatterns = [path("rooms/<str:room_id>", room), path("fail/<str:room_id>", fail), path("wait", wait)]
settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
django.setup()

websockets: Any = URLRouter([path("echo/<str:room_id>", Echo.as_asgi())])
app = obs.wrap(ProtocolTypeRouter({"http": get_asgi_application(), "websocket": websockets}))
