"""The version of this distribution, as it is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("divan-obs-asgi")
except PackageNotFoundError:  # A checkout that was never installed.
    __version__ = "0+unknown"

__all__ = ["__version__"]
