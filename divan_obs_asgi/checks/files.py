"""Reads rule files, dashboards and the configuration of Alertmanager."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from divan_obs_asgi.checks.finding import CannotCheck

_LABEL_VALUES = re.compile(r"\s*label_values\(\s*(.+),\s*\w+\s*\)\s*", re.DOTALL)
_QUERY_RESULT = re.compile(r"\s*query_result\((.+)\)\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Query:
    """
    A PromQL expression.

    Attributes:
        where: the alert or the panel that contains it, for messages.
        is_sure: whether it is certainly PromQL; a board can contain LogQL and variables.
    """

    file: str
    where: str
    expr: str
    is_sure: bool


@dataclass(frozen=True, slots=True)
class Queries:
    """All expressions of the files that were given, and the series that the rule files record."""

    all: tuple[Query, ...]
    recorded: frozenset[str]


def load_queries(rules: Iterable[str], folders: Iterable[str]) -> Queries | None:
    """
    Read rule files, and the boards in folders; return None without any.

    Raises:
        CannotCheck: if a file cannot be read.
    """
    files = [(file, rule) for file in rules for rule in _rules(file)]
    queries = [
        Query(file, str(rule.get("alert") or rule.get("record") or "a rule"), str(rule.get("expr", "")), is_sure=True)
        for file, rule in files
    ]
    queries += [query for folder in folders for query in _boards(Path(folder))]
    if not queries:
        return None
    return Queries(tuple(queries), frozenset(str(rule["record"]) for _, rule in files if "record" in rule))


def load_alertmanager(file: str) -> Mapping[str, Any]:
    """Read the configuration of Alertmanager."""
    for document in _yaml(file):
        if isinstance(document, dict) and isinstance(document.get("route"), dict):
            return document
    raise CannotCheck(f"{file} has no route; expected an Alertmanager configuration.")


def installed(module: str) -> Any:
    """Return a module of the extra `check`."""
    try:
        return import_module(module)
    except ImportError:
        raise CannotCheck("Checks of files need the extra check: pip install 'divan-obs-asgi[check]'.") from None


def _rules(file: str) -> list[dict[str, Any]]:
    groups = []
    for document in _yaml(file):
        # In a PrometheusRule of the operator they are below `spec`.
        body = document.get("spec", document) if isinstance(document, dict) else {}
        listed = body.get("groups") if isinstance(body, dict) else None
        groups += listed if isinstance(listed, list) else []
    entries = [rule for group in groups if isinstance(group, dict) for rule in group.get("rules") or []]
    rules = [rule for rule in entries if isinstance(rule, dict)]
    if not rules:
        raise CannotCheck(f"{file} has no rules; expected a Prometheus rule file, or a PrometheusRule.")
    return rules


def _yaml(file: str) -> list[Any]:
    yaml = installed("yaml")
    try:
        return list(yaml.safe_load_all(_text(Path(file))))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise CannotCheck(f"{file} is not YAML" + (f": line {mark.line + 1}." if mark else ".")) from None
    except ValueError:
        # A value that looks like a date and is invalid.
        raise CannotCheck(f"{file} is not YAML.") from None
    except RecursionError:
        raise CannotCheck(f"{file} is nested too deeply.") from None


def _boards(folder: Path) -> Iterator[Query]:
    if not folder.is_dir():
        raise CannotCheck(f"{folder} is not a directory.")
    files = sorted(folder.rglob("*.json"))
    if not files:
        raise CannotCheck(f"{folder} has no dashboards (*.json).")
    for file in files:
        try:
            yield from list(_queries(json.loads(_text(file)), str(file), "the board", ""))
        except ValueError:
            raise CannotCheck(f"{file} is not JSON.") from None
        except RecursionError:
            raise CannotCheck(f"{file} is nested too deeply.") from None


def _queries(node: Any, file: str, where: str, source: str) -> Iterator[Query]:
    if isinstance(node, list):
        for one in node:
            yield from _queries(one, file, where, source)
    elif isinstance(node, dict):
        where = next((f"{node[key]!r}" for key in ("title", "name") if isinstance(node.get(key), str)), where)
        given = node.get("datasource")
        source = str(given.get("type", "")) if isinstance(given, dict) else source
        if source in ("", "prometheus", "datasource", "mixed"):
            if isinstance(node.get("expr"), str):
                yield Query(file, where, node["expr"], is_sure=source == "prometheus")
            if node.get("type") == "query":
                yield from _variable(node.get("query"), file, where)
        for value in node.values():
            yield from _queries(value, file, where, source)


def _variable(query: object, file: str, where: str) -> Iterator[Query]:
    text = query.get("query", "") if isinstance(query, dict) else query
    for pattern in (_LABEL_VALUES, _QUERY_RESULT):
        if isinstance(text, str) and (found := pattern.fullmatch(text)):
            yield Query(file, where, found[1], is_sure=False)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise CannotCheck(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CannotCheck(f"{path} is not in UTF-8.") from None


__all__ = ["Queries", "Query", "installed", "load_alertmanager", "load_queries"]
