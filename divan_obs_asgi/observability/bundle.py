"""The frozen bundle that is passed to every middleware, probe and server."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from divan_obs_asgi.connection import request_ids as ids
from divan_obs_asgi.connection.disconnects import Disconnects
from divan_obs_asgi.connection.operations import Operations
from divan_obs_asgi.connection.request_ids import GENERATORS, NewId, uuid4
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.jobs import F, Jobs
from divan_obs_asgi.lifecycle.background import Background, Stop
from divan_obs_asgi.lifecycle.drain import Drain
from divan_obs_asgi.logs import ByteStream, Lines, Logs, Sink
from divan_obs_asgi.logs.loguru_bridge import warn_of_loguru
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.traffic import count_operation
from divan_obs_asgi.observability.endpoint_registry import EndpointRegistry, H, declared
from divan_obs_asgi.observability.observers import Observers
from divan_obs_asgi.observability.ops_endpoints import Method, ResponseDescription, Schema
from divan_obs_asgi.observability.parts import (
    build_background,
    build_drain,
    build_exports,
    build_log,
    build_metrics,
    build_spans,
    warn_of_missing_endpoint,
    warn_of_misspelt_flags,
    warn_of_variables_without_effect,
)
from divan_obs_asgi.observability.stacks import BuiltStacks
from divan_obs_asgi.otlp.exports import Exports
from divan_obs_asgi.probes import canary_sinks as canaries
from divan_obs_asgi.probes.base import READY, STARTUP
from divan_obs_asgi.probes.canary import CanaryProbe
from divan_obs_asgi.probes.config import ConfigProbe
from divan_obs_asgi.probes.engine.registry import ProbeRegistry
from divan_obs_asgi.probes.heartbeat import HeartbeatProbe
from divan_obs_asgi.probes.lifespan import LifespanProbe
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.runtime.pools import PoolRegistry
from divan_obs_asgi.runtime.stalls import RecentStalls
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.spans.internal import SpanFactory, tracer_of
from divan_obs_asgi.types import Authorize

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import TracerProvider

    from divan_obs_asgi.tracing.spans.server import ServerSpans


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
        pools: exposes metrics of connection pools: `pools.register("main", engine)`.
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
    pools: PoolRegistry
    authorize: Authorize | None = None
    new_request_id: NewId = uuid4
    operations: Operations = field(default_factory=Operations)
    built_stacks: BuiltStacks = field(default_factory=BuiltStacks)
    endpoints: EndpointRegistry = field(default_factory=EndpointRegistry, repr=False)
    disconnects: Disconnects = field(default_factory=Disconnects, repr=False)
    observers: Observers = field(default_factory=Observers, repr=False)
    stalls: RecentStalls = field(default_factory=RecentStalls, repr=False)
    exports: Exports = field(default_factory=Exports, repr=False)
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
        metrics = build_metrics(settings, policy)
        faults = InternalErrors(count=lambda component: metrics.errors.labels(component).inc())
        metrics.registry.failed = lambda error: faults.report("metrics", error)
        lines = Lines(
            settings.service.name, settings.service.env, settings.service.commit, metrics.counting(policy, "log")
        )
        log = build_log(settings, lines, metrics, faults, log_stream)
        spans = build_spans(settings, tracer_provider, span_exporter, metrics, policy, faults, log.sink, log_stream)
        pools = PoolRegistry(metrics, faults, observing=settings.enabled and settings.metrics.enabled)
        probes = ProbeRegistry(
            metrics,
            metrics.counting(policy, "health"),
            faults,
            interval_s=settings.health.interval_s,
            fail_after=settings.health.fail_after,
            recover_after=settings.health.recover_after,
            is_draining=lambda: drain.active,
            registered=pools.register_probe,
        )
        drain = build_drain(settings, metrics, probes, faults)
        work = SpanFactory(
            tracer_of(spans.provider if spans is not None else None),
            metrics.counting(policy, "span"),
            spans.start_internal if spans is not None else None,
        )
        redaction = metrics.counting(policy, "application")
        stalls = RecentStalls()
        bundle = cls(
            settings,
            redaction,
            metrics,
            log,
            spans,
            probes,
            HeartbeatProbe(),
            faults,
            work,
            build_background(settings, metrics, faults, stalls, pools),
            drain,
            Jobs(metrics, work, metrics.counting(policy, "log"), faults, observing=settings.enabled),
            pools,
            authorize,
            new_request_id=GENERATORS[settings.requests.id_format]
            if new_request_id is None
            else ids.checked(new_request_id, faults, redaction.redact_text),
            operations=Operations(partial(count_operation, metrics) if settings.metrics.enabled else None),
            stalls=stalls,
            disconnects=Disconnects(settings.requests.cancel_on_disconnect),
            exports=build_exports(settings, lines, log.sink, metrics, policy, faults),
        )
        bundle._register_probes(policy, lines)
        bundle._schedule(has_own_exporter=tracer_provider is None)
        weakref.finalize(bundle, _leave, weakref.ref(log.sink)).atexit = False
        return bundle

    def _register_probes(self, policy: RedactionPolicy, lines: Lines) -> None:
        """Register the probes that every service has: event loop, configuration, metrics directory, redaction."""
        self.probes.register(self.heartbeat)
        self.probes.register(ConfigProbe(self.settings))
        if self.metrics.workers is not None:
            # Not critical: the service works without the metrics of its other workers.
            own = self.probes.probe("metrics_directory", critical=False, interval=0, fail_after=1)
            own(self.metrics.workers.check)
        sinks = {
            "log": canaries.logging_sink(self.log, lines),
            "metrics": canaries.metrics_sink(policy),
            "health": canaries.health_sink(policy),
        }
        if self.spans is not None:
            sinks["span"] = canaries.span_sink(policy)
        log = self.log
        self.probes.register(
            CanaryProbe(sinks, canaries.known_results(policy), lambda name: name == "log" and log.is_installed)
        )

    def _schedule(self, *, has_own_exporter: bool) -> None:
        """Add what runs beside the application, and what is checked when it has started."""
        background, settings = self.background, self.settings
        background.add("heartbeat", self.heartbeat.run, later=True)
        background.add("probes", self.probes.run, later=True)
        background.add("log_levels", self.log.levels.run_expiry, later=True)
        background.add("log_tending", self.log.maintain, later=True)
        background.add("drain", self.drain.run)
        for run in self.exports.runs:
            background.add("otlp", run, later=True)
        background.when_started("logs", self.log.check_handler)
        if settings.enabled and settings.logs.enabled:
            background.when_started("loguru", warn_of_loguru)
        if settings.enabled and settings.misspelt:
            background.when_started("settings", partial(warn_of_misspelt_flags, settings.misspelt))
        if settings.enabled:
            background.when_started("opentelemetry", partial(warn_of_variables_without_effect, settings))
        if self.spans is not None and has_own_exporter and not self.spans.exports and self._lacks_endpoint():
            # Logged when the application has started: `init` has installed the log handler by then.
            background.when_started("tracing", warn_of_missing_endpoint)

    def _lacks_endpoint(self) -> bool:
        """Return whether nobody has decided where spans go."""
        otel = self.settings.otel
        return not otel.disabled and otel.config_file is None and self.settings.otlp.traces_exporter is None

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
        await self._prepare_exports()
        async with self.background.running() as stop:
            yield stop

    async def _prepare_exports(self) -> None:
        calls = [] if self.spans is None else [self.spans.prepare]
        for prepare in (*calls, *self.exports.prepares):
            try:
                # In a thread: the event loop of another application may run already.
                await anyio.to_thread.run_sync(prepare, limiter=anyio.CapacityLimiter(1))
            except Exception as error:
                self.faults.report("tracing", error)

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
        self.exports.pause()
        self.log.sink.close()

    def flush(self) -> None:
        """Export what is queued and write the queued lines; each step blocks at most for the shutdown timeout."""
        if self.spans is not None:
            try:
                self.spans.flush(int(self.settings.tracing.shutdown_timeout_s * 1000))
            except Exception as error:
                self.faults.report("tracing", error)
        self.log.flush()
        self.exports.flush()


def _leave(sink: weakref.ref[Sink]) -> None:
    """End the sink's thread when the bundle is gone. The root logger may still have its pipeline."""
    left = sink()
    if left is not None:
        left.leave()


def _announce(bundle: Observability) -> None:
    """Register a new bundle, and pass it to the waiting callables."""
    # By id: bundles compare by their parts.
    _bundles[id(bundle)] = bundle
    for call in tuple(_waiting):
        call(bundle)


@contextmanager
def each_bundle(call: Callable[[Observability], object]) -> Iterator[None]:
    """Call `call` with each bundle of the process, and with each that is made inside of the block."""
    if len(_bundles) > _FEW:
        # Those of earlier tests, most likely, which nobody holds.
        gc.collect()
    for bundle in list(_bundles.values()):
        call(bundle)
    _waiting.append(call)
    try:
        yield
    finally:
        _waiting.remove(call)


_bundles: weakref.WeakValueDictionary[int, Observability] = weakref.WeakValueDictionary()
_waiting: list[Callable[[Observability], object]] = []
# A process with more bundles has made and dropped applications.
_FEW = 10


__all__ = ["Observability", "each_bundle", "logger"]
