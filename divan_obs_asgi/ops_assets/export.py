"""What an export writes: new files, and those that the team has left as they were."""

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
    What is to be done, decided before anything is written.

    Attributes:
        said: a line for each file that is not just up to date.
        files: the hashes that the manifest is to have.
    """

    written: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    up_to_date: int = 0


def selected(texts: Mapping[str, str], patterns: tuple[str, ...]) -> dict[str, str]:
    """
    Return the files that one of `patterns` matches; all where there are none.

    Raises:
        AssetsError: if a pattern matches nothing.
    """
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in texts):
            raise AssetsError(f"--only {pattern!r} matches no file; `divan-obs assets list` shows all of them.")
    return {path: text for path, text in texts.items() if is_selected(path, patterns)}


def is_selected(path: str, patterns: tuple[str, ...]) -> bool:
    """Return whether one of `patterns` matches; no pattern selects all."""
    return not patterns or any(fnmatchcase(path, pattern) for pattern in patterns)


def known(folder: Folder) -> Manifest | None:
    """Return the manifest of a folder; None if nothing was exported there."""
    text = folder.read(manifest.NAME)
    return None if text is None else manifest.read(text)


def export(folder: Folder, parameters: Parameters, only: tuple[str, ...], before: Manifest | None) -> Plan:
    """
    Bring the files of `parameters` into the folder, those that `only` matches.

    Args:
        only: of this export; without it that of the earlier ones holds.
        before: the folder's manifest.
    """
    old = before or Manifest(parameters, only)
    patterns = only or old.only
    texts = exported(parameters)
    plan = Plan(files=dict(old.files))
    for path, text in selected(texts, patterns).items():
        _bring(plan, folder, path, text, old.files.get(path), wanted=bool(only))
    for path in sorted(set(old.files) - set(texts)):
        if is_selected(path, patterns):
            _give_up(plan, folder, path, old.files[path])
    merged = tuple(dict.fromkeys((*old.only, *only))) if old.only else ()
    _remember(plan, folder, Manifest(parameters, merged, plan.files))
    folder.change(plan.written, plan.removed)
    return plan


def _bring(plan: Plan, folder: Folder, path: str, text: str, exported_hash: str | None, *, wanted: bool) -> None:
    present, beside = folder.read(path), folder.read(path + NEW)
    plan.files[path] = digest(text)
    if present is None and exported_hash is not None and not wanted:
        plan.said.append(f"left out {path}: you deleted it; --only {path} brings it back")
    elif present is None:
        plan.written[path] = text
        plan.said.append(f"wrote    {path}")
    elif digest(present) == digest(text):
        plan.up_to_date += 1
        if beside is not None and digest(beside) == digest(text):
            plan.removed.append(path + NEW)
            plan.said.append(f"removed  {path}{NEW}: you have taken it over")
    elif digest(present) == exported_hash:
        plan.written[path] = text
        plan.said.append(f"updated  {path}")
    else:
        if beside is None or digest(beside) != digest(text):
            plan.written[path + NEW] = text
        cause = "you changed it" if exported_hash else "it was not exported"
        plan.said.append(f"kept     {path}: {cause}; ours is {path}{NEW}")


def _give_up(plan: Plan, folder: Folder, path: str, exported_hash: str) -> None:
    """A file that is generated no longer: it goes where nobody has changed it."""
    del plan.files[path]
    present = folder.read(path)
    if present is not None and digest(present) == exported_hash:
        plan.removed.append(path)
        plan.said.append(f"removed  {path}: it is generated no longer")
    elif present is not None:
        plan.said.append(f"kept     {path}: it is generated no longer, and you changed it")


def _remember(plan: Plan, folder: Folder, new: Manifest) -> None:
    text = new.written()
    if folder.read(manifest.NAME) != text:
        plan.written[manifest.NAME] = text


__all__ = ["NEW", "Plan", "export", "is_selected", "known", "selected"]
