"""Spans to a collector, by OpenTelemetry's own SDK: batches, in a thread of its own, over OTLP/HTTP.

What the SDK's environment variables say holds: `OTEL_EXPORTER_OTLP_ENDPOINT` and `_HEADERS`,
`OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`. The SDK samples and
sends; the spans are ours (`observe/spans.py`), for its own are opened and closed along the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.status import Status, StatusCode

from inferworks import __version__
from inferworks.observe.spans import Kind, Parent, Span

_KINDS: Final = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
_SCOPE: Final = InstrumentationScope("inferworks", __version__)
_TRACES_PATH: Final = "/v1/traces"


class SdkExporter:
    """Hands spans to an exporter of the SDK, in batches."""

    def __init__(self, exporter: SpanExporter, environment: Mapping[str, str]) -> None:
        """The service is called `inferworks` unless `environment` names it."""
        named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        self._resource = Resource.create({} if named else {SERVICE_NAME: "inferworks"})
        self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
        self._processor = BatchSpanProcessor(exporter)

    def export(self, spans: Sequence[Span]) -> None:
        """Queue the spans of a call, all or none, as its caller's trace and the SDK's sampler say."""
        call = spans[0]
        context = None  # that of the SDK in which the call begins
        if call.parent is not None:
            above = NonRecordingSpan(_span_context(call.parent, remote=True))
            context = set_span_in_context(above, Context())
        result = self._sampler.should_sample(context, call.trace_id, call.name, SpanKind.SERVER)
        if result.decision is Decision.RECORD_AND_SAMPLE:
            for span in spans:
                own = Parent(span.trace_id, span.span_id, sampled=True)
                self._processor.on_end(
                    ReadableSpan(
                        span.name,
                        _span_context(own, remote=False),
                        _span_context(span.parent, remote=span.kind is Kind.SERVER)
                        if span.parent
                        else None,
                        self._resource,
                        {**span.attributes, "error.type": span.error}
                        if span.error
                        else dict(span.attributes),
                        kind=_KINDS[span.kind],
                        status=Status(StatusCode.ERROR) if span.error else Status(StatusCode.UNSET),
                        start_time=span.start_ns,
                        end_time=span.end_ns,
                        instrumentation_scope=_SCOPE,
                    )
                )

    def close(self) -> None:
        """Send what is queued, and stop the thread."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def otlp_exporter(url: str, environment: Mapping[str, str]) -> SdkExporter:
    """Sends to the collector at `url`; where that is empty, to where the SDK's variables say."""
    endpoint = url.rstrip("/") + _TRACES_PATH if url else None
    return SdkExporter(OTLPSpanExporter(endpoint=endpoint), environment)


def _span_context(of: Parent, *, remote: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if of.sampled else TraceFlags.DEFAULT)
    return SpanContext(of.trace_id, of.span_id, remote, flags)
