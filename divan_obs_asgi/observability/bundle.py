"""The frozen bundle that is passed to every middleware, probe and server."""

from __future__ import annotations

import logging
import os
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from divan_obs_asgi.connection import request_ids as ids
from divan_obs_asgi.connection.disconnects import Disconnects
from divan_obs_asgi.connection.operations import Operations
from divan_obs_asgi.connection.request_ids import GENERATORS, NewId, uuid4
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.jobs import F, Jobs
from divan_obs_asgi.lifecycle.background import Background, Stop
from divan_obs_asgi.lifecycle.development import why_development
from divan_obs_asgi.lifecycle.drain import Drain
from divan_obs_asgi.logs import ByteStream, FlightRecorder, Lines, Logs, OwnLoggers, RootLevel, Sampler, Sink
from divan_obs_asgi.logs.console import form_for
from divan_obs_asgi.logs.loguru_bridge import warn_of_loguru
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.traffic import count_operation
from divan_obs_asgi.observability.endpoint_registry import EndpointRegistry, H, declared
from divan_obs_asgi.observability.observers import Observers
from divan_obs_asgi.observability.ops_endpoints import Method, ResponseDescription, Schema
from divan_obs_asgi.observability.stacks import BuiltStacks
from divan_obs_asgi.probes import CanaryProbe, ConfigProbe, HeartbeatProbe, ProbeRegistry
from divan_obs_asgi.probes import canary_sinks as canaries
from divan_obs_asgi.probes.base import READY, STARTUP
from divan_obs_asgi.probes.lifespan import LifespanProbe
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.runtime.process import register_process_collectors, set_build_info
from divan_obs_asgi.runtime.redis_streams import RedisStreams, client_factory
from divan_obs_asgi.runtime.watchdog import Watchdog
from divan_obs_asgi.settings import MisspeltFlag, Settings
from divan_obs_asgi.tracing.spans.internal import SpanFactory, tracer_of
from divan_obs_asgi.types import Authorize

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import TracerProvider

    from divan_obs_asgi.tracing.spans.server import ServerSpans

# The most misspelt flags that the warning at start-up names.
_SHOWN_MISSPELT = 10


def logger(name: str) -> logging.Logger:
    """
    Return the standard library's logger of that name: `log = obs.logger("chat")` at the top of a module.

    You may call it before `init`. Until then its records go where the process's logging sends them. Afterwards they
    are JSON lines with the ids of the request in which they are logged.
    """
    return logging.getLogger(name)


def _lifespan_probes() -> tuple[LifespanProbe, LifespanProbe]:
    return LifespanProbe("lifespan", READY), LifespanProbe("lifespan_startup", STARTUP)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Observability:
    """
    The parts of one service's observability.

    Attributes:
        spans: None where tracing is off.
        work: makes spans for the application's own work: `work.span`, `work.traced`, `work.background`.
        background: the library's background tasks.
        drain: shuts the service down without losing requests: `drain.on_start(callback)`, `drain.start("maintenance")`.
        jobs: the functions that `@observability.job(name)` has registered, by name.
        built_stacks: the middlewares of the stacks that were built with this bundle.
        authorize: the application's own check for the guarded endpoints.
        new_request_id: makes the id of a request without a valid id, and of each Socket.IO event.
        operations: the names and reasons that `operation` and `fail` accept: `operations.declare("Users")`.
        endpoints: the ops endpoints that the service adds: `endpoints.register(endpoint)`.
    """

    settings: Settings
    redaction: RedactionPolicy
    metrics: Metrics
    log: Logs
    spans: ServerSpans | None
    probes: ProbeRegistry
    heartbeat: HeartbeatProbe
    faults: InternalErrors
    work: SpanFactory
    background: Background
    drain: Drain
    jobs: Jobs
    authorize: Authorize | None = None
    new_request_id: NewId = uuid4
    operations: Operations = field(default_factory=Operations)
    built_stacks: BuiltStacks = field(default_factory=BuiltStacks)
    endpoints: EndpointRegistry = field(default_factory=EndpointRegistry, repr=False)
    disconnects: Disconnects = field(default_factory=Disconnects, repr=False)
    observers: Observers = field(default_factory=Observers, repr=False)
    _lifespan: tuple[LifespanProbe, LifespanProbe] = field(default_factory=_lifespan_probes, repr=False)

    def __post_init__(self) -> None:
        _announce(self)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        log_stream: ByteStream | None = None,
        tracer_provider: TracerProvider | None = None,
        span_exporter: SpanExporter | None = None,
        redaction: RedactionPolicy | None = None,
        authorize: Authorize | None = None,
        new_request_id: NewId | None = None,
    ) -> Self:
        """
        Build everything from the flags in `environ` (default: `os.environ`).

        Args:
            log_stream: where lines go; default is standard output.
            tracer_provider: the application's own provider, instead of one built from the flags. A provider that the
                application has set globally is used anyway.
            span_exporter: instead of OTLP over gRPC, where the provider is built from the flags.
            redaction: the policy of every sink, instead of the policy from the flags.
            authorize: called with the scope of a request to a guarded endpoint that has the token. The request is
                allowed only if it returns True, or an awaitable of True.
            new_request_id: makes the id of a request without a valid id, instead of the generator that
                OBS_REQUEST_ID_FORMAT names.

        Raises:
            ImproperlyConfigured: names every invalid flag.
        """
        settings = Settings.from_env(environ)
        return cls.build(
            settings,
            log_stream=log_stream,
            tracer_provider=tracer_provider,
            span_exporter=span_exporter,
            redaction=redaction,
            authorize=authorize,
            new_request_id=new_request_id,
        )

    @classmethod
    def build(
        cls,
        settings: Settings,
        *,
        log_stream: ByteStream | None = None,
        tracer_provider: TracerProvider | None = None,
        span_exporter: SpanExporter | None = None,
        redaction: RedactionPolicy | None = None,
        authorize: Authorize | None = None,
        new_request_id: NewId | None = None,
    ) -> Self:
        """Build everything from `settings`; arguments as for `from_env`."""
        policy = redaction or RedactionPolicy.from_settings(settings.redaction)
        shared = settings.enabled and settings.metrics.multiproc_dir
        metrics = Metrics(
            policy,
            settings.metrics.namespace,
            settings.metrics.max_series,
            created=settings.metrics.created,
            directory=Path(shared) if shared else None,
        )
        faults = InternalErrors(count=lambda component: metrics.errors.labels(component).inc())
        metrics.registry.failed = lambda error: faults.report("metrics", error)
        sink = Sink(
            log_stream,
            dropped=lambda level: metrics.logs_dropped.labels(level).inc(),
            failed=lambda error: faults.report("sink", error),
            form=form_for(settings.logs.format, log_stream, os.environ, dev=settings.dev_is_explicit),
        )
        lines = Lines(
            settings.service.name, settings.service.env, settings.service.commit, metrics.counting(policy, "log")
        )
        log = Logs(
            lines,
            Sampler(settings.logs.sampling_rate_info, settings.logs.sampling_budget),
            FlightRecorder(
                settings.logs.recorder_lines, settings.logs.recorder_bytes, settings.logs.slow_ms / 1e3, sink.put
            ),
            OwnLoggers(settings.logs.recorder_loggers),
            sink,
            _root_level(settings),
            faults,
            restores=settings.logs.restore,
            removed=lambda: metrics.log_handler_removed.inc(),  # Made at its first use.
        )
        probes = ProbeRegistry(
            metrics,
            metrics.counting(policy, "health"),
            faults,
            interval_s=settings.health.interval_s,
            fail_after=settings.health.fail_after,
            recover_after=settings.health.recover_after,
            is_draining=lambda: drain.active,
        )
        heartbeat = HeartbeatProbe()
        probes.register(heartbeat)
        probes.register(ConfigProbe(settings))
        if metrics.workers is not None:
            # Not critical: the service works without the metrics of its other workers.
            probes.probe("metrics_directory", critical=False, interval=0, fail_after=1)(metrics.workers.check)
        tracing = settings.enabled and settings.tracing.enabled
        spans = (
            _server_spans(settings, tracer_provider, span_exporter, metrics.counting(policy, "span"), metrics, faults)
            if tracing
            else None
        )
        sinks = {
            "log": canaries.logging_sink(log, lines),
            "metrics": canaries.metrics_sink(policy),
            "health": canaries.health_sink(policy),
        }
        if tracing:
            sinks["span"] = canaries.span_sink(policy)
        probes.register(
            CanaryProbe(sinks, canaries.known_results(policy), lambda name: name == "log" and log.is_installed)
        )
        work = SpanFactory(tracer_of(spans.provider if spans is not None else None), metrics.counting(policy, "span"))
        jobs = Jobs(metrics, work, metrics.counting(policy, "log"), faults, observing=settings.enabled)
        redaction = metrics.counting(policy, "application")
        background = _background(settings, metrics, faults)
        background.add("heartbeat", heartbeat.run, later=True)
        background.add("probes", probes.run, later=True)
        background.add("log_levels", log.levels.run_expiry, later=True)
        background.add("log_tending", log.maintain, later=True)
        background.when_started("logs", log.check_handler)
        if settings.enabled and settings.logs.enabled:
            background.when_started("loguru", warn_of_loguru)
        if settings.enabled and settings.misspelt:
            background.when_started("settings", partial(_warn_of_misspelt_flags, settings.misspelt))
        if spans is not None and tracer_provider is None and not spans.exports:
            # Logged when the application has started: `init` has installed the log handler by then.
            background.when_started("tracing", _warn_of_missing_endpoint)

        def set_draining(drains: bool) -> None:
            metrics.draining.set(drains)
            probes.update_ready()

        drain = Drain(
            settings.health.drain_delay_s,
            faults,
            set_draining,
            signals=settings.health.drain_enabled,
            why_development=lambda: why_development(sys._getframe(), dev=settings.dev_is_explicit),
        )
        background.add("drain", drain.run)
        disconnects = Disconnects(settings.requests.cancel_on_disconnect)
        bundle = cls(
            settings,
            redaction,
            metrics,
            log,
            spans,
            probes,
            heartbeat,
            faults,
            work,
            background,
            drain,
            jobs,
            authorize,
            new_request_id=GENERATORS[settings.requests.id_format]
            if new_request_id is None
            else ids.checked(new_request_id, faults, redaction.redact_text),
            operations=Operations(partial(count_operation, metrics) if settings.metrics.enabled else None),
            disconnects=disconnects,
        )
        weakref.finalize(bundle, _leave, weakref.ref(sink)).atexit = False
        return bundle

    @property
    def response_headers(self) -> tuple[str, ...]:
        """
        The headers that the library sets on responses, for `CORSMiddleware(expose_headers=...)`.

        `CORSMiddleware` inside of the stack does not need them. One outside needs them where it has a list of its own.
        """
        settings = self.settings
        names = (settings.requests.id_response_header,) if settings.requests.id_enabled else ()
        return (*names, *settings.tracing.response_headers) if self.spans is not None else names

    def logger(self, name: str) -> logging.Logger:
        """Return the standard library's logger of that name, as the function `logger` does."""
        return logger(name)

    def job(self, name: str) -> Callable[[F], F]:
        """
        Make a function a job: `@observability.job("lb_snapshot")`. It stays as it is, plain or async.

        Each call is counted, timed, a span and a log line; `observability.jobs.get(name)` finds it.

        Raises:
            ImproperlyConfigured: if the name is taken or invalid.
        """
        return lambda function: self.jobs.register(name, function)

    def endpoint(
        self,
        path: str,
        *,
        method: Method = "GET",
        summary: str | None = None,
        guarded: bool = True,
        responses: Mapping[int, ResponseDescription] | None = None,
        body: Schema | None = None,
        query: Mapping[str, Schema] | None = None,
    ) -> Callable[[H], H]:
        """
        Make a function an ops endpoint: `@observability.endpoint("/ops/cache")`. It stays as it is, plain or async.

        It is called with the `Request` and returns a `Response`, or something that is sent as JSON.

        Args:
            path: below `/ops`; OBS_OPS_PREFIX stands before it. `{name}` stands for one segment.
            method: anything but GET and OPTIONS changes something, and each use is a line of the audit log.
            summary: one line for the index; default is the first line of the docstring.
            guarded: False answers everybody, without a token, on the service's own port too.
            responses: by status, for the OpenAPI document, as are `body` and `query`.

        Raises:
            ImproperlyConfigured: naming everything that is wrong, a path that is taken included.
        """

        def register(handler: H) -> H:
            self.endpoints.register(
                declared(
                    path,
                    handler,
                    method=method,
                    summary=summary,
                    guarded=guarded,
                    responses=responses,
                    body=body,
                    query=query,
                )
            )
            return handler

        return register

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stop]:
        """Run the background tasks of the application; yields a function that ends them before the block is left."""
        # The server has set up its own logging by now.
        self.log.adopt_server_loggers()
        self.log.check_handler()
        self.log.sink.open()
        async with self.background.running() as stop:
            yield stop

    def started(self, started: bool, *, still: bool = True) -> None:
        """
        Report whether the application has started; the readiness and start-up probes follow it.

        Args:
            still: False where it had started, and its lifespan has failed since.
        """
        ready, startup = self._lifespan
        ready.failed, startup.failed = not (started and still), not started
        for probe in self._lifespan:
            if probe.failed and probe.name not in self.probes.names():
                self.probes.register(probe)

    def go_on_alone(self, owner: object, running: AbstractAsyncContextManager[object]) -> None:
        """Keep `running` entered without a lifespan, until the event loop or `owner` ends."""
        self.background.run_alone(owner, running, self.rest_in_thread)

    async def rest_in_thread(self) -> None:
        """Call `rest` in a thread, without blocking the event loop."""
        with anyio.CancelScope(shield=True):
            # With a limiter of its own: plain functions of the application may occupy all threads of the default one.
            await anyio.to_thread.run_sync(self.rest, limiter=anyio.CapacityLimiter(1))

    def rest(self) -> None:
        """Flush, and end the threads that write and export; later lines and spans start them again."""
        self.flush()
        if self.spans is not None:
            self.spans.pause()
        self.log.sink.close()

    def flush(self) -> None:
        """Export the queued spans and write the queued lines; blocks at most for the shutdown timeout."""
        if self.spans is not None:
            try:
                self.spans.flush(int(self.settings.tracing.shutdown_timeout_s * 1000))
            except Exception as error:
                self.faults.report("tracing", error)
        self.log.flush()


def _leave(sink: weakref.ref[Sink]) -> None:
    """End the sink's thread when the bundle is gone. The root logger may still have its pipeline."""
    left = sink()
    if left is not None:
        left.leave()


def _background(settings: Settings, metrics: Metrics, faults: InternalErrors) -> Background:
    """Return the background tasks that report on the process and its Redis streams."""
    background = Background(faults)
    if not settings.enabled:
        return background
    metrics.registry.later(partial(set_build_info, metrics, settings))
    metrics.registry.later(partial(register_process_collectors, metrics.registry))
    if metrics.workers is not None:
        background.add("process_series", partial(metrics.workers.keep_updating, metrics.registry.collectors))
    if settings.runtime.watchdog_enabled:
        stall_s = settings.runtime.watchdog_stall_ms / 1e3
        watchdog = Watchdog(metrics, faults, stall_s=stall_s, starting=background.is_starting)
        background.when_started("watchdog", watchdog.begin)
        background.add("watchdog", watchdog.run)
    if settings.runtime.redis_streams:
        connect = client_factory(settings.service.redis_url)
        interval_s = settings.runtime.redis_streams_interval_s
        streams = RedisStreams(metrics, faults, settings.runtime.redis_streams, connect, interval_s=interval_s)
        background.add("redis_streams", streams.run)
    return background


def _warn_of_missing_endpoint() -> None:
    logging.getLogger("divan_obs_asgi.tracing").warning(
        "OTEL_EXPORTER_OTLP_ENDPOINT is not set: spans are not exported."
    )


def _warn_of_misspelt_flags(misspelt: Sequence[MisspeltFlag]) -> None:
    # The log line must not be cut: OBS Studio, for one, may have set many.
    shown = [f"{name} (did you mean {nearest}?)" if nearest else name for name, nearest in misspelt[:_SHOWN_MISSPELT]]
    if len(misspelt) > _SHOWN_MISSPELT:
        shown.append(f"and {len(misspelt) - _SHOWN_MISSPELT} more")
    logging.getLogger("divan_obs_asgi.settings").warning(
        "Environment variables that are not flags are ignored: %s.", ", ".join(shown)
    )


def _root_level(settings: Settings) -> RootLevel:
    numbers = logging.getLevelNamesMapping()
    recorder_level = numbers[settings.logs.recorder_level] if settings.logs.recorder_lines else None
    return RootLevel(numbers[settings.logs.level], recorder_level)


def _server_spans(
    settings: Settings,
    provider: TracerProvider | None,
    exporter: SpanExporter | None,
    redaction: RedactionPolicy,
    metrics: Metrics,
    faults: InternalErrors,
) -> ServerSpans:
    try:
        from divan_obs_asgi.tracing.export.queue import DROP_REASONS, DropReason
        from divan_obs_asgi.tracing.provider import application_provider, build_server_spans
        from divan_obs_asgi.tracing.spans.tracer import TracerServerSpans
    except ImportError:
        raise ImproperlyConfigured(
            "OBS_TRACING_ENABLED is true and OpenTelemetry is not installed: "
            "pip install 'divan-obs-asgi[tracing]', or set OBS_TRACING_ENABLED=false."
        ) from None
    if provider is None and exporter is None:
        provider = application_provider()
    if provider is not None:
        return TracerServerSpans(settings, provider)

    def lost(reason: DropReason, count: int) -> None:
        metrics.trace_spans_dropped.labels(reason).inc(count)

    def start_at_zero() -> None:
        metrics.start_at_zero(metrics.trace_spans_dropped, reason=DROP_REASONS)

    metrics.registry.later(start_at_zero)
    return build_server_spans(
        settings,
        exporter,
        redaction,
        dropped=lost,
        failed=lambda error: faults.report("tracing", error),
    )


def _announce(bundle: Observability) -> None:
    """Register a new bundle, and pass it to the waiting callables."""
    # By id: bundles compare by their parts.
    _bundles[id(bundle)] = bundle
    for call in tuple(_waiting):
        call(bundle)


@contextmanager
def each_bundle(call: Callable[[Observability], object]) -> Iterator[None]:
    """Call `call` with each bundle of the process, and with each that is made inside of the block."""
    for bundle in list(_bundles.values()):
        call(bundle)
    _waiting.append(call)
    try:
        yield
    finally:
        _waiting.remove(call)


_bundles: weakref.WeakValueDictionary[int, Observability] = weakref.WeakValueDictionary()
_waiting: list[Callable[[Observability], object]] = []


__all__ = ["Observability", "each_bundle", "logger"]
