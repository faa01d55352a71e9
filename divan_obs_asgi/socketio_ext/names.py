"""Which namespaces and events have a handler: what a client invents is no label."""

from __future__ import annotations

from collections.abc import Hashable
from inspect import getattr_static
from typing import Any

UNKNOWN = "__unknown__"


class Names:
    """The names that the handlers of one server were registered for."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.reserved = frozenset(server.reserved_events)

    def namespace(self, namespace: str) -> str:
        """Return the label of a namespace: its name where the application has named it, too."""
        server = self._server
        known = (
            namespace in server.handlers
            or namespace in server.namespace_handlers
            or (server.namespaces != "*" and namespace in server.namespaces)
        )
        return namespace if known and namespace != "*" else UNKNOWN

    def declared(self) -> dict[str, list[str]]:
        """Return the namespaces that have handlers, each with its events; catch-all ones have no names."""
        server = self._server
        found: dict[str, list[str]] = {}
        for namespace in {*server.handlers, *server.namespace_handlers} - {"*"}:
            methods = dir(server.namespace_handlers.get(namespace))
            events = {*server.handlers.get(namespace, ()), *(name[3:] for name in methods if name.startswith("on_"))}
            found[namespace] = sorted(events - self.reserved - {"*"})
        return found

    def event(self, namespace: str, event: object) -> str:
        """Return the label of an event: its name where a handler has it; a catch-all handler has none."""
        if not isinstance(event, str) or event == "*":
            return UNKNOWN
        if event in self.reserved or any(event in known for known in self._functions(namespace)):
            return event
        # Written in the code: an object may find a method for whatever a client calls.
        return event if getattr_static(self._methods(namespace), f"on_{event}", None) is not None else UNKNOWN

    def accepted(self, namespace: str) -> bool:
        """Tell whether a client may ask to connect to a namespace."""
        server = self._server
        return (
            server.namespaces == "*"
            or namespace in server.handlers
            or namespace in server.namespace_handlers
            or namespace in server.namespaces
        )

    def handled(self, namespace: str, event: object) -> bool:
        """Tell whether python-socketio finds somebody to call; a client may call an event by a number, or nothing."""
        if isinstance(event, str) and self._registered(namespace, event):
            return True
        functions = self._functions(namespace)
        if functions and not isinstance(event, Hashable):
            return False  # It looks it up, and fails.
        if event not in self._server.reserved_events and any("*" in known for known in functions):
            return True
        methods = self._methods(namespace)
        # A namespace class that dispatches by itself takes everything.
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
