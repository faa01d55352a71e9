"""The flags: which values each one accepts, and the error for a bad value."""

from __future__ import annotations

import dataclasses
import re
from operator import attrgetter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi import ImproperlyConfigured, Settings
from divan_obs_asgi.settings import DEFAULT_MIDDLEWARE, MetricSettings, OpsSettings, RequestSettings, ServiceSettings

FLAGS = {flag.name: flag for flag, _ in Settings.flags()}
SECRETS = sorted(name for name, flag in FLAGS.items() if flag.secret)

# The variables of OpenTelemetry's exporters, for all signals and for one.
SIGNALS = (("", ""), ("TRACES_", "traces_"), ("LOGS_", "logs_"), ("METRICS_", "metrics_"))
OTLP = [
    ("ENDPOINT", "https://otel.example:4318/x", "endpoint", "https://otel.example:4318/x"),
    ("PROTOCOL", "HTTP/protobuf", "protocol", "http/protobuf"),
    ("HEADERS", "X-Key=a%20b, tenant=shop,", "headers", (("x-key", "a b"), ("tenant", "shop"))),
    ("TIMEOUT", "2.5", "timeout_s", 2.5),
    ("COMPRESSION", "gzip", "compression", "gzip"),
    ("CERTIFICATE", "/etc/otel/ca.pem", "certificate", "/etc/otel/ca.pem"),
    ("CLIENT_KEY", "/etc/otel/client.key", "client_key", "/etc/otel/client.key"),
    ("CLIENT_CERTIFICATE", "/etc/otel/client.pem", "client_certificate", "/etc/otel/client.pem"),
    ("INSECURE", "true", "insecure", True),
]

# What the text of each flag means; every flag stands here at least once.
EXAMPLES = [
    ("OBS_ENABLED", "false", "enabled", False),
    ("OBS_ENV_FILE", " ", "env_file", None),
    ("OBS_MIDDLEWARE", "a.b.First, c.Second ,", "middleware", ("a.b.First", "c.Second")),
    ("OBS_MIDDLEWARE", "", "middleware", ()),
    ("OBS_CONTEXT_ENABLED", "0", "requests.context_enabled", False),
    ("OBS_OPS_ENABLED", "no", "ops.enabled", False),
    ("OBS_REQUEST_ID_ENABLED", "OFF", "requests.id_enabled", False),
    (
        "OBS_REQUEST_ID_HEADERS",
        "X-Request-Id, traceparent,x-request-id",
        "requests.id_headers",
        ("x-request-id", "traceparent"),
    ),
    ("OBS_REQUEST_ID_HEADERS", "", "requests.id_headers", ()),
    ("OBS_REQUEST_ID_RESPONSE_HEADER", " X-Correlation-ID ", "requests.id_response_header", "X-Correlation-ID"),
    ("OBS_REQUEST_ID_FORMAT", "UUID7", "requests.id_format", "uuid7"),
    ("OBS_QUIET_PATHS", "/ping, /livez,/ping", "requests.quiet_paths", ("/ping", "/livez")),
    ("OBS_CANCEL_ON_DISCONNECT", "/generate, /chat/{id}", "requests.cancel_on_disconnect", ("/generate", "/chat/{id}")),
    ("OBS_REQUEST_VIEW_ENABLED", " False ", "redaction.request_view_enabled", False),
    ("OBS_TRACING_ENABLED", "true", "tracing.enabled", True),
    ("OBS_TRACING_ENABLED", "1", "tracing.enabled", True),
    ("OBS_TRACING_ENABLED", "Yes", "tracing.enabled", True),
    ("OBS_TRACING_ENABLED", "on", "tracing.enabled", True),
    ("OBS_METRICS_ENABLED", "", "metrics.enabled", True),
    ("OBS_ACCESS_LOG_ENABLED", "false", "logs.access_enabled", False),
    ("OBS_LOGGING_ENABLED", "false", "logs.enabled", False),
    ("OBS_SOCKETIO_ENABLED", "false", "socketio.enabled", False),
    ("OBS_SOCKETIO_EMIT_SPANS", "true", "socketio.emit_spans", True),
    ("OBS_SOCKETIO_CLIENT_TRACES", "true", "socketio.client_traces", True),
    ("OBS_SOCKETIO_ROOM_SIZES", "true", "socketio.room_sizes", True),
    ("OBS_SOCKETIO_ACK_ERRORS", "true", "socketio.ack_errors", True),
    ("OBS_METRICS_PUBLIC", "true", "metrics.public", True),
    ("OBS_ADMIN_TOKEN", "open sesame", "ops.admin_token", "open sesame"),
    ("OBS_ADMIN_TOKEN", "", "ops.admin_token", None),
    ("OBS_ADMIN_TOKEN_PREVIOUS", "", "ops.admin_token_previous", None),
    ("OBS_OPS_MAX_FAILURES", "3", "ops.max_failures", 3),
    ("OBS_OPS_NETWORKS", "10.0.0.0/8, ::1", "ops.networks", ("10.0.0.0/8", "::1/128")),
    ("OBS_OPS_PREFIX", "/internal/divan/", "ops.prefix", "/internal/divan"),
    ("OBS_OPS_PREFIX", "/", "ops.prefix", ""),
    ("OBS_OPS_PORT", "9464", "ops.port", 9464),
    ("OBS_OPS_HOST", "0.0.0.0", "ops.host", "0.0.0.0"),
    ("OBS_OPS_HOST", "localhost", "ops.host", "127.0.0.1"),
    ("OBS_ROLLOVER_JOB", "nightly", "ops.rollover_job", "nightly"),
    ("OBS_CONSOLE_ENABLED", "true", "console.enabled", True),
    ("OBS_CONSOLE_BYTES", "1048576", "console.max_bytes", 1048576),
    ("OBS_TRACE_URL", "https://tempo.example/{trace_id}", "console.trace_url", "https://tempo.example/{trace_id}"),
    ("OBS_TRACE_URL", "", "console.trace_url", None),
    ("OBS_DEBUG_KEY", "open sesame", "console.debug_key", "open sesame"),
    ("OBS_VITALS_ENABLED", "off", "vitals.enabled", False),
    ("OBS_VITALS_IN_PROD", "true", "vitals.in_prod", True),
    (
        "OBS_VITALS_ORIGINS",
        "https://Shop.example:443, http://localhost:3000,https://shop.example",
        "vitals.origins",
        ("https://shop.example", "http://localhost:3000"),
    ),
    ("OBS_VITALS_ORIGINS", "http://[::1]:80", "vitals.origins", ("http://[::1]",)),
    ("OBS_VITALS_ROUTES", "/, /rooms/[id],/about-us,/", "vitals.routes", ("/", "/rooms/[id]", "/about-us")),
    ("OBS_VITALS_ADDRESS_LIMIT", "6", "vitals.address_limit", 6),
    ("OBS_VITALS_TOTAL_LIMIT", "600", "vitals.total_limit", 600),
    ("OBS_ENV", "prod", "service.env", "prod"),
    ("OBS_SERVICE_NAME", " chat ", "service.name", "chat"),
    ("OBS_COMMIT", "42bb08b", "service.commit", "42bb08b"),
    ("OBS_REDACT_KEYS", "shoeSize, nick_name", "redaction.keys", ("shoe size", "nick name")),
    ("OBS_REDACT_ALLOW_KEYS", "X-Body", "redaction.allow_keys", ("x body",)),
    ("OBS_REDACT_LOCALES", "tr, br", "redaction.locales", ("tr", "br")),
    ("OBS_REDACT_USER_ID", "Keep", "redaction.user_id", "keep"),
    ("OBS_REDACT_IP", "truncate", "redaction.ip", "truncate"),
    ("OBS_REDACT_HASH_KEY", "k" * 16, "redaction.hash_key", "k" * 16),
    ("OBS_REDACT_ERROR_BODIES", "true", "redaction.error_bodies", True),
    ("LOG_LEVEL", "debug", "logs.level", "DEBUG"),
    ("LOG_FORMAT", "JSON", "logs.format", "json"),
    ("LOG_SAMPLING_RATE_INFO", "0.25", "logs.sampling_rate_info", 0.25),
    ("LOG_SAMPLING_RATE_INFO", "0", "logs.sampling_rate_info", 0.0),
    ("LOG_SAMPLING_RATE_INFO", "1", "logs.sampling_rate_info", 1.0),
    ("LOG_PRINTS", "true", "logs.prints", True),
    ("LOG_SAMPLING_BUDGET", "5000", "logs.sampling_budget", 5000),
    ("LOG_RECORDER_LEVEL", "info", "logs.recorder_level", "INFO"),
    ("LOG_RECORDER_LINES", "0", "logs.recorder_lines", 0),
    ("LOG_RECORDER_BYTES", "1024", "logs.recorder_bytes", 1024),
    ("LOG_RECORDER_LOGGERS", "botocore, shop.cache", "logs.recorder_loggers", ("botocore", "shop.cache")),
    ("OBS_LOGGING_RESTORE", "false", "logs.restore", False),
    ("LOG_SLOW_MS", "250", "logs.slow_ms", 250),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://otel-collector:4317", "otlp.endpoint", "grpc://otel-collector:4317"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "", "otlp.endpoint", None),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel-collector:4317", "otlp.endpoint", "otel-collector:4317"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "otlp.timeout_s", 10.0),
    *(
        (f"OTEL_EXPORTER_OTLP_{prefix}{name}", text, f"otlp.{field_prefix}{field}", value)
        for prefix, field_prefix in SIGNALS
        for name, text, field, value in OTLP
    ),
    ("OTEL_SDK_DISABLED", "True", "otel.disabled", True),
    ("OTEL_SDK_DISABLED", "1", "otel.disabled", False),
    ("OTEL_CONFIG_FILE", "/etc/otel.yaml", "otel.config_file", "/etc/otel.yaml"),
    ("OTEL_PROPAGATORS", "b3, jaeger", "otel.propagators", ("b3", "jaeger")),
    ("OTEL_PROPAGATORS", "None", "otel.propagators", ()),
    ("OTEL_PROPAGATORS", "", "otel.propagators", ("tracecontext", "baggage")),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        "team=a%20b, x=1=2,broken,=3",
        "otel.resource_attributes",
        (("team", "a b"), ("x", "1=2")),
    ),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "Always_On", "otel.exemplar_filter", "always_on"),
    (
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        "Redis, httpx",
        "otel.disabled_instrumentations",
        ("redis", "httpx"),
    ),
    ("OTEL_PYTHON_EXCLUDED_URLS", "^/healthz$, /internal/", "otel.excluded_urls", ("^/healthz$", "/internal/")),
    *(
        (f"OTEL_PYTHON_{name.upper()}_EXCLUDED_URLS", "/x", f"otel.{name}_excluded_urls", ("/x",))
        for name in ("asgi", "fastapi", "starlette", "django", "falcon")
    ),
    *(
        (f"OTEL_{name}_LIMIT", text, f"otel.{field}", value)
        for text, value in (("0", 0), ("12", 12), ("Unset", -1))
        for name, field in (
            ("ATTRIBUTE_COUNT", "attribute_count"),
            ("ATTRIBUTE_VALUE_LENGTH", "attribute_length"),
            ("SPAN_ATTRIBUTE_COUNT", "span_attribute_count"),
            ("SPAN_ATTRIBUTE_VALUE_LENGTH", "span_attribute_length"),
            ("SPAN_EVENT_COUNT", "span_event_count"),
            ("SPAN_LINK_COUNT", "span_link_count"),
            ("EVENT_ATTRIBUTE_COUNT", "event_attribute_count"),
            ("LINK_ATTRIBUTE_COUNT", "link_attribute_count"),
        )
    ),
    ("OTEL_BSP_EXPORT_TIMEOUT", "1000", "tracing.export_timeout_ms", 1000),
    ("OTEL_TRACES_EXPORTER", "Console, otlp", "otlp.traces_exporter", ("console", "otlp")),
    ("OTEL_LOGS_EXPORTER", "otlp", "otlp.logs_exporter", ("otlp",)),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "64", "logs.export_queue", 64),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "32", "logs.export_batch", 32),
    ("OTEL_BLRP_SCHEDULE_DELAY", "500", "logs.export_delay_ms", 500),
    ("OTEL_BLRP_EXPORT_TIMEOUT", "1000", "logs.export_timeout_ms", 1000),
    ("OTEL_METRIC_EXPORT_INTERVAL", "500", "metrics.export_interval_ms", 500),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "1000", "metrics.export_timeout_ms", 1000),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "DELTA", "metrics.temporality", "delta"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "base2_exponential_bucket_histogram",
        "metrics.histograms",
        "base2_exponential_bucket_histogram",
    ),
    ("OTEL_METRICS_EXPORTER", "none", "otlp.metrics_exporter", ()),
    ("OTEL_METRICS_EXPORTER", "Prometheus", "otlp.metrics_exporter", ()),
    ("OTEL_METRICS_EXPORTER", "prometheus, otlp", "otlp.metrics_exporter", ("otlp",)),
    ("OBS_WATCHDOG_ENABLED", "false", "runtime.watchdog_enabled", False),
    ("OBS_WATCHDOG_STALL_MS", "50", "runtime.watchdog_stall_ms", 50),
    ("OBS_REDIS_STREAMS", "lb:events, chat , lb:events", "runtime.redis_streams", ("lb:events", "chat")),
    ("OBS_REDIS_STREAMS_INTERVAL_S", "2.5", "runtime.redis_streams_interval_s", 2.5),
    ("OBS_GC_FREEZE", "true", "runtime.gc_freeze", True),
    ("OTEL_TRACES_SAMPLER", "always_on", "tracing.sampler", "always_on"),
    ("OTEL_TRACES_SAMPLER_ARG", "0.1", "tracing.sampler_arg", 0.1),
    ("OBS_NAMESPACE", "my_shop2", "metrics.namespace", "my_shop2"),
    ("OBS_METRICS_CREATED", "on", "metrics.created", True),
    ("PROMETHEUS_MULTIPROC_DIR", " /run/divan ", "metrics.multiproc_dir", "/run/divan"),
    ("OBS_METRICS_MAX_SERIES", "2000", "metrics.max_series", 2000),
    ("OBS_SERVICE_VERSION", "1.4.2", "service.version", "1.4.2"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpcs://traces:4317", "otlp.traces_endpoint", "grpcs://traces:4317"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "100", "tracing.queue_size", 100),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10", "tracing.batch_size", 10),
    ("OTEL_BSP_SCHEDULE_DELAY", "200", "tracing.delay_ms", 200),
    ("OBS_TRACING_SHUTDOWN_TIMEOUT_S", "2.5", "tracing.shutdown_timeout_s", 2.5),
    ("OBS_TELEMETRY_DIR", "/var/lib/shop/telemetry", "otlp.directory", "/var/lib/shop/telemetry"),
    ("OBS_TELEMETRY_DIR_MB", "16", "otlp.directory_mb", 16),
    ("OBS_TRACING_NATIVE", "NEST", "tracing.native", "nest"),
    ("OBS_TRACING_CLIENTS", "httpx, redis", "tracing.clients", ("httpx", "redis")),
    ("OBS_TRACING_CLIENTS", "", "tracing.clients", ()),
    ("OBS_WAIT_TIMES_ENABLED", "false", "requests.wait_times_enabled", False),
    ("OBS_METRICS_WAIT_TIMES", "true", "metrics.wait_times", True),
    ("OBS_TRACING_CLIENT_SPANS", "contrib", "tracing.client_spans", "contrib"),
    ("OBS_TRACING_RESPONSE_HEADERS", "traceresponse", "tracing.response_headers", ("traceresponse",)),
    ("OBS_TRACING_CLIENT_ADDRESS", "network", "tracing.client_address", "network"),
    ("OBS_TRACING_KEEP_ERRORS", "true", "tracing.keep_errors", True),
    ("OBS_TRACING_KEEP_SLOW_S", "0.4", "tracing.keep_slow_s", 0.4),
    ("OBS_TRACING_KEEP_BUDGET", "5", "tracing.keep_budget", 5),
    ("OTEL_SEMCONV_STABILITY_OPT_IN", "http/dup,database", "tracing.semconv_opt_in", ("http/dup", "database")),
    ("OBS_DRAIN_ENABLED", "false", "health.drain_enabled", False),
    ("OBS_DRAIN_DELAY_S", "7.5", "health.drain_delay_s", 7.5),
    ("OBS_DRAIN_DELAY_S", "0", "health.drain_delay_s", 0.0),
    ("HEALTH_MIN_MIGRATION", "0008", "health.min_migration", "0008"),
    ("HEALTH_MIN_MIGRATION", " ", "health.min_migration", None),
    ("REDIS_URL", "redis://localhost:6379/0", "service.redis_url", "redis://localhost:6379/0"),
    ("DATABASE_URL", "sqlite:///divan.db", "service.database_url", "sqlite:///divan.db"),
    ("S3_ENDPOINT_URL", "https://s3.example.org", "service.s3_url", "https://s3.example.org"),
    ("JWT_SECRET", "x" * 32, "service.jwt_secret", "x" * 32),
    ("HEALTH_INTERVAL_S", "0.5", "health.interval_s", 0.5),
    ("HEALTH_INTERVAL_S", "0", "health.interval_s", 0.0),
    ("HEALTH_FAIL_AFTER", "3", "health.fail_after", 3),
    ("HEALTH_RECOVER_AFTER", "2", "health.recover_after", 2),
]

BAD = [
    ("OBS_ENABLED", "maybe", "OBS_ENABLED is 'maybe'; expected true or false."),
    ("OBS_MIDDLEWARE", "nodots", "OBS_MIDDLEWARE is 'nodots'; expected dotted paths, separated by commas."),
    ("OBS_MIDDLEWARE", "a.B c.D", "OBS_MIDDLEWARE is 'a.B c.D'; expected dotted paths, separated by commas."),
    ("OBS_ENV", "x" * 129, "OBS_ENV is set to a bad value; expected 1 to 128 printable characters."),
    (
        "OBS_ADMIN_TOKEN",
        "abc\n",
        "OBS_ADMIN_TOKEN is set to a bad value; expected no control characters, and no blank at either end.",
    ),
    ("LOG_SAMPLING_RATE_INFO", "0_0.5", "LOG_SAMPLING_RATE_INFO is '0_0.5'; expected a number from 0 to 1."),
    *(
        (
            "OBS_VITALS_ORIGINS",
            origin,
            f"OBS_VITALS_ORIGINS is {origin!r}; expected origins like https://app.example.com or "
            "http://localhost:3000, separated by commas.",
        )
        for origin in ("*", "null", "shop.example", "https://shop.example/", "https://a.b:99999", "ftp://shop.example")
    ),
    *(
        (
            "OBS_VITALS_ROUTES",
            route,
            f"OBS_VITALS_ROUTES is {route!r}; expected up to 30 routes of pages, separated by commas: /,/rooms/[id].",
        )
        for route in ("rooms", "/a b", '/"', "/#a", ",".join(f"/{number}" for number in range(31)))
    ),
    ("OBS_NAMESPACE", "divan_", "OBS_NAMESPACE is 'divan_'; expected lower-case letters, digits and _, like divan."),
    *(
        (
            "OBS_OPS_PREFIX",
            bad,
            f"OBS_OPS_PREFIX is {bad!r}; expected a path like /internal, of letters, digits and ._~-.",
        )
        for bad in ("internal", "/a//b", "/a/../b", "/.", "/{tenant}", "/a b")
    ),
    ("OBS_OPS_PORT", "0", "OBS_OPS_PORT is '0'; expected a port from 1 to 65535."),
    ("OBS_OPS_PORT", "65536", "OBS_OPS_PORT is '65536'; expected a port from 1 to 65535."),
    (
        "OBS_OPS_HOST",
        "ops.internal",
        "OBS_OPS_HOST is 'ops.internal'; expected an address like 127.0.0.1, 0.0.0.0 or ::.",
    ),
    ("OBS_NAMESPACE", "7up", "OBS_NAMESPACE is '7up'; expected lower-case letters, digits and _, like divan."),
    ("OBS_METRICS_MAX_SERIES", "0", "OBS_METRICS_MAX_SERIES is '0'; expected a whole number from 1."),
    ("OBS_COMMIT", "a\nb", r"OBS_COMMIT is 'a\nb'; expected 1 to 128 printable characters."),
    (
        "OBS_REDACT_KEYS",
        "a_b_c_d",
        "OBS_REDACT_KEYS is 'a_b_c_d'; expected keys of one to three words, separated by commas: shoe_size, nickName.",
    ),
    ("OBS_REDACT_IP", "mask", "OBS_REDACT_IP is 'mask'; expected one of drop, hash, truncate, keep."),
    ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud'; expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
    ("LOG_SAMPLING_RATE_INFO", "nan", "LOG_SAMPLING_RATE_INFO is 'nan'; expected a number from 0 to 1."),
    ("LOG_SAMPLING_RATE_INFO", "10%", "LOG_SAMPLING_RATE_INFO is '10%'; expected a number from 0 to 1."),
    ("LOG_SAMPLING_BUDGET", "0", "LOG_SAMPLING_BUDGET is '0'; expected a whole number from 1."),
    ("LOG_SAMPLING_BUDGET", "-1", "LOG_SAMPLING_BUDGET is '-1'; expected a whole number from 1."),
    ("LOG_SLOW_MS", "1.5", "LOG_SLOW_MS is '1.5'; expected a whole number from 0."),
    ("LOG_RECORDER_LINES", "-1", "LOG_RECORDER_LINES is '-1'; expected a whole number from 0."),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "otel-collector",
        "OTEL_EXPORTER_OTLP_ENDPOINT is 'otel-collector'; "
        "expected a URL like grpc://otel-collector:4317 (grpc, grpcs, http or https).",
    ),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "grpc://otel-collector:port",
        "OTEL_EXPORTER_OTLP_ENDPOINT is 'grpc://otel-collector:port'; "
        "expected a URL like grpc://otel-collector:4317 (grpc, grpcs, http or https).",
    ),
    (
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/json",
        "OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json'; expected one of grpc, http/protobuf.",
    ),
    (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Authorization: Bearer abc",
        "OTEL_EXPORTER_OTLP_HEADERS is set to a bad value; expected name=value pairs, percent-encoded, separated by "
        "commas: x-tenant=shop,x-key=a%20b.",
    ),
    (
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "0",
        "OTEL_EXPORTER_OTLP_TIMEOUT is '0'; expected a number of seconds above 0, or of milliseconds from 1000.",
    ),
    (
        "OTEL_TRACES_EXPORTER",
        "zipkin",
        "OTEL_TRACES_EXPORTER is 'zipkin'; expected otlp, console, both separated by a comma, or none.",
    ),
    (
        "OTEL_TRACES_EXPORTER",
        "none,otlp",
        "OTEL_TRACES_EXPORTER is 'none,otlp'; expected otlp, console, both separated by a comma, or none.",
    ),
    (
        "OTEL_PYTHON_EXCLUDED_URLS",
        "/a,(",
        "OTEL_PYTHON_EXCLUDED_URLS is '/a,('; expected regular expressions, separated by commas: missing ), "
        "unterminated subpattern at position 0.",
    ),
    (
        "OTEL_TRACES_SAMPLER",
        "jaeger_remote",
        "OTEL_TRACES_SAMPLER is 'jaeger_remote'; expected one of always_on, always_off, traceidratio, "
        "parentbased_always_on, parentbased_always_off, parentbased_traceidratio.",
    ),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1", "OTEL_SPAN_LINK_COUNT_LIMIT is '-1'; expected a whole number from 0."),
    ("OTEL_TRACES_SAMPLER_ARG", "1.1", "OTEL_TRACES_SAMPLER_ARG is '1.1'; expected a number from 0 to 1."),
    (
        "OBS_TRACING_SHUTDOWN_TIMEOUT_S",
        "nan",
        "OBS_TRACING_SHUTDOWN_TIMEOUT_S is 'nan'; expected a number of seconds above 0.",
    ),
    (
        "OBS_TRACING_SHUTDOWN_TIMEOUT_S",
        "soon",
        "OBS_TRACING_SHUTDOWN_TIMEOUT_S is 'soon'; expected a number of seconds above 0.",
    ),
    (
        "OBS_TRACING_CLIENTS",
        "httpx,curl",
        "OBS_TRACING_CLIENTS is 'httpx,curl'; "
        "expected some of httpx, requests, sqlalchemy, asyncpg, psycopg, aiosqlite, redis, separated by commas, "
        "or nothing.",
    ),
    ("OBS_TRACING_NATIVE", "off", "OBS_TRACING_NATIVE is 'off'; expected one of suppress, nest, defer."),
    (
        "OBS_REDIS_STREAMS",
        "lb\x00events",
        r"OBS_REDIS_STREAMS is 'lb\x00events'; "
        "expected up to 100 keys of 1 to 128 printable characters, separated by commas.",
    ),
    ("HEALTH_INTERVAL_S", "-1", "HEALTH_INTERVAL_S is '-1'; expected a number of seconds from 0."),
    ("HEALTH_INTERVAL_S", "nan", "HEALTH_INTERVAL_S is 'nan'; expected a number of seconds from 0."),
    ("HEALTH_FAIL_AFTER", "0", "HEALTH_FAIL_AFTER is '0'; expected a whole number from 1."),
    ("HEALTH_MIN_MIGRATION", "8; drop", "HEALTH_MIN_MIGRATION is '8; drop'; expected a version like 0008."),
]


FIELDS = {field for _, _, field, _ in EXAMPLES}


@pytest.mark.parametrize(("flag", "text", "field", "value"), EXAMPLES)
def test_a_flag_is_read_from_the_environment(flag: str, text: str, field: str, value: object) -> None:
    """Each environment variable sets its own setting, and no other."""
    settings = Settings.from_env({flag: text})
    values = {name: attrgetter(name)(settings) for name in FIELDS}
    default = Settings()
    assert values == {**{name: attrgetter(name)(default) for name in FIELDS}, field: value}


def test_every_flag_has_an_example() -> None:
    """A new flag is not forgotten above."""
    assert {flag for flag, _, _, _ in EXAMPLES} == set(FLAGS)


def test_nothing_set_gives_the_defaults() -> None:
    """An empty environment, or one of other programs' variables, is a working configuration."""
    settings = Settings.from_env({"PATH": "nonsense", "OBS_UNHEARD_OF": "x"})
    assert settings == Settings()
    assert (settings.enabled, settings.service.env, settings.logs.level) == (True, "dev", "INFO")
    assert settings.middleware == DEFAULT_MIDDLEWARE
    assert (settings.tracing.enabled, settings.metrics.public, settings.ops.admin_token) == (False, False, None)


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument it is `os.environ`."""
    monkeypatch.setenv("OBS_SERVICE_NAME", "from-the-process")
    assert Settings.from_env().service.name == "from-the-process"


def test_settings_do_not_change() -> None:
    """What was decided at start-up holds."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().enabled = False  # type: ignore[misc]


@pytest.mark.parametrize(("flag", "text", "message"), BAD)
def test_a_bad_flag_says_what_it_is_and_what_was_expected(flag: str, text: str, message: str) -> None:
    """The one who deploys can mend it from the message alone."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({flag: text})
    assert str(caught.value) == message


def test_all_bad_flags_are_in_one_error() -> None:
    """One start-up reports all errors, not only the first."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({"OBS_OPS_ENABLED": "perhaps", "LOG_LEVEL": "all", "LOG_SAMPLING_BUDGET": "many"})
    assert str(caught.value).splitlines() == [
        "LOG_LEVEL is 'all'; expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL.",
        "LOG_SAMPLING_BUDGET is 'many'; expected a whole number from 1.",
        "OBS_OPS_ENABLED is 'perhaps'; expected true or false.",
    ]


def test_flags_that_contradict_each_other_are_in_the_same_error() -> None:
    """Who has mended what could not be read does not meet the next error at the next start."""
    environ = {"LOG_LEVEL": "loud", "OBS_METRICS_PUBLIC": "true", "OBS_ENV": "prod", "OBS_REDACT_IP": "hash"}
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env(environ)
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "LOG_LEVEL",
        "OBS_METRICS_PUBLIC",
        "OBS_REDACT_IP",
    ]


@pytest.mark.parametrize("env", ["prod", "staging"])
def test_public_metrics_are_for_development_only(env: str) -> None:
    """Metrics without a token are refused where strangers can ask for them."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({"OBS_METRICS_PUBLIC": "true", "OBS_ENV": env})
    assert str(caught.value) == (
        f"OBS_METRICS_PUBLIC is 'true' with OBS_ENV='{env}'; it is for OBS_ENV=dev only: "
        "set OBS_ADMIN_TOKEN and scrape with it."
    )


def test_public_metrics_work_in_development() -> None:
    """On the developer's own machine a token would only be in the way."""
    assert Settings.from_env({"OBS_METRICS_PUBLIC": "true", "OBS_ENV": "dev"}).metrics.public


VITALS = {"OBS_VITALS_ENABLED": "true", "OBS_VITALS_ORIGINS": "https://shop.example"}


@pytest.mark.parametrize("env", ["prod", "production", "live", "prod-eu"])
def test_vitals_are_for_what_comes_before_production(env: str) -> None:
    """An endpoint without a token is nothing that a flag of development brings along; a second flag says so."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({**VITALS, "OBS_ENV": env})
    assert str(caught.value) == (
        f"OBS_VITALS_ENABLED is 'true' with OBS_ENV='{env}': anybody can send to POST /ops/ingest. "
        "Set OBS_VITALS_IN_PROD=true to allow it."
    )
    assert Settings.from_env({**VITALS, "OBS_ENV": env, "OBS_VITALS_IN_PROD": "true"}).vitals.enabled


@pytest.mark.parametrize("env", ["dev", "test", "staging"])
def test_vitals_need_no_second_flag_before_production(env: str) -> None:
    assert Settings.from_env({**VITALS, "OBS_ENV": env}).vitals.enabled


def test_vitals_need_an_origin() -> None:
    """Without an origin every page would be rejected, without a visible reason."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({"OBS_VITALS_ENABLED": "true"})
    assert str(caught.value) == (
        "OBS_VITALS_ENABLED is 'true' and OBS_VITALS_ORIGINS is empty: no page could send anything. "
        "Set the origins of your pages, like https://app.example.com."
    )


FEW = "fewer than 16 characters, or fewer than 6 different ones"
RANDOM = "9f86d081884c7d659a2feaa0"


@pytest.mark.parametrize("env", ["prod", "staging", "Dev"])
@pytest.mark.parametrize("flag", ["OBS_ADMIN_TOKEN", "OBS_ADMIN_TOKEN_PREVIOUS"])
@pytest.mark.parametrize("token", ["x", "changeme", RANDOM[:15], "x" * 64, "abc" * 20, "12345" * 5])
def test_a_token_that_can_be_guessed_is_refused(env: str, flag: str, token: str) -> None:
    """At start-up, with every other flag that is wrong, and without its value; on a developer's machine any will do."""
    environ = {"OBS_ADMIN_TOKEN": RANDOM, flag: token}
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({**environ, "OBS_ENV": env, "LOG_LEVEL": "loud"})
    others, mine = str(caught.value).splitlines()
    assert others.startswith("LOG_LEVEL")
    assert mine == (
        f"{flag} has {FEW}, with OBS_ENV='{env}': it can be guessed. Set a random one: openssl rand -hex 32."
    )
    for fine in ({"OBS_ENV": "dev"}, {"OBS_ENV": "test"}, {"OBS_ENV": env, "OBS_OPS_ENABLED": "false"}):
        Settings.from_env({**environ, **fine})
    with pytest.raises(ImproperlyConfigured, match="it can be guessed"):
        Settings(ops=OpsSettings(admin_token=token), service=ServiceSettings(env=env))


@pytest.mark.parametrize("token", [RANDOM[:16], RANDOM, "the-token-of-today", "ключ-от-всех-дверей"])
def test_a_random_token_is_accepted(token: str) -> None:
    """As long as one of 64 bits, in any letters."""
    assert Settings.from_env({"OBS_ENV": "prod", "OBS_ADMIN_TOKEN": token}).ops.admin_token == token


def test_a_token_is_not_the_one_before() -> None:
    """Who has changed it believes that the old one is worth nothing soon."""
    environ = {"OBS_ADMIN_TOKEN": RANDOM, "OBS_ADMIN_TOKEN_PREVIOUS": RANDOM}
    with pytest.raises(ImproperlyConfigured, match="OBS_ADMIN_TOKEN_PREVIOUS is the same as OBS_ADMIN_TOKEN"):
        Settings.from_env({**environ, "OBS_ENV": "prod"})
    assert Settings.from_env(environ)


@pytest.mark.parametrize("flag", ["OBS_ADMIN_TOKEN", "OBS_ADMIN_TOKEN_PREVIOUS"])
@pytest.mark.parametrize(
    "token", [f"{RANDOM}\n", f" {RANDOM}", f'"{RANDOM}"', f"'{RANDOM}'", f"{RANDOM[:9]}\r\n{RANDOM}"]
)
def test_blanks_and_quotes_around_a_token_are_rejected(flag: str, token: str) -> None:
    """No client sends a token with newlines, blanks or quotes around it, so the service does not start."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({flag: token})
    assert str(caught.value).startswith(f"{flag} is set to a bad value; expected no ")
    assert RANDOM not in str(caught.value)


@pytest.mark.parametrize("flag", SECRETS)
def test_a_secret_is_not_in_the_repr(flag: str) -> None:
    """Settings may be printed in a log or a debugger."""
    settings = Settings.from_env({flag: "key=hunter2-hunter2" if flag.endswith("HEADERS") else "hunter2-hunter2"})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


def test_a_secret_is_not_in_an_error() -> None:
    """An error about one flag shows nothing of another."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({**dict.fromkeys(SECRETS, "hunter2"), "LOG_LEVEL": "all"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("flag", ["OBS_REDACT_USER_ID", "OBS_REDACT_IP"])
def test_a_hash_needs_a_random_key(flag: str) -> None:
    """There are few addresses and user ids: without a key, everybody can hash all of them."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({flag: "hash", "OBS_REDACT_HASH_KEY": "short"})
    assert str(caught.value).startswith(f"{flag} is 'hash' and OBS_REDACT_HASH_KEY has fewer than 16 characters")
    assert "short" not in str(caught.value)
    assert Settings.from_env({flag: "hash", "OBS_REDACT_HASH_KEY": "k" * 16})
    with pytest.raises(ImproperlyConfigured, match="OBS_REDACT_HASH_KEY has fewer"):
        Settings.from_env({flag: "hash", "OBS_REDACT_HASH_KEY": "k" * 16, "OBS_ENV": "prod"})


def test_flags_with_credentials_are_secret() -> None:
    """URLs of databases carry passwords."""
    assert SECRETS == [
        "DATABASE_URL",
        "JWT_SECRET",
        "OBS_ADMIN_TOKEN",
        "OBS_ADMIN_TOKEN_PREVIOUS",
        "OBS_DEBUG_KEY",
        "OBS_REDACT_HASH_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "REDIS_URL",
        "S3_ENDPOINT_URL",
    ]


@pytest.mark.parametrize("empty", ["", " ", "\t"])
@pytest.mark.parametrize("flag", [flag.name for flag, default in Settings.flags() if not isinstance(default, tuple)])
def test_a_flag_that_is_set_to_nothing_is_not_set(flag: str, empty: str) -> None:
    """Container files set what is not set to nothing."""
    assert Settings.from_env({flag: empty}) == Settings()


@pytest.mark.parametrize(
    "flag",
    [flag.name for flag, default in Settings.flags() if isinstance(default, tuple) and flag.name != "OTEL_PROPAGATORS"],
)
def test_a_list_that_is_set_to_nothing_is_empty(flag: str) -> None:
    """`OBS_TRACING_CLIENTS=` traces none; the default would be all."""
    (value,) = [one.value for one in Settings.from_env({flag: ""}).in_force() if one.flag.name == flag]
    assert value == ()


@pytest.mark.parametrize("number", ["\u0661", "\uff11", "1_0", "1e0", "+1", "0x1", "1 0"])
@pytest.mark.parametrize(
    "flag",
    [flag.name for flag, default in Settings.flags() if type(default) in (int, float)],
)
def test_numbers_are_written_in_the_digits_of_ascii(flag: str, number: str) -> None:
    """Python reads more than that; a shell, a chart and the next colleague do not."""
    with pytest.raises(ImproperlyConfigured, match=f"^{flag} is "):
        Settings.from_env({flag: number})


def test_public_metrics_are_refused_to_code_as_well() -> None:
    """Settings that are made by hand hold the same rule."""
    with pytest.raises(ImproperlyConfigured, match="OBS_METRICS_PUBLIC is 'true' with OBS_ENV='prod'"):
        Settings(metrics=MetricSettings(public=True), service=ServiceSettings(env="prod"))


@pytest.mark.parametrize("flag", ["OBS_ENV", "OBS_SERVICE_NAME", "OBS_COMMIT", "OBS_SERVICE_VERSION"])
def test_a_name_has_128_characters_at_most(flag: str) -> None:
    """It stands in every line."""
    assert Settings.from_env({flag: "n" * 128}) != Settings()
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({flag: "n" * 129})
    assert str(caught.value) == f"{flag} is set to a bad value; expected 1 to 128 printable characters."


@pytest.mark.parametrize(
    "url",
    [
        "htps://user:hunter2@collector.example.org",
        "htps://hunter2@collector.example.org",
        "htps://collector.example.org/?token=hunter2",
        "htps://collector.example.org/" + "hunter2" * 20,
    ],
)
@pytest.mark.parametrize("flag", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "LOG_LEVEL"])
def test_a_url_with_a_user_or_a_query_is_not_quoted(flag: str, url: str) -> None:
    """It may hold credentials, also where it was pasted into the wrong flag."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({flag: url})
    assert str(caught.value).startswith(f"{flag} is set to a bad value; expected ")
    assert "hunter2" not in str(caught.value)


@given(st.sampled_from(sorted(FLAGS)), st.text())
# Digits of other scripts, separators and signs that Python's own parsers accept.
@example("LOG_SAMPLING_BUDGET", "\u0661")
@example("LOG_SAMPLING_BUDGET", "1_0")
@example("LOG_SAMPLING_RATE_INFO", "1e400")
# urlsplit raises for these by itself.
@example("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://[")
@example("OTEL_EXPORTER_OTLP_ENDPOINT", "http://\u2100")
# The form of invalid UTF-8 in os.environ.
@example("OBS_SERVICE_NAME", "\udcff")
def test_any_value_of_a_flag_is_accepted_or_named(flag: str, text: str) -> None:
    """No text makes another error than the one that names the flag."""
    problem = f"{flag} is fine; expected so."
    try:
        Settings.from_env({flag: text})
    except ImproperlyConfigured as error:
        problem = str(error)
    assert re.fullmatch(rf"{flag} is .+; expected .+\.", problem, re.DOTALL)


def test_every_flag_is_explained() -> None:
    """The README's table is made from these."""
    for flag, _ in Settings.flags():
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", flag.name)
        assert flag.doc.endswith(".")


@pytest.mark.parametrize("name", ["X Request", "X-Request-Id:", "é", "a" * 65, "Authorization", "cookie", "X-Api-Key"])
def test_an_invalid_header_or_one_of_a_credential_is_rejected(name: str) -> None:
    """RFC 9110, section 5.6.2; and a credential would be in every log line."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env({"OBS_REQUEST_ID_HEADERS": f"X-Request-Id,{name}"})
    assert str(caught.value).startswith("OBS_REQUEST_ID_HEADERS is ")
    with pytest.raises(ImproperlyConfigured, match=r"^OBS_REQUEST_ID_HEADERS has "):
        Settings(requests=RequestSettings(id_headers=("X-Request-Id", name)))


@pytest.mark.parametrize(
    "name", ["X Id", "a\r\nb", "Content-Length", "set-cookie", "Access-Control-Max-Age", "traceparent"]
)
def test_an_id_does_not_go_back_in_a_header_that_means_something_else(name: str) -> None:
    """It would break the response, or hide another header of it."""
    with pytest.raises(ImproperlyConfigured, match=r"^OBS_REQUEST_ID_RESPONSE_HEADER is "):
        Settings.from_env({"OBS_REQUEST_ID_RESPONSE_HEADER": name})
    with pytest.raises(ImproperlyConfigured, match=r"^OBS_REQUEST_ID_RESPONSE_HEADER has "):
        Settings(requests=RequestSettings(id_response_header=name))


@pytest.mark.parametrize("path", ["ping", "/ping?deep=1", "/ping/*", "/{name}", "/a b"])
def test_a_quiet_path_is_an_exact_one(path: str) -> None:
    """A pattern or a query would match nothing, and somebody would wonder why."""
    with pytest.raises(ImproperlyConfigured, match=r"^OBS_QUIET_PATHS is "):
        Settings.from_env({"OBS_QUIET_PATHS": path})


def test_all_bad_names_are_in_one_message() -> None:
    """Three mistakes do not need three starts of a service."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings.from_env(
            {"OBS_REQUEST_ID_HEADERS": "a b", "OBS_REQUEST_ID_RESPONSE_HEADER": "date", "OBS_REQUEST_ID_FORMAT": "ulid"}
        )
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        "OBS_REQUEST_ID_HEADERS",
        "OBS_REQUEST_ID_RESPONSE_HEADER",
        "OBS_REQUEST_ID_FORMAT",
    ]
