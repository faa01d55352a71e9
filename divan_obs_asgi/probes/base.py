"""The interface of a probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias, TypedDict, Unpack, runtime_checkable

# "live", "ready" and "startup" have endpoints of their own. Any other name is a group of the service's own.
Group: TypeAlias = str
LIVE: Final = "live"
READY: Final = "ready"
STARTUP: Final = "startup"


@runtime_checkable
class Probe(Protocol):
    """
    Checks one thing that the service depends on.

    Attributes:
        name: its key in health responses, lower case.
        timeout: seconds after which a check counts as failed.
        critical: whether its failure makes the whole group fail.
        group: the health endpoint that includes it.

    Optional attributes, which `ProbeRegistry` reads if they exist:
        interval: seconds between two checks, instead of `HEALTH_INTERVAL_S`; 0 also checks on every request.
        fail_after, recover_after: consecutive checks, instead of `HEALTH_FAIL_AFTER` and `HEALTH_RECOVER_AFTER`.
        aclose(): an async method that closes what the checks keep open. It is called when the background checks end,
            and after a check without them. A later check opens it again.
        pool_source: what the application's own connections come from. Metrics show its pool by the name of the probe.
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
            ProbeFailed: with one of the fixed reasons. Any other exception is a bug in the probe, and is published as
                "error".
        """


class Options(TypedDict, total=False):
    """The options that every probe of the library takes beside its name. `Probe` describes them."""

    timeout: float
    critical: bool
    group: Group
    interval: float | None
    fail_after: int | None
    recover_after: int | None


class NamedProbe:
    """A probe that takes `Options`. The attributes of its class are the defaults."""

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
