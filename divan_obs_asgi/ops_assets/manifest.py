"""The file that remembers what was exported: the parameters, and a hash of each file."""

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
    What a folder was exported with.

    Attributes:
        only: the patterns that select files; none selects all.
        files: the hash of each file as it was exported, by its path below the folder.
        version: of this library, at the last export.
    """

    parameters: Parameters
    only: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__

    def written(self) -> str:
        """Return the text of the file."""
        content = {
            "version": self.version,
            "parameters": asdict(self.parameters),
            "only": list(self.only),
            "files": dict(sorted(self.files.items())),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def digest(text: str) -> str:
    """Return the hash of a text; line ends that a version control system has changed do not matter."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode("utf-8", "surrogateescape")).hexdigest()


def read(text: str) -> Manifest:
    """
    Return the manifest that `text` is.

    Raises:
        AssetsError: if it is broken, or from a newer version.
    """
    try:
        content = json.loads(text)
        version, files, only = content["version"], content["files"], content["only"]
        if not isinstance(version, str) or not all(isinstance(pattern, str) for pattern in only):
            raise TypeError("version and only are texts")
        # Before anything else: a newer version may have written what this one does not understand.
        if _order(version) > _order(__version__):
            raise AssetsError(f"{NAME} is from divan-obs-asgi {version}, and this is {__version__}: upgrade it first.")
        return Manifest(_parameters(content["parameters"]), tuple(only), _files(files), version)
    except ImproperlyConfigured as error:
        raise _broken(str(error).splitlines()[0]) from None
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _broken(f"{type(error).__name__}: {error}".splitlines()[0]) from None


def _broken(cause: str) -> AssetsError:
    return AssetsError(f"{NAME} is broken ({cause}); restore it, or delete it and export again.")


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def _parameters(given: Mapping[str, Any]) -> Parameters:
    # Python takes True for 1 and "1" for what it likes.
    kinds = {field.name: type(field.default) for field in fields(Parameters)}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float) if kinds[name] is float else kinds[name]):
            raise TypeError(f"{name} is {value!r}")
    return Parameters(**given)


def _files(given: Mapping[str, Any]) -> dict[str, str]:
    for path, found in given.items():
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path or "\\" in path or str(parts) in ("", ".", NAME):
            raise ValueError(f"{path!r} does not lie in the folder")
        if not _HASH.fullmatch(found):
            raise ValueError(f"the hash of {path} is {found!r}")
    return dict(given)


__all__ = ["NAME", "Manifest", "digest", "read"]
