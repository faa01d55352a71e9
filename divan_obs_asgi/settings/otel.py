"""Flags of OpenTelemetry's SDK that concern more than the export, by the names of the specification."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.settings.flag import flag
from divan_obs_asgi.settings.otel_parsers import (
    DEFAULT_PROPAGATORS,
    attribute_pairs,
    disabled,
    limit,
    missing_propagators,
    patterns,
    propagator_names,
)
from divan_obs_asgi.settings.parsers import one_of, path, plain_list

EXEMPLAR_FILTERS = ("trace_based", "always_on", "always_off")
# The variables of OpenTelemetry's instrumentations of servers; each of them overrides the general one.
_SERVERS = ("asgi", "fastapi", "starlette", "django", "falcon")


def _excluded(server: str) -> tuple[str, ...] | None:
    doc = "Overrides OTEL_PYTHON_EXCLUDED_URLS; with several of these flags, each excludes its paths."
    return flag(f"OTEL_PYTHON_{server.upper()}_EXCLUDED_URLS", patterns, None, doc)


def _limit(name: str, doc: str) -> int | None:
    return flag(f"OTEL_{name}_LIMIT", limit, None, doc)


@dataclass(frozen=True, kw_only=True)
class OtelSettings:
    """What a team sets for all its services, in every language."""

    disabled: bool = flag(
        "OTEL_SDK_DISABLED",
        disabled,
        False,
        "No spans and no export. The caller's trace is still propagated, and its ids are in the log lines.",
    )
    config_file: str | None = flag(
        "OTEL_CONFIG_FILE",
        path,
        None,
        "A file of OpenTelemetry's declarative configuration; needs `opentelemetry-configuration`.",
    )
    propagators: tuple[str, ...] = flag(
        "OTEL_PROPAGATORS",
        propagator_names,
        DEFAULT_PROPAGATORS,
        "Formats of trace headers, incoming and outgoing: tracecontext, baggage, b3, b3multi, jaeger, xray, or none.",
    )
    resource_attributes: tuple[tuple[str, str], ...] = flag(
        "OTEL_RESOURCE_ATTRIBUTES",
        attribute_pairs,
        (),
        "Attributes of the resource: team=shop,service.version=2. A malformed pair is ignored with a warning.",
    )
    exemplar_filter: str = flag(
        "OTEL_METRICS_EXEMPLAR_FILTER",
        one_of(*EXEMPLAR_FILTERS),
        "trace_based",
        "Requests whose trace ids become exemplars: trace_based (sampled ones), always_on or always_off.",
    )
    disabled_instrumentations: tuple[str, ...] = flag(
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        plain_list,
        (),
        "Client libraries that are not traced, although OBS_TRACING_CLIENTS has them: redis,httpx.",
    )
    excluded_urls: tuple[str, ...] | None = flag(
        "OTEL_PYTHON_EXCLUDED_URLS",
        patterns,
        None,
        "Regular expressions, separated by commas, of paths without a span: ^/healthz$,/internal/. "
        "One that matches a part of the path is enough; the host is never read.",
    )
    asgi_excluded_urls: tuple[str, ...] | None = _excluded("asgi")
    fastapi_excluded_urls: tuple[str, ...] | None = _excluded("fastapi")
    starlette_excluded_urls: tuple[str, ...] | None = _excluded("starlette")
    django_excluded_urls: tuple[str, ...] | None = _excluded("django")
    falcon_excluded_urls: tuple[str, ...] | None = _excluded("falcon")

    attribute_count: int | None = _limit("ATTRIBUTE_COUNT", "Maximum number of attributes. Default: 128.")
    attribute_length: int | None = _limit("ATTRIBUTE_VALUE_LENGTH", "Maximum length of an attribute. Default: none.")
    span_attribute_count: int | None = _limit("SPAN_ATTRIBUTE_COUNT", "Maximum number of attributes of a span.")
    span_attribute_length: int | None = _limit("SPAN_ATTRIBUTE_VALUE_LENGTH", "Maximum length of a span's attribute.")
    span_event_count: int | None = _limit("SPAN_EVENT_COUNT", "Maximum number of events of a span. Default: 128.")
    span_link_count: int | None = _limit("SPAN_LINK_COUNT", "Maximum number of links of a span. Default: 128.")
    event_attribute_count: int | None = _limit("EVENT_ATTRIBUTE_COUNT", "Maximum number of attributes of an event.")
    link_attribute_count: int | None = _limit("LINK_ATTRIBUTE_COUNT", "Maximum number of attributes of a link.")

    @property
    def excluded_paths(self) -> tuple[str, ...]:
        """The patterns of the paths without a span."""
        own = [getattr(self, f"{server}_excluded_urls") for server in _SERVERS]
        given = [each for each in own if each is not None] or [self.excluded_urls or ()]
        return tuple(dict.fromkeys(pattern for each in given for pattern in each))

    def missing_propagators(self) -> list[str]:
        """Return a sentence for each propagator that is not installed."""
        return [
            f"OTEL_PROPAGATORS has {name!r}; expected {expected}."
            for name, expected in missing_propagators(self.propagators)
        ]


__all__ = ["EXEMPLAR_FILTERS", "OtelSettings"]
