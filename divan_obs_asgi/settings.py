"""Every flag, declared once: its name, type, default and meaning. The README's table is made from here."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, cast

from divan_obs_asgi.env_file import read_env_file
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.readers import (
    DIFFERENT_CHARACTERS,
    SECRET_LENGTH,
    address,
    boolean,
    conventions,
    delay,
    directory,
    dotted_paths,
    exact_paths,
    integer,
    is_guessable,
    key_names,
    key_words,
    logger_names,
    migration,
    name,
    namespace,
    networks,
    one_of,
    origins,
    otlp_endpoint,
    page_routes,
    path,
    path_prefix,
    port,
    positive_integer,
    request_id_headers,
    response_header,
    routes,
    seconds,
    secret_text,
    share,
    some_of,
    token,
)
from divan_obs_asgi.redaction.pseudonyms import IP_POLICIES, USER_ID_POLICIES

T = TypeVar("T")

_PACKAGE = "divan_obs_asgi.middlewares."
DEFAULT_MIDDLEWARE = tuple(
    _PACKAGE + name
    for name in (
        "ContextMiddleware",
        "RequestIdMiddleware",
        "RedactionMiddleware",
        "TracingMiddleware",
        "MetricsMiddleware",
        "AccessLogMiddleware",
        "QuietPathsMiddleware",
        "OpsMiddleware",
    )
)
# Where the service serves nobody in earnest, a token may be one that is easily typed.
IN_PLAY = ("dev", "test")
# Where web vitals may be taken without a further word.
BEFORE_PROD = (*IN_PLAY, "staging")
# The names the standard library knows, so that `logging.getLevelName` agrees.
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("auto", "json", "console")
# The names that the OpenTelemetry specification gives to OTEL_TRACES_SAMPLER.
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
# What may be told of a bad value: not where it has a user, a query or a length that names and numbers do not have.
_TOLD = re.compile(r"[^@?]{0,120}", re.DOTALL)
_HIDDEN = "set to a bad value"
# What OBS_TRACING_NATIVE, OBS_TRACING_CLIENT_ADDRESS, OBS_TRACING_RESPONSE_HEADERS, OBS_REQUEST_ID_FORMAT and
# OBS_TRACING_CLIENTS can say.
NATIVE_MODES = ("suppress", "nest", "defer")
CLIENT_ADDRESSES = ("none", "network", "full")
TRACE_HEADERS = ("traceparent", "traceresponse", "server-timing")
ID_FORMATS = ("uuid4", "uuid7")
CLIENTS = ("httpx", "requests", "sqlalchemy", "asyncpg", "redis")


@dataclass(frozen=True, slots=True)
class Flag:
    """One environment variable."""

    name: str
    parse: Callable[[str], object]
    doc: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class InForce:
    """A flag with its value; `source` is one of `SOURCES`."""

    flag: Flag
    value: object = dataclasses.field(repr=False)
    source: str


_FEW_CHARACTERS = f"fewer than {SECRET_LENGTH} characters, or fewer than {DIFFERENT_CHARACTERS} different ones"
# Where a value can have come from: nobody has set it, the environment has, the file of OBS_ENV_FILE, or a keyword
# argument.
SOURCES = ("default", "environment", "file", "code")
_ENV_FILE = "OBS_ENV_FILE"
_ABSENT = object()


def _source(value: object, default: object, read: object, in_file: bool) -> str:
    if read is not _ABSENT:
        return "file" if in_file else "environment"
    return "default" if value == default else "code"


def _shown(text: str) -> str:
    """Return what may be told of a bad value."""
    return repr(text) if _TOLD.fullmatch(text) else _HIDDEN


def _flag(env: str, parse: Callable[[str], T], default: T, doc: str, *, secret: bool = False) -> T:
    flag = Flag(env, cast(Callable[[str], object], parse), doc, secret)
    return dataclasses.field(default=default, metadata={"flag": flag}, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    The configuration of one `Observability`, read once at start-up.

    Make one with `Settings.from_env()`, or directly with keyword arguments in tests.
    """

    # What `from_env` has read, and which of it from the file; no fields, and empty of one that was made in code.
    _read: ClassVar[Mapping[str, Any]] = {}
    _in_file: ClassVar[frozenset[str]] = frozenset()

    enabled: bool = _flag("OBS_ENABLED", boolean, True, "The whole library; false leaves the application untouched.")
    env_file: str | None = _flag(
        _ENV_FILE,
        path,
        None,
        "A `.env` file with further flags; the environment goes before it. Needs the extra `dotenv`.",
    )
    middleware: tuple[str, ...] = _flag(
        "OBS_MIDDLEWARE", dotted_paths, DEFAULT_MIDDLEWARE, "Dotted paths of the middlewares, outermost first."
    )
    context_enabled: bool = _flag(
        "OBS_CONTEXT_ENABLED", boolean, True, "Keep the context variables of a connection's requests apart."
    )
    ops_enabled: bool = _flag("OBS_OPS_ENABLED", boolean, True, "Serve /health/*, /metrics and /ops/*.")
    request_id_enabled: bool = _flag("OBS_REQUEST_ID_ENABLED", boolean, True, "Give every connection an X-Request-Id.")
    request_id_headers: tuple[str, ...] = _flag(
        "OBS_REQUEST_ID_HEADERS",
        request_id_headers,
        ("X-Request-Id",),
        "Request headers whose id is kept, the first valid one wins: X-Request-Id,X-Correlation-ID,traceparent.",
    )
    request_id_response_header: str = _flag(
        "OBS_REQUEST_ID_RESPONSE_HEADER",
        response_header,
        "X-Request-Id",
        "Response header that carries the id, and header of the calls that traced clients make.",
    )
    request_id_format: str = _flag(
        "OBS_REQUEST_ID_FORMAT",
        one_of(*ID_FORMATS),
        "uuid4",
        "How new ids are made: uuid4 (random) or uuid7 (RFC 9562, in the order of time).",
    )
    quiet_paths: tuple[str, ...] = _flag(
        "OBS_QUIET_PATHS",
        exact_paths,
        (),
        "Exact paths of the application whose successful requests are not logged, counted or traced: /ping.",
    )
    redaction_enabled: bool = _flag(
        "OBS_REDACTION_ENABLED", boolean, True, "Bind to each request what may be told of it."
    )
    redact_keys: tuple[str, ...] = _flag(
        "OBS_REDACT_KEYS", key_words, (), "Further keys whose values are redacted, separated by commas."
    )
    redact_allow_keys: tuple[str, ...] = _flag(
        "OBS_REDACT_ALLOW_KEYS", key_words, (), "Keys whose values are told in spite of their names."
    )
    redact_user_id: str = _flag(
        "OBS_REDACT_USER_ID", one_of(*USER_ID_POLICIES), "drop", "What is told of a user id: drop, hash or keep."
    )
    redact_ip: str = _flag(
        "OBS_REDACT_IP", one_of(*IP_POLICIES), "drop", "What is told of an address: drop, hash, truncate or keep."
    )
    redact_hash_key: str | None = _flag(
        "OBS_REDACT_HASH_KEY", secret_text, None, "The key of the hashes; 16 characters or more.", secret=True
    )
    cancel_on_disconnect: tuple[str, ...] = _flag(
        "OBS_CANCEL_ON_DISCONNECT",
        routes,
        (),
        "Routes whose application is cancelled when the client has left: `/generate,/chat/{id}`, or `true` for all.",
    )
    redact_error_bodies: bool = _flag(
        "OBS_REDACT_ERROR_BODIES", boolean, False, "Redact the textual bodies of answers from 500 on."
    )
    tracing_enabled: bool = _flag(
        "OBS_TRACING_ENABLED", boolean, False, "A server span for every connection; needs the extra `tracing`."
    )
    metrics_enabled: bool = _flag("OBS_METRICS_ENABLED", boolean, True, "Count and time every connection.")
    access_log_enabled: bool = _flag("OBS_ACCESS_LOG_ENABLED", boolean, True, "One JSON line for every connection.")
    logging_enabled: bool = _flag(
        "OBS_LOGGING_ENABLED", boolean, True, "`init` and `wrap` send the root logger through the JSON sink."
    )
    logging_restore: bool = _flag(
        "OBS_LOGGING_RESTORE",
        boolean,
        True,
        "Put the log handler back when logging is configured again; false only reports it.",
    )
    socketio_enabled: bool = _flag("OBS_SOCKETIO_ENABLED", boolean, True, "Observe Socket.IO clients and events.")
    socketio_emit_spans: bool = _flag("OBS_SOCKETIO_EMIT_SPANS", boolean, False, "A span for every Socket.IO emit.")
    socketio_client_traces: bool = _flag(
        "OBS_SOCKETIO_CLIENT_TRACES", boolean, False, "Tell Socket.IO clients that ask for it the trace of an emit."
    )
    socketio_room_sizes: bool = _flag(
        "OBS_SOCKETIO_ROOM_SIZES", boolean, False, "How large Socket.IO rooms are, for debugging; every 10 s."
    )
    socketio_ack_errors: bool = _flag(
        "OBS_SOCKETIO_ACK_ERRORS",
        boolean,
        False,
        "Answer a Socket.IO event or connect whose handler raised with an error.",
    )
    metrics_public: bool = _flag(
        "OBS_METRICS_PUBLIC",
        boolean,
        False,
        "Tell /metrics and /ops to everybody; with OBS_ENV=dev only.",
    )
    namespace: str = _flag("OBS_NAMESPACE", namespace, "divan", "The first word of every metric's name.")
    metrics_max_series: int = _flag(
        "OBS_METRICS_MAX_SERIES",
        positive_integer,
        500,
        "Label sets that a metric has at most; further ones are told as `__overflow__`.",
    )
    metrics_created: bool = _flag(
        "OBS_METRICS_CREATED", boolean, False, "Expose since when each series counts (`_created`); doubles the page."
    )
    multiproc_dir: str | None = _flag(
        "PROMETHEUS_MULTIPROC_DIR",
        directory,
        None,
        "Where several workers keep their metrics, so that each tells of all; a directory of this service alone.",
    )
    admin_token: str | None = _flag(
        "OBS_ADMIN_TOKEN", token, None, "The bearer token of the guarded endpoints.", secret=True
    )
    admin_token_previous: str | None = _flag(
        "OBS_ADMIN_TOKEN_PREVIOUS", token, None, "The token before, valid too while clients change over.", secret=True
    )
    ops_max_failures: int = _flag(
        "OBS_OPS_MAX_FAILURES", positive_integer, 10, "Wrong tokens a minute from one address; then it has to wait."
    )
    ops_networks: tuple[str, ...] = _flag(
        "OBS_OPS_NETWORKS", networks, (), "Networks that may ask the guarded endpoints: 10.0.0.0/8, fd00::/8; all."
    )
    ops_prefix: str = _flag(
        "OBS_OPS_PREFIX", path_prefix, "", "A path to move /health, /metrics and /ops below, for example /internal."
    )
    ops_port: int | None = _flag(
        "OBS_OPS_PORT", port, None, "A port of its own for /metrics and /ops; then they are nowhere else."
    )
    ops_host: str = _flag("OBS_OPS_HOST", address, "127.0.0.1", "The address that it listens on.")
    rollover_job: str = _flag(
        "OBS_ROLLOVER_JOB", name, "lb_snapshot", "The job that POST /ops/rollover starts where none is named."
    )
    vitals_enabled: bool = _flag(
        "OBS_VITALS_ENABLED",
        boolean,
        False,
        "Serve POST /ops/ingest, which counts web vitals that browsers send; OBS_ENV=dev, test or staging only.",
    )
    vitals_in_prod: bool = _flag(
        "OBS_VITALS_IN_PROD", boolean, False, "Allow OBS_VITALS_ENABLED with every other OBS_ENV too."
    )
    vitals_origins: tuple[str, ...] = _flag(
        "OBS_VITALS_ORIGINS", origins, (), "Origins whose pages may send web vitals: https://app.example.com."
    )
    vitals_routes: tuple[str, ...] = _flag(
        "OBS_VITALS_ROUTES",
        page_routes,
        (),
        "Routes of pages, as they are sent and counted: /,/rooms/[id]; any other is `__unmatched__`.",
    )
    vitals_address_limit: int = _flag(
        "OBS_VITALS_ADDRESS_LIMIT", positive_integer, 60, "Requests with web vitals a minute from one address."
    )
    vitals_total_limit: int = _flag(
        "OBS_VITALS_TOTAL_LIMIT", positive_integer, 3000, "Requests with web vitals a minute from all addresses."
    )
    env: str = _flag("OBS_ENV", name, "dev", "The deployment environment: dev, staging, prod, ...")
    service_name: str = _flag("OBS_SERVICE_NAME", name, "divan-api", "`service` of log lines and spans.")
    commit: str = _flag("OBS_COMMIT", name, "unknown", "The commit that runs.")
    service_version: str = _flag("OBS_SERVICE_VERSION", name, "unknown", "`service.version` of spans.")
    log_level: str = _flag("LOG_LEVEL", one_of(*LOG_LEVELS), "INFO", "The lowest level that is written.")
    log_format: str = _flag(
        "LOG_FORMAT",
        one_of(*LOG_FORMATS),
        "auto",
        "json, console (lines for people) or auto: console on a terminal where OBS_ENV=dev is set, else json.",
    )
    log_sampling_rate_info: float = _flag(
        "LOG_SAMPLING_RATE_INFO", share, 0.1, "The share of INFO and DEBUG lines that is kept under load."
    )
    log_sampling_budget: int = _flag(
        "LOG_SAMPLING_BUDGET", positive_integer, 100, "Lines a second that are all kept; more of them is load."
    )
    log_recorder_level: str = _flag(
        "LOG_RECORDER_LEVEL", one_of(*LOG_LEVELS), "DEBUG", "The lowest level that the flight recorder keeps."
    )
    log_recorder_lines: int = _flag(
        "LOG_RECORDER_LINES", integer, 100, "Unwritten lines that a request keeps for a bad end; 0 for no recorder."
    )
    log_recorder_loggers: tuple[str, ...] = _flag(
        "LOG_RECORDER_LOGGERS",
        logger_names,
        (),
        "Loggers of libraries whose suppressed lines the flight recorder keeps too: `botocore,aiokafka`.",
    )
    log_recorder_bytes: int = _flag("LOG_RECORDER_BYTES", positive_integer, 65536, "The same, in bytes.")
    log_slow_ms: int = _flag(
        "LOG_SLOW_MS", integer, 1000, "An HTTP request that takes longer shows its recorded lines; 0 for none."
    )
    log_prints: bool = _flag(
        "LOG_PRINTS",
        boolean,
        False,
        "Write each line printed to standard output or standard error as a log line (`stdout`, `stderr`).",
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
    drain_enabled: bool = _flag(
        "OBS_DRAIN_ENABLED", boolean, True, "On SIGTERM be ready no longer, and serve for a while before the end."
    )
    drain_delay_s: float | None = _flag(
        "OBS_DRAIN_DELAY_S",
        delay,
        None,
        "Seconds to keep serving after SIGTERM. Default: 5 if /health/ready was polled in the last minute, else 0; "
        "0 on a terminal, under a reloader and with OBS_ENV=dev.",
    )
    health_min_migration: str | None = _flag(
        "HEALTH_MIN_MIGRATION", migration, None, "The oldest migration with which the service is ready."
    )
    health_interval_s: float = _flag(
        "HEALTH_INTERVAL_S", delay, 2.0, "Seconds between two checks of a probe; 0 checks only when asked."
    )
    health_fail_after: int = _flag(
        "HEALTH_FAIL_AFTER", positive_integer, 2, "Failed checks in a row that make a probe fail."
    )
    health_recover_after: int = _flag(
        "HEALTH_RECOVER_AFTER", positive_integer, 1, "Passed checks in a row that make it well again."
    )
    watchdog_enabled: bool = _flag(
        "OBS_WATCHDOG_ENABLED", boolean, True, "Measure the event loop's lag and tell what code blocks it."
    )
    watchdog_stall_ms: int = _flag(
        "OBS_WATCHDOG_STALL_MS", positive_integer, 200, "From how many milliseconds on a blocked event loop is told."
    )
    redis_streams: tuple[str, ...] = _flag(
        "OBS_REDIS_STREAMS", key_names, (), "Redis Streams at REDIS_URL whose groups are watched for lag."
    )
    redis_streams_interval_s: float = _flag(
        "OBS_REDIS_STREAMS_INTERVAL_S", seconds, 10.0, "How often they are looked at."
    )
    redis_url: str | None = _flag(
        "REDIS_URL", secret_text, None, "Checked at start-up; where OBS_REDIS_STREAMS are.", secret=True
    )
    # What the application uses; read here only so that /health/startup can say whether it is well formed.
    database_url: str | None = _flag("DATABASE_URL", secret_text, None, "Checked at start-up.", secret=True)
    s3_url: str | None = _flag("S3_ENDPOINT_URL", secret_text, None, "Checked at start-up.", secret=True)
    jwt_secret: str | None = _flag("JWT_SECRET", secret_text, None, "Its length is checked at start-up.", secret=True)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read every flag from `environ` (default: `os.environ`), and from the file that its OBS_ENV_FILE names.

        Raises:
            ImproperlyConfigured: naming every flag that is wrong, its value unless it is secret, and what was
                expected.
        """
        readable, _, wrong = cls.readable(environ)
        if wrong:
            # Not only what cannot be read: also which of those that could be read contradict each other.
            raise ImproperlyConfigured("\n".join([*wrong, *readable.contradictions()]))
        settings = cls(**readable._read)
        # Not an argument: whoever replaces a value has said it in code.
        object.__setattr__(settings, "_read", readable._read)
        object.__setattr__(settings, "_in_file", readable._in_file)
        return settings

    @classmethod
    def readable(cls, environ: Mapping[str, str] | None = None) -> tuple[Self, Mapping[str, str], list[str]]:
        """
        Return the flags that can be read, all variables with those of OBS_ENV_FILE, and a sentence for each bad flag.

        The flags may contradict each other, and a bad one has its default.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        wrong: list[str] = []
        in_file: dict[str, str] = {}
        try:
            if env_file := environ.get(_ENV_FILE, "").strip():
                in_file = {name: text for name, text in read_env_file(env_file).items() if name not in environ}
        except ValueError as expected:
            wrong.append(f"{_ENV_FILE} is {_shown(env_file)}; expected {expected}.")
        environ = {**in_file, **environ}
        for field, flag in cls._declared():
            text = environ.get(flag.name)
            # Container files set what is not set to nothing; only a list may be meant to be empty.
            if text is None or (not text.strip() and not isinstance(getattr(cls, field), tuple)):
                continue
            try:
                values[field] = flag.parse(text)
            except ValueError as expected:
                got = _HIDDEN if flag.secret else _shown(text)
                wrong.append(f"{flag.name} is {got}; expected {expected}.")
        # Not made, for what contradicts itself cannot be.
        settings = object.__new__(cls)
        settings.__dict__.update(values, _read=values, _in_file=frozenset(in_file))
        return settings, environ, wrong

    def __post_init__(self) -> None:
        wrong = self.contradictions()
        if wrong:
            raise ImproperlyConfigured("\n".join(wrong))

    def contradictions(self) -> list[str]:
        """Return a sentence for each pair of flags that cannot hold together."""
        wrong = []
        if self.metrics_public and self.env != "dev":
            wrong.append(
                f"OBS_METRICS_PUBLIC is 'true' with OBS_ENV={self.env!r}; it is for OBS_ENV=dev only: "
                "set OBS_ADMIN_TOKEN and scrape with it."
            )
        for flag, policy in (("OBS_REDACT_USER_ID", self.redact_user_id), ("OBS_REDACT_IP", self.redact_ip)):
            if policy == "hash" and self._is_weak_key(self.redact_hash_key or ""):
                wrong.append(
                    f"{flag} is 'hash' and OBS_REDACT_HASH_KEY has {_FEW_CHARACTERS}: whoever "
                    "can guess it can name everybody. Set a random one, the same for all workers."
                )
        return wrong + self._bad_vitals() + self._bad_names() + self._bad_tokens()

    def _bad_vitals(self) -> list[str]:
        """Return a sentence for each reason not to take web vitals."""
        wrong = []
        if self.vitals_enabled and self.env not in BEFORE_PROD and not self.vitals_in_prod:
            wrong.append(
                f"OBS_VITALS_ENABLED is 'true' with OBS_ENV={self.env!r}: anybody can send to POST /ops/ingest. "
                "Set OBS_VITALS_IN_PROD=true to allow it."
            )
        if self.vitals_enabled and not self.vitals_origins:
            wrong.append(
                "OBS_VITALS_ENABLED is 'true' and OBS_VITALS_ORIGINS is empty: no page could send anything. "
                "Set the origins of your pages, like https://app.example.com."
            )
        return wrong

    def _bad_names(self) -> list[str]:
        """Return a sentence for each header or path that was given in code, and could not be read from a flag."""
        given: tuple[tuple[str, Callable[[str], object], tuple[str, ...]], ...] = (
            ("OBS_REQUEST_ID_HEADERS", request_id_headers, self.request_id_headers),
            ("OBS_REQUEST_ID_RESPONSE_HEADER", response_header, (self.request_id_response_header,)),
            ("OBS_QUIET_PATHS", exact_paths, self.quiet_paths),
            ("OBS_VITALS_ORIGINS", origins, self.vitals_origins),
            ("OBS_VITALS_ROUTES", page_routes, self.vitals_routes),
        )
        wrong = []
        for flag, parse, names in given:
            for each in names:
                try:
                    parse(each)
                except ValueError as expected:
                    wrong.append(f"{flag} has {each!r}; expected {expected}.")
        return wrong

    def _is_weak_key(self, key: str) -> bool:
        return len(key) < SECRET_LENGTH or (self.env not in IN_PLAY and is_guessable(key))

    def _bad_tokens(self) -> list[str]:
        """Return a sentence for each admin token that opens what is served in earnest to whoever guesses it."""
        if not self.enabled or not self.ops_enabled or self.env in IN_PLAY:
            return []
        tokens = {"OBS_ADMIN_TOKEN": self.admin_token, "OBS_ADMIN_TOKEN_PREVIOUS": self.admin_token_previous}
        wrong = [
            f"{flag} has {_FEW_CHARACTERS}, with OBS_ENV={self.env!r}: it can be guessed. "
            "Set a random one: openssl rand -hex 32."
            for flag, token in tokens.items()
            if token and is_guessable(token)
        ]
        if self.admin_token and self.admin_token == self.admin_token_previous:
            wrong.append(
                "OBS_ADMIN_TOKEN_PREVIOUS is the same as OBS_ADMIN_TOKEN; expected the one before, or nothing once "
                "all clients have the new one."
            )
        return wrong

    @property
    def says_dev(self) -> bool:
        """Whether somebody has said OBS_ENV=dev, which it is by default: a service in earnest may not say anything."""
        return self.env == "dev" and "env" in self._read

    def in_force(self) -> list[InForce]:
        """Return every flag with its value, and where that came from."""
        read, in_file = self._read, self._in_file
        defaults = type(self)()
        return [
            InForce(
                flag,
                value,
                _source(value, getattr(defaults, field), read.get(field, _ABSENT), flag.name in in_file),
            )
            for field, flag in self._declared()
            for value in [getattr(self, field)]
        ]

    @classmethod
    def flags(cls) -> list[tuple[Flag, object]]:
        """Return every flag with its default, in the order of declaration."""
        defaults = cls()
        return [(flag, getattr(defaults, field)) for field, flag in cls._declared()]

    @classmethod
    def _declared(cls) -> list[tuple[str, Flag]]:
        return [(field.name, field.metadata["flag"]) for field in dataclasses.fields(cls)]


__all__ = ["DEFAULT_MIDDLEWARE", "SOURCES", "Flag", "InForce", "Settings"]
