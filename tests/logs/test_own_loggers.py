"""What counts as the application's own."""

from __future__ import annotations

import asyncio.base_events
import logging
import subprocess
import sys
import types
from pathlib import Path

import anyio._core._eventloop
import pytest

from divan_obs_asgi.logs import OwnLoggers

LIBRARY = anyio._core._eventloop.__file__
STANDARD_LIBRARY = asyncio.base_events.__file__


def line(name: str, file: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.DEBUG, file, 1, "text", (), None)


@pytest.mark.parametrize("name", ["chat", "root", __name__, "queue", "shop.chat"])
def test_a_line_of_the_applications_file_is_its_own(name: str) -> None:
    """Whatever its logger is called."""
    assert OwnLoggers().include(line(name, __file__))


@pytest.mark.parametrize("file", [LIBRARY, STANDARD_LIBRARY], ids=["anyio", "asyncio"])
def test_a_line_that_a_librarys_file_writes_is_not(file: str) -> None:
    """Whatever its logger is called, the root logger included; unless it is called after the application's module."""
    own = OwnLoggers()
    assert not any(own.include(line(name, file)) for name in ("anyio", "chat", "root", "asyncio", "", "."))
    # A thread pool calls `logger.info`.
    assert own.include(line(__name__, file))


@pytest.mark.parametrize("name", ["anyio.somewhere", "httpcore.http11", "aiosqlite", "asyncpg.pool"])
def test_a_library_that_gives_its_callers_file_is_known_by_name(name: str) -> None:
    """That is what `stacklevel` is for; and an editable install lies where an application's files do."""
    assert not OwnLoggers().include(line(name, __file__))


@pytest.mark.parametrize("file", ["", "<string>", "<frozen shop>", "/nowhere/shop.py", "(unknown file)\0"])
def test_an_unknown_place_is_a_librarys(file: str) -> None:
    """Fail closed."""
    assert not OwnLoggers().include(line("chat", file))


def test_a_logger_name_that_is_not_a_text_is_not_an_own_logger() -> None:
    """A record can be made of anything."""
    record = line("chat", __file__)
    record.name = 3  # type: ignore[assignment]
    assert not OwnLoggers().include(record)


def test_packages_that_were_unpacked_beside_the_application_are_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip install --target` leaves metadata there; an archive may have some."""
    folder, archive = tmp_path / "libs", tmp_path / "app.pyz"
    (folder / "some-1.0.dist-info").mkdir(parents=True)
    archive.touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(archive))
    own = OwnLoggers()
    assert own.include(line("chat", str(tmp_path / "shop.py")))
    assert own.include(line("chat", str(tmp_path / "shop" / "_vendors.py")))
    assert not own.include(line("chat", str(folder / "some.py")))
    assert not own.include(line("chat", str(archive / "shop.py")))
    assert not own.include(line("chat", str(tmp_path / "shop" / "_vendor" / "some.py")))


def test_the_package_that_is_named_as_the_applications_is_own_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an image the application is often installed like a library."""
    package = types.ModuleType("installed_shop")
    package.__path__ = ["/opt/venv/lib/python3.12/site-packages/installed_shop"]
    monkeypatch.setitem(sys.modules, "installed_shop", package)
    own = OwnLoggers()
    chat = f"{package.__path__[0]}/chat.py"
    assert not own.include(line("chat", chat))
    own.add_package("installed_shop.web.app")
    assert own.include(line("chat", chat))
    assert own.include(line("installed_shop.chat", chat))
    assert not own.include(line("chat", f"{package.__path__[0]}/_vendor/some.py"))
    assert not own.include(line("chat", f"{package.__path__[0]}_plugin/some.py"))


def test_a_named_logger_is_kept_with_those_below_it() -> None:
    """LOG_RECORDER_LOGGERS."""
    own = OwnLoggers(["httpcore", "anyio.low"])
    kept = {name for name in ("httpcore", "httpcore.http11", "httpcorex", "anyio") if own.include(line(name, LIBRARY))}
    assert kept == {"httpcore", "httpcore.http11"}


@pytest.mark.slow
def test_wrap_takes_its_callers_package_for_the_applications(tmp_path: Path) -> None:
    """Installed in site-packages, as by `pip install .`."""
    package = tmp_path / "site-packages" / "installed_shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text(
        "import divan_obs_asgi as obs\nfrom installed_shop import chat\napp = obs.wrap(chat.app)\n"
    )
    (package / "chat.py").write_text(
        "import logging\n"
        "logger = logging.getLogger('chat')\n"
        "async def app(scope, receive, send):\n"
        "    logger.debug('a detail')\n"
        "    await send({'type': 'http.response.start', 'status': 500, 'headers': []})\n"
        "    await send({'type': 'http.response.body'})\n"
    )
    script = (
        f"import sys, anyio; sys.path.insert(0, {str(package.parent)!r})\n"
        "from divan_obs_asgi.testing import converse, http_scope\n"
        "from installed_shop.app import app\n"
        "anyio.run(converse, app, http_scope())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert '"msg":"a detail"' in done.stdout
