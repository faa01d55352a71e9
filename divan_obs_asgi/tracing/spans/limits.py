"""The limits of spans, from the OTEL_*_LIMIT variables. Requires the extra `tracing`."""

from __future__ import annotations

from functools import cache

from opentelemetry.sdk.trace import SpanLimits

from divan_obs_asgi.settings import Settings

# This library sets about 15 attributes, with the old names twice as many.
_OWN_ATTRIBUTES = 64
# OpenTelemetry specification, "Attribute Limits" and "Span Limits".
_DEFAULT_COUNT = 128


class LightLimits(SpanLimits):
    """
    The limits of spans. Those of the SDK would read os.environ.

    Attributes:
        strict: whether the attributes and links of this library may exceed the limits too.
    """

    def __init__(self, **limits: int | None) -> None:
        super().__init__(**limits)
        count = self.max_span_attributes
        self.strict = (
            (count is not None and count < _OWN_ATTRIBUTES)
            or self.max_span_attribute_length is not None
            or self.max_links == 0
        )


def span_limits(settings: Settings) -> LightLimits:
    """Return the limits from the flags."""
    otel = settings.otel
    return LightLimits(
        # The SDK's defaults are given explicitly, because it would read os.environ again.
        max_attributes=_or(otel.attribute_count, _DEFAULT_COUNT),
        max_span_attributes=_or(otel.span_attribute_count, otel.attribute_count, _DEFAULT_COUNT),
        max_event_attributes=_or(otel.event_attribute_count, otel.attribute_count, _DEFAULT_COUNT),
        max_link_attributes=_or(otel.link_attribute_count, otel.attribute_count, _DEFAULT_COUNT),
        max_events=_or(otel.span_event_count, _DEFAULT_COUNT),
        max_links=_or(otel.span_link_count, _DEFAULT_COUNT),
        max_attribute_length=_or(otel.attribute_length, SpanLimits.UNSET),
        max_span_attribute_length=_or(otel.span_attribute_length, otel.attribute_length, SpanLimits.UNSET),
    )


def _or(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


@cache
def default_limits() -> LightLimits:
    """Return the limits without any flag."""
    return span_limits(Settings())


__all__ = ["LightLimits", "default_limits", "span_limits"]
