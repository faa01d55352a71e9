"""What a probe is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

Group: TypeAlias = Literal["live", "ready", "startup"]
GROUPS: tuple[str, ...] = get_args(Group)


@runtime_checkable
class Probe(Protocol):
    """
    Tells whether one thing that the service needs is well.

    Attributes:
        name: its key in the health answers, lower case.
        timeout: seconds after which the check counts as failed.
        critical: whether its failure makes the whole group fail.
        group: which of the health endpoints asks it.
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


__all__ = ["GROUPS", "Group", "Probe"]
