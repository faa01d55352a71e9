"""All checks: those of this package, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from divan_obs_asgi.checks.base import Check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import CannotCheck, Finding

ENTRY_POINTS = "divan_obs_asgi.checks"
_OWN = ("flags", "startup", "otlp", "names", "workers", "application", "queries", "alertmanager")


def all_checks() -> tuple[Check, ...]:
    """
    Return every check, sorted by id.

    Raises:
        CannotCheck: for an entry point that cannot be loaded, or an id that two checks have.
    """
    return _by_id(
        [*own_checks(), *(found for entry in entry_points(group=ENTRY_POINTS) for found in _checks_of_entry(entry))]
    )


def own_checks() -> tuple[Check, ...]:
    """Return the checks of this package, sorted by id."""
    modules = (import_module(f"divan_obs_asgi.checks.{name}") for name in _OWN)
    return _by_id(found for module in modules for found in _in(module))


def run(checks: Sequence[Check], deployment: Deployment) -> Iterator[tuple[Check, Finding]]:
    """
    Yield what the checks find.

    Raises:
        CannotCheck: if a check itself fails.
    """
    for one in checks:
        if not deployment.has(one.subject) or (one.only_deploy and not deployment.deploy):
            continue
        try:
            yield from [(one, finding) for finding in one.find(deployment)]
        except CannotCheck:
            raise
        except Exception as error:
            # The text of the exception may contain a secret.
            raise CannotCheck(f"The check {one.id} raised {type(error).__name__}.") from error


def _in(module: ModuleType) -> list[Check]:
    return [value for value in vars(module).values() if isinstance(value, Check)]


def _checks_of_entry(entry: EntryPoint) -> list[Check]:
    try:
        loaded = entry.load()
    except Exception as error:
        raise CannotCheck(f"The checks of {entry.value} cannot be loaded: {type(error).__name__}.") from error
    found = [loaded] if isinstance(loaded, Check) else _in(loaded) if isinstance(loaded, ModuleType) else []
    if not found:
        raise CannotCheck(f"The entry point {entry.value} has no checks; expected a check, or a module with some.")
    return found


def _by_id(checks: Iterable[Check]) -> tuple[Check, ...]:
    known: dict[str, Check] = {}
    for one in checks:
        if known.setdefault(one.id, one) is not one:
            raise CannotCheck(f"Two checks have the id {one.id}.")
    return tuple(known[name] for name in sorted(known, key=lambda id: (id.partition(".")[0], id[-3:], id)))


__all__ = ["ENTRY_POINTS", "all_checks", "own_checks", "run"]
