"""
Take the pictures of docs/console.md: `python -m tests.console.pictures docs/pictures/console`.

Each tab at 360, 768 and 1440 px, light and dark, in a real Chromium. Few colours keep the files small.
"""

from __future__ import annotations

from pathlib import Path

import click
from PIL import Image

from tests.console.fake_service import TOKEN, FakeService
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.chromium import visit

FILES = Path(__file__).with_name("browser")
COLOURS = 32


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with serve(FakeService().app) as serving:
        where = {"url": f"{serving.url}/ops/console", "origin": serving.url, "token": TOKEN, "folder": str(folder)}
        # The failed request, which has a bar, lines and an error.
        visit(
            FILES / "visit.js",
            packages=FILES,
            patience_s=16 * PATIENCE_S,
            visit="looks",
            open=0,
            schemes=["light", "dark"],
            **where,
        )
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()
