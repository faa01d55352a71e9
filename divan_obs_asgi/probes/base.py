"""What a probe is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias, TypedDict, Unpack, runtime_checkable

# "live", "ready" and "startup" have a meaning of their own; any other name is a group of the service's own.
Group: TypeAlias = str
LIVE: Final = "live"
READY: Final = "ready"
STARTUP: Final = "startup"


@runtime_checkable
class Probe(Protocol):
    """
    Tells whether one thing that the service needs is well.

    Attributes:
        name: its key in the health answers, lower case.
        timeout: seconds after which the check counts as failed.
        critical: whether its failure makes the whole group fail.
        group: which of the health endpoints tells of it.

    It may have as well (`ProbeRegistry` reads them where they are):
        interval: seconds between two checks, in place of `HEALTH_INTERVAL_S`; 0 checks whenever it is asked for.
        fail_after, recover_after: checks in a row, in place of `HEALTH_FAIL_AFTER` and `HEALTH_RECOVER_AFTER`.
        aclose(): an async method that lets go of what the checks keep open. It is called when nobody checks any more,
            and a later check opens it anew.
    """

    @property
    def name(self) -> str: ...

    @property
    def timeout(self) -> float: ...

    @property
    def critical(self) -> bool: ...

    @property
    def group(self) -> Group: ...

    async def check(self) -> Mapping[str, object]:
        """
        Return details to publish, or raise.

        Raises:
            ProbeFailed: with a reason of the closed vocabulary. Anything else that is raised is a bug of the
                probe and published as "error".
        """


class Options(TypedDict, total=False):
    """What every probe of the library can be told, beside its name; `Probe` says what it means."""

    timeout: float
    critical: bool
    group: Group
    interval: float | None
    fail_after: int | None
    recover_after: int | None


class NamedProbe:
    """The attributes of a probe that takes `Options`; what it is not told is as its class has it."""

    timeout: float = 1.0
    critical: bool = True
    group: Group = READY
    interval: float | None = None
    fail_after: int | None = None
    recover_after: int | None = None

    def __init__(self, name: str, **options: Unpack[Options]) -> None:
        for option, value in options.items():
            if option not in Options.__annotations__:
                raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {option!r}.")
            setattr(self, option, value)
        self.name = name


__all__ = ["LIVE", "READY", "STARTUP", "Group", "NamedProbe", "Options", "Probe"]
