"""The page to open first, and a second view of it. Their script, in `page`, measures web vitals."""

from html import escape
from pathlib import Path
from string import Template
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from divan_obs_asgi import Settings
from examples.divan.parts import part

FOLDER = Path(__file__).with_name("page")
# No inline scripts or styles, and nothing from another origin.
POLICY = {"Content-Security-Policy": "default-src 'self'"}

router = APIRouter(include_in_schema=False)


def page_of(settings: Settings) -> str:
    """Return the page; it measures web vitals if the service accepts them."""
    routes, enabled = escape(",".join(settings.vitals.routes)), str(settings.vitals.enabled).lower()
    html = Template((FOLDER / "index.html").read_text())
    return html.substitute(prefix=settings.ops.prefix, enabled=enabled, routes=routes)


@router.get("/")
@router.get("/vitals")
async def page(html: Annotated[str, part("page")]) -> HTMLResponse:
    return HTMLResponse(html, headers=POLICY)
