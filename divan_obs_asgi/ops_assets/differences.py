"""The differences between a folder and an export: changes of the team, and changes of the next export."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from divan_obs_asgi.ops_assets.export import is_selected
from divan_obs_asgi.ops_assets.files import exported
from divan_obs_asgi.ops_assets.folder import Folder
from divan_obs_asgi.ops_assets.manifest import Manifest, digest
from divan_obs_asgi.version import __version__


@dataclass(frozen=True, slots=True)
class Difference:
    """
    A file that was changed since its export, or that the next export would change.

    Attributes:
        what: the kind of the difference, in words.
        before, after: a label and the text on each side; the text is None if the file does not exist.
    """

    path: str
    what: str
    before: tuple[str, str | None]
    after: tuple[str, str | None]

    def written(self) -> str:
        """Return a heading line and a unified diff."""
        (old_label, old), (new_label, new) = self.before, self.after
        source, target = _name(old_label, self.path, old), _name(new_label, self.path, new)
        lines = difflib.unified_diff(_lines(old), _lines(new), source, target)
        ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
        return f"# {self.path}: {self.what}\n{''.join(ended)}"


def differences(folder: Folder, manifest: Manifest) -> Iterator[Difference]:
    """Yield the changes of the team and the changes that an export would make, sorted by path."""
    ours = exported(manifest.parameters)
    label = f"divan-obs-asgi-{__version__}"
    for path in sorted({*ours, *manifest.files}):
        if path not in manifest.files:
            if is_selected(path, manifest.only):
                yield Difference(path, "an export would add it", ("exported", None), (label, ours[path]))
            continue
        then, present, now = manifest.files[path], folder.read(path), ours.get(path)
        we_changed = now is None or digest(now) != then
        if present is not None and digest(present) == then:
            if we_changed:
                what = f"an export would {'remove' if now is None else 'change'} it"
                yield Difference(path, what, ("exported", present), (label, now))
        elif not we_changed:
            what = "you deleted it" if present is None else "you changed it"
            yield Difference(path, what, ("exported", now), ("yours", present))
        elif now is not None or present is not None:
            # The exported text is not known any more, only its hash.
            what = f"you {'deleted' if present is None else 'changed'} it, and an export has a new version"
            yield Difference(path, what, ("yours", present), (label, now))


def _name(label: str, path: str, text: str | None) -> str:
    return "/dev/null" if text is None else f"{label}/{path}"


def _lines(text: str | None) -> list[str]:
    return [] if text is None else text.replace("\r\n", "\n").splitlines(keepends=True)


__all__ = ["Difference", "differences"]
