"""Write the generated files of divan_obs_asgi/ops_assets, for the default parameters: `python tools/assets.py`."""

from __future__ import annotations

from pathlib import Path

from divan_obs_asgi.ops_assets.files import files
from divan_obs_asgi.ops_assets.parameters import Parameters

ASSETS = Path(__file__).resolve().parents[1] / "divan_obs_asgi" / "ops_assets"


def main() -> None:
    for name, text in files(Parameters()).items():
        path = ASSETS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
