"""Checks of flags that the service does not start with: invalid values and contradictions."""

from __future__ import annotations

from collections.abc import Iterator

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding

_TOKENS = ("OBS_ADMIN_TOKEN ", "OBS_ADMIN_TOKEN_PREVIOUS ")
_HASHES = ("OBS_REDACT_USER_ID ", "OBS_REDACT_IP ")
_PUBLIC = "OBS_METRICS_PUBLIC "


@check("obs.E001", "A flag has an invalid value.", docs="docs/flags.md")
def bad_values(deployment: Deployment) -> Iterator[Finding]:
    for sentence in deployment.unreadable:
        yield Finding(sentence, "Correct the value; the service does not start with it.")


@check("obs.E002", "`/metrics` and `/ops` are open to everybody outside of development.", docs="docs/ops.md")
def public_metrics(deployment: Deployment) -> Iterator[Finding]:
    settings = deployment.settings
    hint = "Unset OBS_METRICS_PUBLIC, set OBS_ADMIN_TOKEN and scrape with it."
    yield from (Finding(sentence, hint) for sentence in _contradictions(deployment, _PUBLIC))
    if deployment.deploy and settings.metrics.public and settings.service.env == "dev":
        yield Finding("OBS_METRICS_PUBLIC is 'true': everybody can read /metrics and /ops.", hint)


@check("obs.E003", "An admin token can be guessed, or the current and the previous one are equal.", docs="docs/ops.md")
def weak_tokens(deployment: Deployment) -> Iterator[Finding]:
    hint = "Set a random one: openssl rand -hex 32."
    yield from (Finding(sentence, hint) for sentence in _contradictions(deployment, *_TOKENS))


@check("obs.E004", "Addresses or user ids are hashed with a key that can be guessed.", docs="docs/redaction.md")
def weak_hash_key(deployment: Deployment) -> Iterator[Finding]:
    hint = "Set OBS_REDACT_HASH_KEY to the output of: openssl rand -hex 32."
    yield from (Finding(sentence, hint) for sentence in _contradictions(deployment, *_HASHES))


@check("obs.E018", "Two flags contradict each other.", docs="docs/flags.md")
def contradictions(deployment: Deployment) -> Iterator[Finding]:
    # Those that no other check reports: whatever prevents the service from starting must be an error.
    named = (_PUBLIC, *_TOKENS, *_HASHES)
    for sentence in deployment.settings.contradictions():
        if not sentence.startswith(named):
            yield Finding(sentence, "Correct one of them; the service does not start with both.")


def _contradictions(deployment: Deployment, *starts: str) -> list[str]:
    return [sentence for sentence in deployment.settings.contradictions() if sentence.startswith(starts)]


__all__ = ["bad_values", "contradictions", "public_metrics", "weak_hash_key", "weak_tokens"]
