"""Pages with a form, a blueprint and a WebSocket: Quart's tutorials, "Building a simple blog" and "a chat server"."""

from __future__ import annotations

from quart import Blueprint, Quart, redirect, request, url_for, websocket
from werkzeug.wrappers import Response

import divan_obs_asgi as obs

POSTS: list[str] = []

blog = Blueprint("blog", __name__, url_prefix="/blog")


@blog.get("/")
async def posts() -> str:
    return "\n".join(POSTS)


@blog.route("/create/", methods=["GET", "POST"])
async def create() -> str | Response:
    if request.method == "POST":
        POSTS.append((await request.form)["title"])
        return redirect(url_for("blog.posts"))
    return "<form method=post><input name=title></form>"


quart = Quart(__name__)
quart.register_blueprint(blog)


@quart.websocket("/ws")
async def echo() -> None:
    while True:
        await websocket.send(await websocket.receive())


app = obs.wrap(quart)  # type: ignore[arg-type]
