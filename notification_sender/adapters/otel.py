"""Spans exported by OTLP, by the SDK of OpenTelemetry. The standard variables ``OTEL_…`` configure it.

The SDK gets spans that have ended already, at 7 µs each. A span that the SDK itself starts and ends takes 45 µs, and
decides a second time whether its trace is sampled.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from threading import Thread

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from opentelemetry.trace import SpanKind as Kind
from opentelemetry.trace.status import Status, StatusCode

from notification_sender import __version__
from notification_sender.model.errors import ConfigurationFault
from notification_sender.model.trace import TraceContext
from notification_sender.ports.spans import Span, SpanKind
from notification_sender.telemetry.span_names import SCHEMA

CLOSE_SECONDS = 2.0
"""Time for the last spans when the process ends."""

SERVICE = "notification-sender"
"""Where ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` name none."""

PROTOCOL = "http/protobuf"
"""The only one here: another needs gRPC, which is large."""

_KINDS = {SpanKind.CLIENT: Kind.CLIENT, SpanKind.CONSUMER: Kind.CONSUMER, SpanKind.PRODUCER: Kind.PRODUCER}
_SCOPE = InstrumentationScope("notification_sender", __version__, SCHEMA)
_log = structlog.get_logger()


class OtelSpans:
    """Gives spans to a thread of the SDK, whose queue is bounded: when the receiver is away, spans are dropped."""

    def __init__(self, exporter: SpanExporter) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        self._sampler = provider.sampler
        self._resource = _resource(provider.resource)
        self._exporter = exporter
        self._processor = BatchSpanProcessor(ReportingExporter(exporter))

    @classmethod
    def from_environment(cls) -> "OtelSpans":
        """Export to where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says.

        Raises:
            ConfigurationFault: another protocol is asked for.
        """
        for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if os.environ.get(variable, PROTOCOL) != PROTOCOL:
                raise ConfigurationFault(f"{variable}: only {PROTOCOL} is supported: unset it, and name port 4318")
        return cls(OTLPSpanExporter())

    def is_sampled(self, trace_id: str, parent: TraceContext | None, name: str) -> bool:
        """Whether the sampler (``OTEL_TRACES_SAMPLER``) takes it."""
        around = None if parent is None else set_span_in_context(NonRecordingSpan(_context(parent)), Context())
        result = self._sampler.should_sample(around, int(trace_id, 16), name)
        return result.decision is Decision.RECORD_AND_SAMPLE

    def export(self, span: Span) -> None:
        self._processor.on_end(_readable(span, self._resource))

    async def close(self) -> None:
        """Export what is left, for two seconds at most."""
        flush = Thread(target=self._processor.shutdown, daemon=True)
        flush.start()
        await asyncio.to_thread(flush.join, CLOSE_SECONDS)
        if flush.is_alive():
            _log.warning("traces.lost", seconds=CLOSE_SECONDS)
            self._exporter.shutdown()  # ends its wait for the next try


class ReportingExporter(SpanExporter):
    """Says once that the receiver takes no spans, and once that it takes them again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0
        self._last = _LastMessage()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                _log.warning("traces.exported_again", lost=self._lost)
            self._lost = 0
            return result
        if not self._lost:
            _log.warning("traces.not_exported", error=self._last.text)
        self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _LastMessage(logging.Handler):
    """Keeps what the SDK logs last. It logs a line for each try, and would fill the log while the receiver is away."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        for name in ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal"):
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _resource(known: Resource) -> Resource:
    """With our name, unless the environment has one, and with what tells this process from others."""
    own = {"service.version": __version__, "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
    if str(known.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        own[SERVICE_NAME] = SERVICE
        return known.merge(Resource(own, SCHEMA))
    return Resource(own, SCHEMA).merge(known)


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=_context(span.context),
        parent=None if span.parent is None else _context(span.parent),
        resource=resource,
        attributes=span.attributes,
        events=[Event(name, timestamp=_nanoseconds(at)) for name, at in span.events],
        links=[Link(_context(it)) for it in span.links],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
        start_time=_nanoseconds(span.start),
        end_time=_nanoseconds(max(span.end, span.start)),
        instrumentation_scope=_SCOPE,
    )


def _context(it: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if it.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(it.trace_id, 16), int(it.span_id, 16), is_remote=False, trace_flags=flags)


def _nanoseconds(moment: float) -> int:
    return round(moment * 1_000_000) * 1000  # a float has no more digits
