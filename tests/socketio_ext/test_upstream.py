"""What the server relies on in python-socketio though nobody promised it: an upgrade that breaks it is named here."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import socketio
from socketio.async_pubsub_manager import AsyncPubSubManager

import divan_obs_asgi.socketio_ext

PACKAGE = Path(divan_obs_asgi.socketio_ext.__file__).parent
VERSION = importlib.metadata.version("python-socketio")

#: Methods that are overridden or called, with every signature that the server was written for: newest first, and behind
#: it those that python-socketio has had since 5.11. Private ones all, and what the manager offers, which is documented
#: for none but emitting.
SIGNATURES = {
    "AsyncServer._handle_event": ["eio_sid, namespace, id, data"],
    "AsyncServer._trigger_event": ["event, namespace, *args"],
    "AsyncServer.call": ["event, data=None, to=None, sid=None, namespace=None, timeout=60, ignore_queue=False"],
    "AsyncServer.disconnect": ["sid, namespace=None, ignore_queue=False"],
    "AsyncServer.emit": [
        "event, data=None, to=None, room=None, skip_sid=None, namespace=None, callback=None, ignore_queue=False",
    ],
    "AsyncManager.basic_disconnect": ["sid, namespace, **kwargs"],
    "AsyncManager.connect": ["sid, namespace", "eio_sid, namespace"],
    "AsyncManager.disconnect": ["sid, namespace, **kwargs"],
    "AsyncManager.eio_sid_from_sid": ["sid, namespace"],
    "AsyncManager.emit": [
        "event, data, namespace, room=None, skip_sid=None, callback=None, to=None, **kwargs",
        "event, data, namespace, room=None, skip_sid=None, callback=None, **kwargs",
    ],
    "AsyncManager.get_namespaces": [""],
    "AsyncManager.get_participants": ["namespace, room"],
    "AsyncManager.is_connected": ["sid, namespace"],
    "AsyncManager.pre_disconnect": ["sid, namespace"],
    "AsyncManager.sid_from_eio_sid": ["eio_sid, namespace"],
    "AsyncManager.trigger_callback": ["sid, id, data"],
    "AsyncPubSubManager._handle_emit": ["message"],
    "AsyncPubSubManager._listen": [""],
    "AsyncPubSubManager._publish": ["data"],
    "EngineServer._bad_request": ["message=None"],
    "EngineServer._log_error_once": ["message, message_key"],
    "EngineServer._method_not_found": [""],
    "EngineServer.disconnect": ["sid=None"],
    "EngineServer._ok": ["packets=None, headers=None, jsonp_index=None"],
    "EngineServer._unauthorized": ["message=None"],
    "EngineServer.on": ["event, handler=None"],
    "EngineServer.send_packet": ["sid, pkt"],
}
#: Attributes that are read, with their types.
ATTRIBUTES = {
    "AsyncServer._binary_packet": dict,
    "AsyncServer.environ": dict,
    "AsyncServer.handlers": dict,
    "AsyncServer.manager": socketio.AsyncManager,
    "AsyncServer.namespace_handlers": dict,
    "AsyncServer.namespaces": list,
    "AsyncServer.packet_class": type,
    "AsyncServer.reserved_events": list,
    "AsyncManager.callbacks": dict,
    "AsyncManager.pending_disconnect": dict,
    "AsyncManager.rooms": dict,
    "AsyncPubSubManager.host_id": str,
    "EngineServer.handlers": dict,
    "EngineServer.logger": logging.Logger,
    "EngineServer.max_http_buffer_size": int,
    "EngineServer.sequence_number": int,
    "EngineServer.sockets": dict,
}
#: What came after 5.11; the server does without it where it is not there.
SINCE = {"AsyncManager.pending_connect": (5, 18), "AsyncManager.pre_connect": (5, 18)}
#: Under which name the server has whom, and in which file `super()` is whose.
OWNERS = {"manager": "AsyncManager", "eio": "EngineServer", "_engine": "EngineServer"}
SUPER = {"manager.py": "AsyncPubSubManager", "engine.py": "EngineServer"}


def owner_of(name: str) -> object:
    server = socketio.AsyncServer(async_mode="asgi")
    owners = {"AsyncServer": server, "AsyncManager": server.manager, "EngineServer": server.eio}
    return {**owners, "AsyncPubSubManager": AsyncPubSubManager()}[name.partition(".")[0]]


def signature(function: Callable[..., object]) -> str:
    """Return the parameters of a bound method as they are written, without annotations."""
    return str(inspect.signature(function))[1:-1]


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_method_takes_what_it_took(name: str) -> None:
    """A parameter that came, went or moved is named."""
    method = getattr(owner_of(name), name.partition(".")[2], None)
    assert method is not None, f"python-socketio {VERSION} has no {name} any more"
    assert signature(method) in SIGNATURES[name], f"python-socketio {VERSION} has changed {name}"


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_is_what_it_was(name: str) -> None:
    """State that the gauges are read from is there, and of its old type."""
    value = getattr(owner_of(name), name.partition(".")[2], None)
    assert isinstance(value, ATTRIBUTES[name]), f"python-socketio {VERSION} has changed {name}"


@pytest.mark.parametrize("name", SINCE)
def test_what_came_later_is_there_since(name: str) -> None:
    """An attribute that only newer versions have has not gone again."""
    there = hasattr(owner_of(name), name.partition(".")[2])
    assert there == (tuple(map(int, VERSION.split(".")[:2])) >= SINCE[name]), f"python-socketio {VERSION}: {name}"


def used() -> Iterator[tuple[str, str]]:
    """Yield what the package's code uses of python-socketio's insides, each with where it stands."""
    trees = {path: ast.parse(path.read_text()) for path in PACKAGE.glob("*.py")}
    own = {name for tree in trees.values() for node in ast.walk(tree) for name in defined(node)}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                name = insides(node, own, SUPER.get(path.name, "AsyncServer"))
                if name:
                    yield name, f"{path.name}:{node.lineno}"


def defined(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node gives to functions, classes and attributes of `self`."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def insides(node: ast.Attribute, own: set[str], parent: str) -> str | None:
    of = node.value
    if node.attr.startswith("divan_"):
        return None  # What our own subclasses have beside the parents' names.
    if isinstance(of, ast.Attribute) and of.attr in OWNERS:
        return f"{OWNERS[of.attr]}.{node.attr}"
    inherited = isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super"
    private = node.attr.startswith("_") and not node.attr.startswith("__")
    if private and (inherited or node.attr not in own):
        return f"{parent}.{node.attr}"
    return None


def test_everything_that_is_used_stands_here() -> None:
    """Nobody uses an inside of python-socketio without its being held by the tests above."""
    known = SIGNATURES.keys() | ATTRIBUTES.keys() | SINCE.keys()
    assert sorted(f"{name} ({where})" for name, where in used() if name not in known) == []


def test_nothing_stands_here_that_is_not_used() -> None:
    """A row that is needed no more is removed."""
    text = "\n".join(path.read_text() for path in PACKAGE.glob("*.py"))
    assert [name for name in {**SIGNATURES, **ATTRIBUTES, **SINCE} if name.partition(".")[2] not in text] == []
