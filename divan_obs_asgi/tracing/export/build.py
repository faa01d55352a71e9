"""Builds the export queues of spans from the flags. No thread starts and no connection opens before the first span."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter

from divan_obs_asgi.otlp.answers import DropReason
from divan_obs_asgi.otlp.build import build_queue, load_exporter, options_of
from divan_obs_asgi.otlp.queue import Limits
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.export.console import JsonLines, TraceTrees
from divan_obs_asgi.tracing.export.redaction import RedactingExporter, SpanRedactor
from divan_obs_asgi.tracing.export.span_queue import ExportQueue, SdkExporter

# A developer looks at the terminal while the request runs.
_CONSOLE_DELAY_S = 0.2


@dataclass(frozen=True, slots=True)
class Terminal:
    """
    Where `OTEL_TRACES_EXPORTER=console` writes.

    Attributes:
        write: queues a text of one or more lines, and never blocks.
        is_for_people: whether to write trees instead of JSON lines.
    """

    write: Callable[[bytes], object]
    is_for_people: bool = False
    colours: bool = False


def build_queues(
    settings: Settings,
    exporter: SpanExporter | None,
    policy: RedactionPolicy,
    redactor: SpanRedactor,
    dropped: Callable[[DropReason, int], None],
    failed: Callable[[Exception], None],
    terminal: Terminal | None,
) -> Iterator[ExportQueue]:
    """
    Yield a queue for each exporter; drops are counted by the first one, so each span counts once.

    Args:
        exporter: used instead of those that the flags name.

    Raises:
        ImproperlyConfigured: if a certificate cannot be read.
    """
    flags = settings.tracing
    limits = Limits.of(flags.queue_size, flags.batch_size, flags.delay_ms, flags.shutdown_timeout_s)
    if exporter is not None:
        sdk = SdkExporter(RedactingExporter(exporter, redactor))
        yield ExportQueue(lambda: sdk, dropped, failed, limits, owns_exporter=False)
        return
    signal = settings.otlp.traces
    if signal.endpoint is not None:
        options = options_of("traces", signal, flags.export_timeout_ms)

        def encoder() -> Callable[[Sequence[ReadableSpan]], bytes]:
            from divan_obs_asgi.tracing.export.encoder import SpanEncoder

            encoded = SpanEncoder().encoded
            return lambda spans: encoded([redactor.span(span) for span in spans])

        yield build_queue(ExportQueue, "traces", options, settings.otlp, encoder, limits, policy, dropped, failed)
    if "console" in signal.exporters and terminal is not None:
        counts = dropped if signal.endpoint is None else _not_counted
        yield ExportQueue(
            lambda: _console(terminal, redactor),
            counts,
            failed,
            replace(limits, delay_s=_CONSOLE_DELAY_S),
        )


def loader_of(settings: Settings) -> Callable[[], object] | None:
    """
    Return what imports the exporter when the application starts; the first export would do it, while requests wait.

    Raises:
        ModuleNotFoundError: if something is missing, which has to be reported now.
    """
    signal = settings.otlp.traces
    if signal.endpoint is None:
        return None
    load = load_exporter(signal)

    def load_all() -> None:
        import divan_obs_asgi.tracing.export.encoder  # noqa: F401

        load()

    return load_all


def _console(terminal: Terminal, redactor: SpanRedactor) -> JsonLines | TraceTrees:
    if terminal.is_for_people:
        return TraceTrees(terminal.write, redactor.span, colours=terminal.colours)
    return JsonLines(terminal.write, redactor.span)


def _not_counted(reason: DropReason, count: int) -> None:
    """Do nothing: the queue of the collector counts."""


__all__ = ["Terminal", "build_queues", "loader_of"]
