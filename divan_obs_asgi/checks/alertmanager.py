"""Checks of Alertmanager: does a page reach somebody?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import CannotCheck, Finding

_MATCHER = re.compile(r'\s*"?([^"=!~\s]+)"?\s*(=~|!=|!~|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^",]*?))\s*')
# Reserved names (RFC 2606), as examples use them.
_NOWHERE = re.compile(
    r"\.(?:invalid|example|test)\b|\bexample\.(?:com|net|org)\b|change[-_ ]?me|replace[-_ ]?me", re.IGNORECASE
)


@check(
    "obs.E056",
    "A page reaches nobody: its receiver is missing or empty.",
    docs="docs/alerts.md",
    subject="alertmanager",
)
def page_is_lost(deployment: Deployment) -> Iterator[Finding]:
    file, config = _of(deployment)
    reached = _reached(file, config, "page")
    if not any(_integrations(config, name) for name in reached):
        yield Finding(
            f'An alert with severity="page" goes to {_listed(reached)}, which notifies nobody.',
            'Give that receiver an integration, or route severity="page" to a receiver that has one.',
            file,
        )


@check("obs.W057", "Pages and tickets go to the same receiver.", docs="docs/alerts.md", subject="alertmanager")
def page_is_a_ticket(deployment: Deployment) -> Iterator[Finding]:
    file, config = _of(deployment)
    reached = _reached(file, config, "page")
    if reached == _reached(file, config, "ticket"):
        yield Finding(
            f'Alerts with severity="page" and severity="ticket" both go to {_listed(reached)}.',
            'Add a route with the matcher severity="page" to the receiver that wakes somebody up.',
            file,
        )


@check("obs.W058", "A page goes to the address of an example.", docs="docs/alerts.md", subject="alertmanager")
def page_to_nowhere(deployment: Deployment) -> Iterator[Finding]:
    file, config = _of(deployment)
    for name in sorted(_reached(file, config, "page")):
        if _NOWHERE.search(json.dumps(_integrations(config, name), default=str)):
            yield Finding(
                f"The receiver {name} has a placeholder as its address.",
                "Set the address of your own integration.",
                file,
            )


def _of(deployment: Deployment) -> tuple[str, Mapping[str, Any]]:
    assert deployment.alertmanager is not None, "these checks run only with a configuration of Alertmanager"
    return deployment.alertmanager


def _reached(file: str, config: Mapping[str, Any], severity: str) -> set[str]:
    reached: set[str] = set()
    try:
        _walk(config["route"], severity, "", reached)
        for name in reached:
            _integrations(config, name)
    except (AttributeError, TypeError, re.error):
        raise CannotCheck(f"{file} has a route or a receiver that Alertmanager cannot read.") from None
    return reached


def _walk(route: Mapping[str, Any], severity: str, inherited: str, reached: set[str]) -> None:
    """Add each receiver that an alert may reach; only its severity is known."""
    receiver = str(route.get("receiver") or inherited)
    for child in route.get("routes") or []:
        verdict = _matches(child, severity)
        if verdict is False:
            continue
        _walk(child, severity, receiver, reached)
        if verdict and not child.get("continue"):
            return
    reached.add(receiver)


def _matches(route: Mapping[str, Any], severity: str) -> bool | None:
    """Return whether a route takes the alert; None if other labels decide."""
    verdict: bool | None = True
    for label, op, value in _matchers(route):
        if label != "severity":
            verdict = None
            continue
        holds = bool(re.fullmatch(value, severity)) if "~" in op else value == severity
        if holds == op.startswith("!"):
            return False
    return verdict


def _matchers(route: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key, op in (("match", "="), ("match_re", "=~")):
        yield from ((str(label), op, str(value)) for label, value in (route.get(key) or {}).items())
    for text in route.get("matchers") or []:
        # One matcher, or several in braces.
        for label, op, quoted, bare in _MATCHER.findall(str(text).strip().removeprefix("{").removesuffix("}")):
            yield label.lstrip(","), op, quoted or bare


def _integrations(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    named: list[dict[str, Any]] = [one for one in config.get("receivers") or [] if one.get("name") == name]
    return {key: value for one in named for key, value in one.items() if key.endswith("_configs") and value}


def _listed(names: set[str]) -> str:
    return " or ".join(repr(name) for name in sorted(names))


__all__ = ["page_is_a_ticket", "page_is_lost", "page_to_nowhere"]
