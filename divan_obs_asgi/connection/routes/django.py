"""Django: notes the resolver's match, which is in the request but in no ASGI message."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from divan_obs_asgi.connection.routes.matched import Reader, note_match
from divan_obs_asgi.connection.routes.notation import from_django

# One route with `i18n_patterns` has one name: Django has a hundred languages, and the client chooses.
_LANGUAGE = "{language}"


def reader(applications: Iterable[object]) -> Reader | None:
    """
    Make Django's ASGI handler note the match of its resolver; done once per process.

    This wraps the class and not one handler: `get_asgi_application()` may be mounted anywhere, or called later. No
    signal and no message has the match, and a middleware would have to be in the application's settings.
    """
    handler: Any = getattr(sys.modules["django.core.handlers.asgi"], "ASGIHandler", None)
    resolve = getattr(handler, "resolve_request", None)
    if resolve is None or hasattr(resolve, "notes_match"):
        return None

    @functools.wraps(resolve)
    def resolve_request(self: Any, request: Any) -> Any:
        match = resolve(self, request)
        note_match(getattr(request, "scope", {}), _template, (match, getattr(request, "urlconf", None)))
        return match

    resolve_request.notes_match = True  # type: ignore[attr-defined]
    handler.resolve_request = resolve_request
    return None


def _template(matched: tuple[Any, Any]) -> str | None:
    match, urlconf = matched
    route = getattr(match, "route", None)
    return None if route is None else _named(str(route), _languages_before(urlconf))


def _languages_before(urlconf: Any) -> frozenset[str]:
    """Return the languages that may stand before a route, where the URL configuration uses `i18n_patterns`."""
    settings = import_module("django.conf").settings
    used, _ = import_module("django.conf.urls.i18n").is_language_prefix_patterns_used(urlconf or settings.ROOT_URLCONF)
    return frozenset(code for code, _ in settings.LANGUAGES) | {settings.LANGUAGE_CODE} if used else frozenset()


@functools.lru_cache(maxsize=4096)
def _named(route: str, languages: frozenset[str]) -> str:
    first, slash, rest = route.partition("/")
    if slash and first in languages:
        return f"/{_LANGUAGE}/{from_django(rest)}"
    return "/" + from_django(route).removeprefix("/")


__all__ = ["reader"]
