"""The catalogue as it is read: by people, by programs, in a document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from divan_obs_asgi.metrics.catalogue import DOMAIN
from divan_obs_asgi.metrics.family import Family, Metric


def as_text(families: Iterable[Family[Metric]], namespace: str) -> str:
    """Return a line for each family, in columns: name with labels, type, sentence."""
    rows = [(_named(family, namespace), family.kind, _help(family)) for family in families]
    width = max((len(name) for name, _, _ in rows), default=0)
    return "".join(f"{name:<{width}}  {kind:<9}  {help}\n" for name, kind, help in rows)


def as_json(families: Iterable[Family[Metric]], namespace: str) -> str:
    """Return a list of objects, with what the other forms leave out: buckets, vocabularies, modes of gauges."""
    return orjson.dumps([_whole(family, namespace) for family in families], option=orjson.OPT_INDENT_2).decode() + "\n"


def as_markdown(families: Iterable[Family[Metric]], namespace: str) -> str:
    """Return a table: name, type, labels, sentence."""
    head = "| metric | type | labels | what it tells |\n|--------|------|--------|---------------|\n"
    return head + "".join(
        f"| `{namespace}_{family.name}` | {family.kind} | {_shown(family.labels)} | {_plain(_help(family))} |\n"
        for family in families
    )


FORMS: Mapping[str, Callable[[Iterable[Family[Metric]], str], str]] = {
    "text": as_text,
    "json": as_json,
    "markdown": as_markdown,
}


def _help(family: Family[Metric]) -> str:
    return f"{family.help} On request." if family in DOMAIN else family.help


def _named(family: Family[Metric], namespace: str) -> str:
    labels = f"{{{','.join(family.labels)}}}" if family.labels else ""
    return f"{namespace}_{family.name}{labels}"


def _shown(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def _plain(sentence: str) -> str:
    # Markdown would print it bold.
    return re.sub(r"__\w+__", r"`\g<0>`", sentence)


def _whole(family: Family[Metric], namespace: str) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "name": f"{namespace}_{family.name}",
        "type": family.kind,
        "labels": family.labels,
        "help": family.help,
        "changed_by": family.by,
        "on_request": family in DOMAIN,
    }
    if family.kind == "histogram":
        whole["buckets"] = family.buckets
    if family.kind == "gauge":
        whole["mode"] = family.mode
    if family.vocabulary:
        whole["vocabulary"] = {label: sorted(values) for label, values in family.vocabulary.items()}
    return whole


__all__ = ["FORMS", "as_json", "as_markdown", "as_text"]
