"""Applications as their frameworks' own tutorials write them, wrapped: nothing is found that is no fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import django
import fastapi
import litestar
import pytest
import quart
import socketio

from tests.patience import PATIENCE_S

FASTAPI = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/items/{item_id}")
async def read_item(item_id: int, q: str | None = None):
    return {"item_id": item_id, "q": q}

obs.init(app)
"""
DJANGO = """
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

def question(request, question_id):
    return HttpResponse(str(question_id))

urlpatterns = [path("polls/<int:question_id>/", question)]
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="a key of a test", ALLOWED_HOSTS=["*"])
app = obs.wrap(get_asgi_application())
"""
LITESTAR = """
from litestar import Litestar, get

@get("/books")
async def get_books() -> list[int]:
    return [1, 2]

app = obs.wrap(Litestar([get_books]))
"""
QUART = """
from quart import Quart

quart = Quart(__name__)

@quart.get("/post/<int:post_id>")
async def post(post_id):
    return str(post_id)

app = obs.wrap(quart)
"""
SOCKETIO = """
import socketio

sio = socketio.AsyncServer(async_mode="asgi")

@sio.event
async def my_event(sid, message):
    await sio.emit("my_response", {"data": message["data"]}, room=sid)

app = obs.wrap(socketio.ASGIApp(sio))
"""
TUTORIALS = {
    fastapi.__name__: FASTAPI,
    django.__name__: DJANGO,
    litestar.__name__: LITESTAR,
    quart.__name__: QUART,
    socketio.__name__: SOCKETIO,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorials_application_has_no_fault(name: str, tmp_path: Path) -> None:
    """By the real command: a process has one configuration of Django."""
    (tmp_path / "tutorial.py").write_text(f"import divan_obs_asgi as obs\n{TUTORIALS[name]}")
    environ = {"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": "b7e151628aed2a6abf7158809cf4f3c7"}
    command = [sys.executable, "-m", "divan_obs_asgi", "check", "--deploy", "--app", "tutorial:app", "--format", "json"]
    done = subprocess.run(
        command, env={**os.environ, **environ}, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, json.loads(done.stdout)["findings"]) == (0, []), done.stderr
