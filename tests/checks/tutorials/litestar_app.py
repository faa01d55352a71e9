"""A list of things to do: Litestar's tutorial, "Developing a basic TODO application"."""

from __future__ import annotations

from dataclasses import dataclass

from litestar import Litestar, get, post, put
from litestar.config.cors import CORSConfig
from litestar.exceptions import NotFoundException

import divan_obs_asgi as obs


@dataclass
class Item:
    title: str
    done: bool = False


ITEMS = {"milk": Item("milk"), "bread": Item("bread", done=True)}


@get("/")
async def list_items(done: bool | None = None) -> list[Item]:
    return [item for item in ITEMS.values() if done in (None, item.done)]


@post("/")
async def add_item(data: Item) -> Item:
    ITEMS[data.title] = data
    return data


@put("/{title:str}")
async def update_item(title: str, data: Item) -> Item:
    if title not in ITEMS:
        raise NotFoundException
    ITEMS[title] = data
    return data


litestar = Litestar([list_items, add_item, update_item], cors_config=CORSConfig(["http://localhost:3000"]))
app = obs.wrap(litestar)  # type: ignore[arg-type]
