"""Folders of exported files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops_assets.exports import CHOICES, write


@pytest.fixture(scope="session", params=list(CHOICES))
def assets_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exported files, for several sets of parameters."""
    folder = tmp_path_factory.mktemp("ops")
    write(CHOICES[request.param], folder)
    return folder
