"""One check of one probe: it ends in time, whatever the probe does, and has one outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio

from divan_obs_asgi.exceptions import ProbeFailed, ProbeReason
from divan_obs_asgi.internal_errors import InternalErrors, ends_the_caller
from divan_obs_asgi.probes.base import Probe
from divan_obs_asgi.probes.engine.hysteresis import Outcome
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.tracing.untraced import untraced

# The keys of a check's answer that are the registry's own.
RESERVED = frozenset({"ok", "latency_ms", "reason"})


class ProbeRunner:
    """Asks a probe under its timeout, and makes an outcome of whatever comes of it."""

    def __init__(self, policy: RedactionPolicy, faults: InternalErrors, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._faults = faults
        self._clock = clock

    async def outcome_of(self, probe: Probe) -> Outcome:
        """Return what the probe says; raises nothing but the caller's own cancellation."""
        started = self._clock()
        reason, details = await self._verdict(probe)
        ended = self._clock()
        if reason is None and ended - started > probe.timeout:
            reason, details = "timeout", {}  # It would not be cancelled, and came too late.
        told = {key: self._policy.redact_field(key, details[key]) for key in details if key not in RESERVED}
        return Outcome(reason is None, reason, told, ended - started, ended)

    async def _verdict(self, probe: Probe) -> tuple[ProbeReason | None, Mapping[str, object]]:
        try:
            with untraced(), anyio.fail_after(probe.timeout):
                return None, _details(await probe.check())
        except ProbeFailed as failure:
            return failure.reason, failure.details
        except TimeoutError:
            return "timeout", {}
        except BaseException as error:
            if ends_the_caller(error):
                raise  # The client has gone, the server ends.
            # A bug in the probe: its text is published nowhere, it can hold a DSN.
            self._faults.report("probes", error)
        return "error", {}


def _details(returned: object) -> Mapping[str, object]:
    if isinstance(returned, Mapping) and all(isinstance(key, str) for key in returned):
        return returned
    raise TypeError(f"check() returned {type(returned).__name__}; expected a mapping with text keys.")


__all__ = ["RESERVED", "ProbeRunner"]
