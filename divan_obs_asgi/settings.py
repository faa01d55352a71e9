"""Every flag, declared once: its name, type, default and meaning. The README's table is made from here."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

from divan_obs_asgi.exceptions import ImproperlyConfigured

T = TypeVar("T")

_PACKAGE = "divan_obs_asgi.middlewares."
DEFAULT_MIDDLEWARE = tuple(
    _PACKAGE + name
    for name in (
        "ContextMiddleware",
        "OpsMiddleware",
        "RequestIdMiddleware",
        "RedactionMiddleware",
        "TracingMiddleware",
        "MetricsMiddleware",
        "AccessLogMiddleware",
    )
)
# The names the standard library knows, so that `logging.getLevelName` agrees.
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# The names that the OpenTelemetry specification gives to OTEL_TRACES_SAMPLER.
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
# What OBS_TRACING_NATIVE, OBS_TRACING_CLIENT_ADDRESS, OBS_TRACING_RESPONSE_HEADERS and OBS_TRACING_CLIENTS can say.
NATIVE_MODES = ("suppress", "nest", "defer")
CLIENT_ADDRESSES = ("none", "network", "full")
TRACE_HEADERS = ("traceparent", "traceresponse", "server-timing")
CLIENTS = ("httpx", "requests", "sqlalchemy", "asyncpg", "redis")
# A password in a URL is a secret also where the URL is none.
_USER_INFO = re.compile(r"//[^/\s]*@")


@dataclass(frozen=True, slots=True)
class Flag:
    """One environment variable."""

    name: str
    parse: Callable[[str], object]
    doc: str
    secret: bool = False


def boolean(text: str) -> bool:
    """Read a switch."""
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("true or false")


def share(text: str) -> float:
    """Read a share from 0 to 1, both included."""
    expected = "a number from 0 to 1"
    try:
        value = float(text)
    except ValueError:
        raise ValueError(expected) from None
    if not 0.0 <= value <= 1.0:  # nan compares false
        raise ValueError(expected)
    return value


def positive_integer(text: str) -> int:
    """Read a whole number from 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or int(text) < 1:
        raise ValueError("a whole number from 1")
    return int(text)


def seconds(text: str) -> float:
    """Read a number of seconds above 0, an hour at most."""
    expected = "a number of seconds above 0"
    try:
        value = float(text)
    except ValueError:
        raise ValueError(expected) from None
    if not 0.0 < value <= 3600.0:  # nan compares false
        raise ValueError(expected)
    return value


def name(text: str) -> str:
    """Read a short printable name."""
    value = text.strip()
    if not value or len(value) > 128 or not value.isprintable():
        raise ValueError("1 to 128 printable characters")
    return value


def secret_text(text: str) -> str | None:
    """Read a secret; an empty one is none."""
    return text or None


def dotted_paths(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of dotted paths."""
    paths = tuple(part.strip() for part in text.split(",") if part.strip())
    for path in paths:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", path):
            raise ValueError("dotted paths, separated by commas")
    return paths


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a reader of one of `choices`, in any case."""
    by_lower = {choice.lower(): choice for choice in choices}

    def read(text: str) -> str:
        found = by_lower.get(text.strip().lower())
        if found is None:
            raise ValueError("one of " + ", ".join(choices))
        return found

    return read


def some_of(*choices: str) -> Callable[[str], tuple[str, ...]]:
    """Return a reader of a comma-separated list of some of `choices`, or of none."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
        if not set(names) <= set(choices):
            raise ValueError("some of " + ", ".join(choices) + ", separated by commas, or nothing")
        return names

    return read


def conventions(text: str) -> tuple[str, ...]:
    """Read OTEL_SEMCONV_STABILITY_OPT_IN, whose list other libraries may extend."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def otlp_endpoint(text: str) -> str | None:
    """Read a collector's address; `grpc` means plaintext, `grpcs` means TLS (PITFALLS S2)."""
    if not text.strip():
        return None
    expected = "a URL like grpc://otel-collector:4317 (grpc, grpcs, http or https)"
    try:
        parts = urlsplit(text.strip())
        parts.port  # noqa: B018 - raises ValueError where it is no port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("grpc", "grpcs", "http", "https") or not parts.hostname:
        raise ValueError(expected)
    return text.strip()


def migration(text: str) -> str | None:
    """Read a migration's version: empty for none."""
    value = text.strip()
    if not value:
        return None
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise ValueError("a version like 0008")
    return value


def _flag(env: str, parse: Callable[[str], T], default: T, doc: str, *, secret: bool = False) -> T:
    flag = Flag(env, cast(Callable[[str], object], parse), doc, secret)
    return dataclasses.field(default=default, metadata={"flag": flag}, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    The configuration of one `Observability`, read once at start-up.

    Make one with `Settings.from_env()`, or directly with keyword arguments in tests.
    """

    enabled: bool = _flag("OBS_ENABLED", boolean, True, "The whole library; false leaves the application untouched.")
    middleware: tuple[str, ...] = _flag(
        "OBS_MIDDLEWARE", dotted_paths, DEFAULT_MIDDLEWARE, "Dotted paths of the middlewares, outermost first."
    )
    context_enabled: bool = _flag(
        "OBS_CONTEXT_ENABLED", boolean, True, "Keep the context variables of a connection's requests apart."
    )
    ops_enabled: bool = _flag("OBS_OPS_ENABLED", boolean, True, "Serve /health/* and /metrics.")
    request_id_enabled: bool = _flag("OBS_REQUEST_ID_ENABLED", boolean, True, "Give every connection an X-Request-Id.")
    redaction_enabled: bool = _flag(
        "OBS_REDACTION_ENABLED", boolean, True, "Redact what the application binds to its request."
    )
    tracing_enabled: bool = _flag(
        "OBS_TRACING_ENABLED", boolean, False, "A server span for every connection; needs the extra `tracing`."
    )
    metrics_enabled: bool = _flag("OBS_METRICS_ENABLED", boolean, True, "Count and time every connection.")
    access_log_enabled: bool = _flag("OBS_ACCESS_LOG_ENABLED", boolean, True, "One JSON line for every connection.")
    logging_enabled: bool = _flag(
        "OBS_LOGGING_ENABLED", boolean, True, "`init` and `wrap` send the root logger through the JSON sink."
    )
    socketio_enabled: bool = _flag("OBS_SOCKETIO_ENABLED", boolean, True, "Count Socket.IO clients and events.")
    metrics_public: bool = _flag(
        "OBS_METRICS_PUBLIC", boolean, False, "Serve /metrics without a token; with OBS_ENV=dev only."
    )
    admin_token: str | None = _flag(
        "OBS_ADMIN_TOKEN", secret_text, None, "The bearer token of the guarded endpoints.", secret=True
    )
    env: str = _flag("OBS_ENV", name, "dev", "The deployment environment: dev, staging, prod, ...")
    service_name: str = _flag("OBS_SERVICE_NAME", name, "divan-api", "`service` of log lines and spans.")
    commit: str = _flag("OBS_COMMIT", name, "unknown", "The commit that runs.")
    service_version: str = _flag("OBS_SERVICE_VERSION", name, "unknown", "`service.version` of spans.")
    log_level: str = _flag("LOG_LEVEL", one_of(*LOG_LEVELS), "INFO", "The lowest level that is written.")
    log_sampling_rate_info: float = _flag(
        "LOG_SAMPLING_RATE_INFO", share, 0.1, "The share of INFO and DEBUG lines that is kept under load."
    )
    log_sampling_budget: int = _flag(
        "LOG_SAMPLING_BUDGET", positive_integer, 100, "Lines a second that are all kept; more of them is load."
    )
    otlp_traces_endpoint: str | None = _flag(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", otlp_endpoint, None, "As the next one, for spans only; goes before it."
    )
    otlp_endpoint: str | None = _flag(
        "OTEL_EXPORTER_OTLP_ENDPOINT", otlp_endpoint, None, "Where spans go, over gRPC: grpc://otel-collector:4317."
    )
    traces_sampler: str = _flag(
        "OTEL_TRACES_SAMPLER", one_of(*SAMPLERS), "parentbased_traceidratio", "Which traces are recorded."
    )
    traces_sampler_arg: float = _flag("OTEL_TRACES_SAMPLER_ARG", share, 1.0, "The ratio of a traceidratio sampler.")
    export_queue: int = _flag(
        "OTEL_BSP_MAX_QUEUE_SIZE",
        positive_integer,
        2048,
        "Spans that wait for the collector at most.",
    )
    export_batch: int = _flag(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", positive_integer, 512, "Spans in one request to the collector."
    )
    export_delay_ms: int = _flag(
        "OTEL_BSP_SCHEDULE_DELAY", positive_integer, 5000, "Milliseconds that a span waits for company."
    )
    tracing_shutdown_timeout_s: float = _flag(
        "OBS_TRACING_SHUTDOWN_TIMEOUT_S", seconds, 5.0, "The longest that a shutdown waits for the collector."
    )
    tracing_native: str = _flag(
        "OBS_TRACING_NATIVE",
        one_of(*NATIVE_MODES),
        "suppress",
        "What happens to the server span of a framework that traces itself: suppress, nest or defer (docs/tracing.md).",
    )
    tracing_clients: tuple[str, ...] = _flag(
        "OBS_TRACING_CLIENTS", some_of(*CLIENTS), CLIENTS, "Client libraries to trace, where they are installed."
    )
    tracing_response_headers: tuple[str, ...] = _flag(
        "OBS_TRACING_RESPONSE_HEADERS",
        some_of(*TRACE_HEADERS),
        ("traceparent",),
        "How a response tells its trace: traceparent, traceresponse, server-timing.",
    )
    tracing_client_address: str = _flag(
        "OBS_TRACING_CLIENT_ADDRESS",
        one_of(*CLIENT_ADDRESSES),
        "none",
        "`client.address` of server spans: none, network (the last part cut) or full.",
    )
    tracing_keep_errors: bool = _flag(
        "OBS_TRACING_KEEP_ERRORS",
        boolean,
        False,
        "Send the span of a failed or slow request that was not sampled.",
    )
    tracing_keep_slow_s: float = _flag(
        "OBS_TRACING_KEEP_SLOW_S", seconds, 1.0, "From how many seconds on a request is slow."
    )
    tracing_keep_budget: int = _flag(
        "OBS_TRACING_KEEP_BUDGET", positive_integer, 10, "Spans a second that are kept in that way."
    )
    semconv_opt_in: tuple[str, ...] = _flag(
        "OTEL_SEMCONV_STABILITY_OPT_IN", conventions, (), "`http/dup` adds the old attribute names (http.status_code)."
    )
    health_min_migration: str | None = _flag(
        "HEALTH_MIN_MIGRATION", migration, None, "The oldest migration with which the service is ready."
    )
    # What the application uses; read here only so that /health/startup can say whether it is well formed.
    redis_url: str | None = _flag("REDIS_URL", secret_text, None, "Checked at start-up.", secret=True)
    database_url: str | None = _flag("DATABASE_URL", secret_text, None, "Checked at start-up.", secret=True)
    s3_url: str | None = _flag("S3_ENDPOINT_URL", secret_text, None, "Checked at start-up.", secret=True)
    jwt_secret: str | None = _flag("JWT_SECRET", secret_text, None, "Its length is checked at start-up.", secret=True)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read every flag from `environ` (default: `os.environ`).

        Raises:
            ImproperlyConfigured: naming every flag that is wrong, its value unless it is secret, and what was
                expected.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for field, flag in cls._declared():
            text = environ.get(flag.name)
            if text is None:
                continue
            try:
                values[field] = flag.parse(text)
            except ValueError as expected:
                got = "set to a bad value" if flag.secret else repr(_USER_INFO.sub("//***@", text))
                wrong.append(f"{flag.name} is {got}; expected {expected}.")
        if not wrong:
            settings = cls(**values)
            wrong = settings.contradictions()
            if not wrong:
                return settings
        raise ImproperlyConfigured("\n".join(wrong))

    def contradictions(self) -> list[str]:
        """Return a sentence for each pair of flags that cannot hold together."""
        wrong = []
        if self.metrics_public and self.env != "dev":
            wrong.append(
                f"OBS_METRICS_PUBLIC is 'true' with OBS_ENV={self.env!r}; it is for OBS_ENV=dev only: "
                "set OBS_ADMIN_TOKEN and scrape with it."
            )
        return wrong

    @classmethod
    def flags(cls) -> list[tuple[Flag, object]]:
        """Return every flag with its default, in the order of declaration."""
        defaults = cls()
        return [(flag, getattr(defaults, field)) for field, flag in cls._declared()]

    @classmethod
    def _declared(cls) -> list[tuple[str, Flag]]:
        return [(field.name, field.metadata["flag"]) for field in dataclasses.fields(cls)]


__all__ = ["DEFAULT_MIDDLEWARE", "Flag", "Settings"]
