"""What `ObservedAsyncServer` is given, and what it does with Engine.IO, is as in `socketio.AsyncServer`."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import logging
from typing import Any

import anyio
import engineio
import pytest
import socketio

import divan_obs_asgi as obs
from tests.stacks import Observed


class Logs:
    """Something that logs, whose name is whatever it is."""

    def __init__(self, name: object) -> None:
        self.name = name

    def info(self, *args: object) -> None: ...

    warning = error = debug = exception = info


LOGGERS: list[Any] = [
    *(True, False, logging.getLogger("an.application"), logging.getLogger("")),
    logging.LoggerAdapter(logging.getLogger("an.application"), {}),
    *(Logs(name) for name in (None, 7, b"bytes", [], object(), lambda: "called")),
]


@pytest.mark.parametrize("logger", LOGGERS, ids=lambda logger: type(logger).__name__)
@pytest.mark.parametrize("argument", ["logger", "engineio_logger"])
def test_anything_that_logs_is_a_logger(argument: str, logger: Any) -> None:
    """A LoggerAdapter, or the logger of another library, whose name may be no text."""
    given: dict[str, Any] = {argument: logger}
    server = obs.socketio_ext.ObservedAsyncServer(obs=Observed().obs, async_mode="asgi", **given)
    used = server.logger if argument == "logger" else server.eio.logger
    assert isinstance(logger, bool) or used is logger


def test_the_ids_of_sessions_are_masked_below_an_adapter_too() -> None:
    """The filter stands on the logger that the adapter writes to."""
    logger = logging.getLogger("tests.below_an_adapter")
    adapter = logging.LoggerAdapter(logger, {})
    server = obs.socketio_ext.ObservedAsyncServer(obs=Observed().obs, async_mode="asgi", logger=adapter)
    assert server.logger is adapter
    assert len(logger.filters) == 1


class Manager(socketio.AsyncManager):
    """Keeps the callbacks that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[object] = []

    async def emit(self, *args: Any, callback: Any = None, **kwargs: Any) -> None:
        self.handed.append(callback)


@pytest.mark.parametrize("callback", ["cb", 0, False, ("room", 3)])
def test_a_callback_that_cannot_be_called_is_handed_on_as_it_is(callback: Any) -> None:
    """A manager of the application's own may know what it means."""
    manager = Manager()
    server = obs.socketio_ext.ObservedAsyncServer(obs=Observed().obs, async_mode="asgi", client_manager=manager)
    anyio.run(lambda: server.emit("news", callback=callback))
    assert manager.handed == [callback]


def test_each_handler_is_registered_once_with_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that does more than store them does it once for each."""
    registered: list[str] = []
    on = engineio.AsyncServer.on

    def counting(self: Any, event: str, handler: Any = None) -> Any:
        registered.append(event)
        return on(self, event, handler)

    monkeypatch.setattr(engineio.AsyncServer, "on", counting)
    obs.socketio_ext.ObservedAsyncServer(obs=Observed().obs, async_mode="asgi")
    assert sorted(registered) == ["connect", "disconnect", "message"]
