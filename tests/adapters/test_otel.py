"""Spans for OpenTelemetry's SDK, and what becomes of them while nobody takes them."""

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind as Kind
from structlog.testing import capture_logs

from notification_sender.adapters.otel import OtelSpans, ReportingExporter
from notification_sender.model.errors import ConfigurationFault
from notification_sender.model.trace import TraceContext
from notification_sender.ports.spans import Span, SpanKind
from notification_sender.telemetry.span_names import SCHEMA

CONTEXT, PARENT, OTHER = (TraceContext("ab" * 16, digits * 8) for digits in ("01", "02", "03"))
SPAN = Span(
    name="attempt webhook",
    kind=SpanKind.CONSUMER,
    context=CONTEXT,
    parent=PARENT,
    start=1_772_785_560.25,
    end=1_772_785_561.5,
    attributes={"notification_sender.attempt": 2},
    links=(OTHER,),
    events=(("admit", 1_772_785_560.5),),
    error="503",
)


async def test_a_span_is_exported_with_its_ids_times_and_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "sender-eu")
    exporter = InMemorySpanExporter()
    spans = OtelSpans(exporter)
    spans.export(SPAN)
    await spans.close()
    [made] = exporter.get_finished_spans()
    assert made.context is not None
    assert made.parent is not None
    assert (f"{made.context.trace_id:032x}", f"{made.context.span_id:016x}") == ("ab" * 16, "01" * 8)
    assert f"{made.parent.span_id:016x}" == "02" * 8
    assert [f"{it.context.span_id:016x}" for it in made.links] == ["03" * 8]
    assert (made.start_time, made.end_time) == (1_772_785_560_250_000_000, 1_772_785_561_500_000_000)
    assert [(it.name, it.timestamp) for it in made.events] == [("admit", 1_772_785_560_500_000_000)]
    assert (made.kind, made.status.is_ok, made.status.description) == (Kind.CONSUMER, False, "503")
    assert made.resource.attributes["service.name"] == "sender-eu"
    assert made.instrumentation_scope is not None
    assert made.instrumentation_scope.schema_url == SCHEMA


async def test_the_sampler_of_the_environment_decides_and_a_parent_decides_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    spans = OtelSpans(InMemorySpanExporter())
    assert not spans.is_sampled("ab" * 16, None, "process units")
    assert spans.is_sampled("ab" * 16, PARENT, "process units")
    assert not spans.is_sampled("ab" * 16, PARENT._replace(sampled=False), "process units")
    await spans.close()


def test_a_receiver_that_is_away_is_one_line_of_the_log_and_its_return_another() -> None:
    answers = [SpanExportResult.FAILURE, SpanExportResult.FAILURE, SpanExportResult.SUCCESS, SpanExportResult.SUCCESS]

    class Receiver(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - as the SDK has it
            return answers.pop(0)

    exporter = ReportingExporter(Receiver())
    with capture_logs() as lines:
        for _ in range(4):
            exporter.export([None, None])  # type: ignore[list-item]  # only their number counts
    assert [(it["event"], it.get("lost")) for it in lines] == [
        ("traces.not_exported", None),
        ("traces.exported_again", 4),
    ]


def test_a_protocol_that_is_not_supported_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigurationFault, match="OTEL_EXPORTER_OTLP_PROTOCOL"):
        OtelSpans.from_environment()
