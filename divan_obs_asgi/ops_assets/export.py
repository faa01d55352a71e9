"""The export: writes new files, and updates files that the team has not changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from divan_obs_asgi.ops_assets import manifest
from divan_obs_asgi.ops_assets.errors import AssetsError
from divan_obs_asgi.ops_assets.files import exported
from divan_obs_asgi.ops_assets.folder import Folder
from divan_obs_asgi.ops_assets.manifest import Manifest, digest
from divan_obs_asgi.ops_assets.parameters import Parameters

NEW = ".new"


@dataclass(slots=True)
class Plan:
    """
    The changes of an export, which are decided before anything is written.

    Attributes:
        messages: one line for each file that is not up to date.
        files: the hashes for the new manifest.
    """

    written: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    up_to_date: int = 0


def selected(texts: Mapping[str, str], patterns: tuple[str, ...]) -> dict[str, str]:
    """
    Return the files that match one of `patterns`, or all files without patterns.

    Raises:
        AssetsError: if a pattern matches nothing.
    """
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in texts):
            raise AssetsError(f"--only {pattern!r} does not match any file. `divan-obs assets list` lists all files.")
    return {path: text for path, text in texts.items() if is_selected(path, patterns)}


def is_selected(path: str, patterns: tuple[str, ...]) -> bool:
    """Return whether one of `patterns` matches; without patterns every path is selected."""
    return not patterns or any(fnmatchcase(path, pattern) for pattern in patterns)


def manifest_of(folder: Folder) -> Manifest | None:
    """Return the manifest of a folder; None if nothing was exported there."""
    text = folder.read(manifest.NAME)
    return None if text is None else manifest.read(text)


def export(folder: Folder, parameters: Parameters, only: tuple[str, ...], before: Manifest | None) -> Plan:
    """
    Export the files of `parameters` that match `only` into the folder.

    Args:
        only: the patterns of this export; if empty, the patterns of the earlier exports apply.
        before: the manifest of the folder.
    """
    old = before or Manifest(parameters, only)
    patterns = only or old.only
    texts = exported(parameters)
    plan = Plan(files=dict(old.files))
    for path, text in selected(texts, patterns).items():
        _plan_file(plan, folder, path, text, old.files.get(path), restores=bool(only))
    for path in sorted(set(old.files) - set(texts)):
        if is_selected(path, patterns):
            _plan_removal(plan, folder, path, old.files[path])
    merged = tuple(dict.fromkeys((*old.only, *only))) if old.only else ()
    _plan_manifest(plan, folder, Manifest(parameters, merged, plan.files))
    folder.change(plan.written, plan.removed)
    return plan


def _plan_file(plan: Plan, folder: Folder, path: str, text: str, exported_hash: str | None, *, restores: bool) -> None:
    present, beside = folder.read(path), folder.read(path + NEW)
    plan.files[path] = digest(text)
    if present is None and exported_hash is not None and not restores:
        plan.messages.append(f"skipped  {path}: you deleted it; use --only {path} to restore it")
    elif present is None:
        plan.written[path] = text
        plan.messages.append(f"wrote    {path}")
    elif digest(present) == digest(text):
        plan.up_to_date += 1
        if beside is not None and digest(beside) == digest(text):
            plan.removed.append(path + NEW)
            plan.messages.append(f"removed  {path}{NEW}: you have merged it")
    elif digest(present) == exported_hash:
        plan.written[path] = text
        plan.messages.append(f"updated  {path}")
    else:
        if beside is None or digest(beside) != digest(text):
            plan.written[path + NEW] = text
        cause = "you changed it" if exported_hash else "it was not exported"
        plan.messages.append(f"kept     {path}: {cause}; the new version is {path}{NEW}")


def _plan_removal(plan: Plan, folder: Folder, path: str, exported_hash: str) -> None:
    """Remove a file that is no longer generated, unless the team has changed it."""
    del plan.files[path]
    present = folder.read(path)
    if present is not None and digest(present) == exported_hash:
        plan.removed.append(path)
        plan.messages.append(f"removed  {path}: it is no longer generated")
    elif present is not None:
        plan.messages.append(f"kept     {path}: it is no longer generated, but you changed it")


def _plan_manifest(plan: Plan, folder: Folder, new: Manifest) -> None:
    text = new.written()
    if folder.read(manifest.NAME) != text:
        plan.written[manifest.NAME] = text


__all__ = ["NEW", "Plan", "export", "is_selected", "manifest_of", "selected"]
