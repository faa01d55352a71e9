"""Routers with dependencies, CORS and GZip: FastAPI's tutorial, "Bigger Applications" and "CORS"."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from pydantic import BaseModel

import divan_obs_asgi as obs


class Item(BaseModel):
    name: str
    price: float


async def known_token(x_token: Annotated[str, Header()]) -> None:
    if x_token != "tutorial":
        raise HTTPException(400, "X-Token header invalid")


items = APIRouter(prefix="/items", tags=["items"], dependencies=[Depends(known_token)])


@items.get("/{item_id}")
async def read_item(item_id: int, q: str | None = None) -> dict[str, object]:
    return {"item_id": item_id, "q": q}


@items.put("/{item_id}")
async def update_item(item_id: int, item: Item) -> Item:
    return item


app = FastAPI()
app.include_router(items)
app.add_middleware(CORSMiddleware, allow_origins=["http://localhost:3000"], allow_methods=["*"])
app.add_middleware(GZipMiddleware)


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


obs.init(app)
