"""The manifest of an export: its parameters and a hash of each file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.ops_assets.errors import AssetsError
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.version import __version__

NAME = ".divan-obs.json"
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    The parameters and files of the last export into a folder.

    Attributes:
        only: the patterns that select files; empty for all files.
        files: the hash of each exported file, by its path in the folder.
        version: the version of this library at the last export.
    """

    parameters: Parameters
    only: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__

    def written(self) -> str:
        """Return the text of the manifest file."""
        content = {
            "version": self.version,
            "parameters": asdict(self.parameters),
            "only": list(self.only),
            "files": dict(sorted(self.files.items())),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def digest(text: str) -> str:
    """Return the hash of a text; it is the same for both kinds of line endings, which version control may change."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode("utf-8", "surrogateescape")).hexdigest()


def read(text: str) -> Manifest:
    """
    Parse the text of a manifest file.

    Raises:
        AssetsError: if it is invalid, or from a newer version.
    """
    try:
        content = json.loads(text)
        version, files, only = content["version"], content["files"], content["only"]
        if not isinstance(version, str) or not all(isinstance(pattern, str) for pattern in only):
            raise TypeError("version and only are texts")
        # Checked first: a newer version may have written fields that this version does not know.
        if _order(version) > _order(__version__):
            raise AssetsError(f"{NAME} is from divan-obs-asgi {version}, but this is {__version__}. Upgrade first.")
        return Manifest(_parameters(content["parameters"]), tuple(only), _files(files), version)
    except ImproperlyConfigured as error:
        raise _broken(str(error).splitlines()[0]) from None
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _broken(f"{type(error).__name__}: {error}".splitlines()[0]) from None


def _broken(cause: str) -> AssetsError:
    return AssetsError(f"{NAME} is invalid ({cause}). Restore it, or delete it and export again.")


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def _parameters(given: Mapping[str, Any]) -> Parameters:
    # The types are checked explicitly, because Python accepts True as 1.
    kinds = {field.name: type(field.default) for field in fields(Parameters)}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float) if kinds[name] is float else kinds[name]):
            raise TypeError(f"{name} is {value!r}")
    return Parameters(**given)


def _files(given: Mapping[str, Any]) -> dict[str, str]:
    for path, found in given.items():
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path or "\\" in path or str(parts) in ("", ".", NAME):
            raise ValueError(f"{path!r} is not inside the folder")
        if not _HASH.fullmatch(found):
            raise ValueError(f"the hash of {path} is {found!r}")
    return dict(given)


__all__ = ["NAME", "Manifest", "digest", "read"]
