"""One check of one probe: it ends within the timeout and has exactly one outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio

from divan_obs_asgi.exceptions import ProbeFailed, ProbeReason
from divan_obs_asgi.internal_errors import InternalErrors, must_propagate
from divan_obs_asgi.probes.base import Probe
from divan_obs_asgi.probes.engine.gauges import ProbeGauges
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.tracing.spans.internal import untraced

# The registry sets these keys of a check's result. A probe's details cannot.
RESERVED = frozenset({"ok", "latency_ms", "reason"})
# Seconds that a probe has to close its connection.
_CLOSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What one check found.

    Attributes:
        details: what the probe returned, redacted.
        at: when the check ended, on the registry's clock.
    """

    ok: bool
    reason: ProbeReason | None
    details: Mapping[str, object]
    latency_s: float
    at: float


class ProbeRunner:
    """
    Runs a probe's check under its timeout, and exposes the outcome as metrics.

    Attributes:
        clock: seconds, monotonic.
    """

    def __init__(
        self, policy: RedactionPolicy, gauges: ProbeGauges, faults: InternalErrors, clock: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._gauges = gauges
        self._faults = faults
        self.clock = clock

    async def run(self, probe: Probe) -> Outcome:
        """Check once. Raises only the cancellation of the caller."""
        started = self.clock()
        reason, details = await self._checked(probe)
        ended = self.clock()
        if reason is None and ended - started > probe.timeout:
            reason, details = "timeout", {}  # It ignored its cancellation and passed too late.
        details = {key: self._policy.redact_field(key, details[key]) for key in details if key not in RESERVED}
        outcome = Outcome(reason is None, reason, details, ended - started, ended)
        self._gauges.set_up(probe.name, up=outcome.ok, latency_s=outcome.latency_s)
        return outcome

    async def close(self, probe: Probe) -> None:
        """Close what the probe's checks keep open, if it keeps anything open."""
        aclose = getattr(probe, "aclose", None)
        if aclose is None:
            return
        try:
            # The shield lets a cancelled check close its connection too.
            with anyio.move_on_after(_CLOSE_S, shield=True):
                await aclose()
        except Exception as error:
            self._faults.report("probes", error)

    async def _checked(self, probe: Probe) -> tuple[ProbeReason | None, Mapping[str, object]]:
        try:
            with untraced(), anyio.fail_after(probe.timeout):
                return None, _details(await probe.check())
        except ProbeFailed as failure:
            return failure.reason, failure.details
        except TimeoutError:
            return "timeout", {}
        except BaseException as error:
            if must_propagate(error):
                raise  # The client has disconnected, or the server shuts down.
            # A bug in the probe. Its text is not published, because it can contain a DSN.
            self._faults.report("probes", error)
        return "error", {}


def _details(returned: object) -> Mapping[str, object]:
    if isinstance(returned, Mapping) and all(isinstance(key, str) for key in returned):
        return returned
    raise TypeError(f"check() returned {type(returned).__name__}; expected a mapping with text keys.")


__all__ = ["RESERVED", "Outcome", "ProbeRunner"]
