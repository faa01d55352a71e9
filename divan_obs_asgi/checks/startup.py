"""Checks of flags with which `/health/startup` fails, and of secrets that are placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding
from divan_obs_asgi.probes.config import JWT_SECRET_BYTES, TOKEN_CHARACTERS, ConfigProbe
from divan_obs_asgi.settings.service import TEST_ENVS

_TOKENS = ("OBS_ADMIN_TOKEN", "OBS_ADMIN_TOKEN_PREVIOUS")
_URLS = ("REDIS_URL", "DATABASE_URL", "S3_ENDPOINT_URL")
_SECRETS = (*_TOKENS, "OBS_REDACT_HASH_KEY", "JWT_SECRET")
# Placeholders of examples and templates, like django-insecure-.
_PLACEHOLDER = re.compile(
    r"change[-_ ]?(?:me|this|it)|replace[-_ ]?(?:me|this|it|with)|your[-_ ]?(?:own|secret|token|key|jwt|admin|password)"
    r"|let[-_ ]?me[-_ ]?in|insecure|place[-_ ]?holder|do[-_ ]?not[-_ ]?use|example|default|to[-_]?do\b"
    r"|secret[-_ ]?(?:key|token)",
    re.IGNORECASE,
)


@check(
    "obs.W005",
    "`OBS_ENV` is a development environment, or not set, in a deployment.",
    docs="docs/ops.md",
    only_deploy=True,
)
def development(deployment: Deployment) -> Iterator[Finding]:
    env = deployment.settings.service.env
    if env in TEST_ENVS:
        value = f"is {env!r}" if deployment.environ.get("OBS_ENV", "").strip() else "is not set: it is 'dev'"
        yield Finding(
            f"OBS_ENV {value}. Weak tokens and public metrics are allowed there, and there is no drain delay.",
            "Set OBS_ENV=prod, or the name of your environment.",
        )


@check("obs.E006", "The admin token is missing or short.", docs="docs/ops.md")
def missing_token(deployment: Deployment) -> Iterator[Finding]:
    for name in _refused(deployment, *_TOKENS):
        if any(sentence.startswith(f"{name} ") for sentence in deployment.settings.contradictions()):
            continue  # The check weak_tokens reports it.
        why = f"has fewer than {TOKEN_CHARACTERS} characters or few different ones"
        problem = why if deployment.environ.get(name) else "is not set: /metrics cannot be scraped"
        yield Finding(f"{name} {problem}; /health/startup fails.", "Set a random one: openssl rand -hex 32.")


@check("obs.E007", "`JWT_SECRET` is too short, or repeats a few characters.", docs="docs/health.md")
def short_jwt_secret(deployment: Deployment) -> Iterator[Finding]:
    for name in _refused(deployment, "JWT_SECRET"):
        yield Finding(
            f"{name} has fewer than {JWT_SECRET_BYTES} bytes or few different characters; /health/startup fails.",
            "Set a random one: openssl rand -hex 32. RFC 7518, section 3.2 requires 256 bits for HS256.",
        )


@check("obs.E008", "The URL of a store is malformed.", docs="docs/health.md")
def bad_urls(deployment: Deployment) -> Iterator[Finding]:
    for name in _refused(deployment, *_URLS):
        yield Finding(f"{name} is not a valid URL of that store; /health/startup fails.", "Correct or unset it.")


@check("obs.E009", "Tracing is on, and the endpoint for spans is not set.", docs="docs/tracing.md")
def no_collector(deployment: Deployment) -> Iterator[Finding]:
    for name in _refused(deployment, "OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield Finding(
            f"OBS_TRACING_ENABLED is true and {name} is not set: spans are not exported, and /health/startup fails.",
            f"Set {name}=grpc://otel-collector:4317.",
        )


@check("obs.E010", "A secret is the placeholder of an example or a template.", docs="docs/ops.md")
def placeholders(deployment: Deployment) -> Iterator[Finding]:
    if deployment.settings.service.env in TEST_ENVS and not deployment.deploy:
        return
    for name in _SECRETS:
        if _PLACEHOLDER.search(deployment.environ.get(name, "")):
            yield Finding(f"{name} is a placeholder.", "Set a random one: openssl rand -hex 32.")


def _refused(deployment: Deployment, *names: str) -> list[str]:
    if not deployment.settings.enabled:
        return []
    refused = ConfigProbe(deployment.settings).wrong_flags()
    return [name for name in names if name in refused]


__all__ = ["bad_urls", "development", "missing_token", "no_collector", "placeholders", "short_jwt_secret"]
