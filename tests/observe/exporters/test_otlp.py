"""Spans to a collector: by the SDK, in memory and over real HTTP, from a whole platform."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.observe.conftest import ASKED, OpenWorld, Run, new_key
from tests.observe.test_spans import PARENT, a_leg, a_usage

from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.providers.traced import TracedProvider
from inferworks.config import Observe
from inferworks.folder import DataFolder
from inferworks.http.client import HttpClient
from inferworks.meter.usage import Outcome
from inferworks.observe.exporters.otlp import SdkExporter
from inferworks.observe.exporters.stub import StubExporter
from inferworks.observe.spans import parse_traceparent, spans_of
from inferworks.observe.traces import Traces
from inferworks.testing.in_process_gateway import open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, open_upstream

UNSAMPLED = PARENT[:-2] + b"00"


def exported(*parents: bytes | None) -> tuple[ReadableSpan, ...]:
    """Spans that the SDK exports of a call with two attempts under each of `parents`."""
    memory = InMemorySpanExporter()
    exporter = SdkExporter(memory, {})
    for parent in parents:
        usage = a_usage(a_leg(Outcome.FAILED, 503), a_leg())
        exporter.export(spans_of(usage, parse_traceparent(parent)))
    exporter.close()
    return memory.get_finished_spans()


def test_the_sdk_exports_what_we_made() -> None:
    """Ids, times, kinds, errors and attributes arrive as they were."""
    call, failed, answered = exported(PARENT)
    assert call.context is not None
    assert call.parent is not None
    assert failed.parent is not None
    assert (call.kind, failed.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert f"{call.context.trace_id:032x}" == PARENT[3:35].decode()
    assert f"{call.parent.span_id:016x}" == PARENT[36:52].decode()
    assert (call.parent.is_remote, failed.parent.is_remote) == (True, False)
    assert failed.parent.span_id == call.context.span_id
    assert (failed.status.status_code, answered.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "503"
    assert call.resource.attributes["service.name"] == "inferworks"


def test_a_trace_is_exported_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that does not sample its trace has none of ours either; the sampler decides for the rest."""
    assert exported(UNSAMPLED) == ()
    assert len(exported(UNSAMPLED, PARENT, None)) == 6
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    assert len(exported(PARENT, None)) == 3


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of a collector, and what it received: paths and bodies."""
    received: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()


def received_spans(received: list[tuple[str, bytes]]) -> list[Any]:
    """The spans in what a collector received."""
    requests = [ExportTraceServiceRequest.FromString(body) for _, body in received]
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@pytest.mark.slow
def test_a_platform_sends_its_spans(open_world: OpenWorld, run: Run, tmp_path: Path) -> None:
    """Each call of a whole platform is at the collector when it has stopped, under its caller's span."""
    caller = new_key(DataFolder(tmp_path / "data"))

    async def main(url: str) -> None:
        async with open_world(observe=Observe(traces=True, traces_url=url)) as world:
            headers = {"traceparent": PARENT.decode()}
            assert (await world.ask(caller, body=ASKED, headers=headers)).status == 200
            assert (await world.ask(caller, body={**ASKED, "model": "nobody's"})).status == 404
            (received,) = world.upstream.received
            assert b"traceparent" not in received.headers, "it is none of a stranger's business"

    with collector() as (url, received):
        run(main(url))
        assert {path for path, _ in received} == {"/v1/traces"}
        spans = received_spans(received)
    assert sorted(span.name for span in spans) == [
        "chat gpt-5-mini",
        "chat gpt-5-mini",
        "chat nobody's",
    ]
    traced = [span for span in spans if span.trace_id.hex().encode() == PARENT[3:35]]
    assert len(traced) == 2
    assert b"hello" not in b"".join(body for _, body in received)


@pytest.mark.slow
def test_a_collector_that_is_gone_holds_nobody_up(
    open_world: OpenWorld, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls are answered and the platform stops, though nobody takes the spans."""
    caller = new_key(DataFolder(tmp_path / "data"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")

    async def main() -> None:
        observe = Observe(traces=True, traces_url="http://127.0.0.1:9")
        async with open_world(observe=observe) as world:
            assert (await world.ask(caller, body=ASKED)).status == 200

    run(main())


def test_our_own_replicas_are_told_the_span(run: Run) -> None:
    """A provider that passes traces on names the call's span, in the caller's trace."""

    async def main() -> None:
        exporter = StubExporter()
        traces = Traces(exporter)
        async with open_upstream(Answer()) as upstream:
            with closing(HttpClient()) as client:
                own = openai_provider(client, NoCredential(), name="own")
                traced = TracedProvider(own, traces.traceparent)
                origin = upstream.origin
                async with open_gateway_over(traced, origin=origin, traces=traces) as gateway:
                    body = {"model": A_MODEL, "messages": [{"role": "user", "content": "hello"}]}
                    headers = {"traceparent": PARENT.decode()}
                    assert (await gateway.chat(body, headers=headers)).status == 200
            told = parse_traceparent(upstream.received[0].headers[b"traceparent"])
        call, _ = exporter.spans
        assert told is not None
        assert (told.trace_id, told.span_id) == (call.trace_id, call.span_id)
        assert f"{call.trace_id:032x}" == PARENT[3:35].decode()

    run(main())
