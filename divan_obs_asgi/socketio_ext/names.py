"""Which namespaces and events have a handler. Names that a client invents never become labels."""

from __future__ import annotations

from collections.abc import Hashable
from inspect import getattr_static
from typing import Any

UNKNOWN = "__unknown__"


class Names:
    """The names for which the handlers of one server are registered."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.reserved = frozenset(server.reserved_events)

    def namespace(self, namespace: str) -> str:
        """Return the label of a namespace: its name, if the application has used that name."""
        server = self._server
        known = (
            namespace in server.handlers
            or namespace in server.namespace_handlers
            or (server.namespaces != "*" and namespace in server.namespaces)
        )
        return namespace if known and namespace != "*" else UNKNOWN

    def declared(self) -> dict[str, list[str]]:
        """Return the namespaces that have handlers, each with its events, without catch-all handlers."""
        server = self._server
        found: dict[str, list[str]] = {}
        for namespace in {*server.handlers, *server.namespace_handlers} - {"*"}:
            methods = dir(server.namespace_handlers.get(namespace))
            events = {*server.handlers.get(namespace, ()), *(name[3:] for name in methods if name.startswith("on_"))}
            found[namespace] = sorted(events - self.reserved - {"*"})
        return found

    def event(self, namespace: str, event: object) -> str:
        """Return the label of an event: its name, if a handler is registered for it; else `__unknown__`."""
        if not isinstance(event, str) or event == "*":
            return UNKNOWN
        if event in self.reserved or any(event in known for known in self._functions(namespace)):
            return event
        # Only methods in the code count: `__getattr__` of an object may find one for any name that a client sends.
        return event if getattr_static(self._methods(namespace), f"on_{event}", None) is not None else UNKNOWN

    def accepted(self, namespace: str) -> bool:
        """Return whether a client may ask to connect to a namespace."""
        server = self._server
        return (
            server.namespaces == "*"
            or namespace in server.handlers
            or namespace in server.namespace_handlers
            or namespace in server.namespaces
        )

    def handled(self, namespace: str, event: object) -> bool:
        """Return whether python-socketio finds a handler; the name that a client sends may be a number or null."""
        if isinstance(event, str) and self._registered(namespace, event):
            return True
        functions = self._functions(namespace)
        if functions and not isinstance(event, Hashable):
            return False  # python-socketio looks it up, and fails.
        if event not in self._server.reserved_events and any("*" in known for known in functions):
            return True
        methods = self._methods(namespace)
        # A namespace class with a dispatch of its own takes every event.
        return methods is not None and not type(methods).trigger_event.__module__.startswith("socketio.")

    def _registered(self, namespace: str, event: str) -> bool:
        return any(event in known for known in self._functions(namespace)) or hasattr(
            self._methods(namespace), f"on_{event}"
        )

    def _functions(self, namespace: str) -> list[dict[str, Any]]:
        handlers = self._server.handlers
        return [handlers[name] for name in (namespace, "*") if name in handlers]

    def _methods(self, namespace: str) -> Any:
        methods = self._server.namespace_handlers
        return methods.get(namespace) or methods.get("*")


__all__ = ["UNKNOWN", "Names"]
