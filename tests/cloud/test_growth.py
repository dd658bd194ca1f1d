"""Every upstream's answer and every translation, with hostile bytes: work grows with their number alone."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import partial
from operator import attrgetter

import pytest
from msgspec.structs import replace
from tests.support.growth import TEXTS, Filling, check_growth, objects

import inferworks.cloud.usage_parsers
from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.providers.passthrough import OperationSpec
from inferworks.cloud.providers.stability import STABILITY
from inferworks.cloud.routing.retry_after import retry_after_ns
from inferworks.cloud.routing.routing_state import CallFacts
from inferworks.cloud.routing.token_estimate import prompt_tokens
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.eventstream import MessageSplitter, written
from inferworks.http.sse import EventSplitter, event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS
from inferworks.testing.providers import make_call, make_offer
from inferworks.wiring.clouds import amazon_operations, vertex_operations

FIELDS = [
    "usage", "choices", "error", "data", "output", "delta", "message", "content", "text", "type",
    "response", "metadata", "content_block", "tool_usage", "results", "meta", "input_tokens", "image",
    "bytes", "contentBlockDelta", "stopReason",
]  # fmt: skip
"""Fields of an answer that some reader or translation looks at."""
GOOD = {
    "type": b'"message"', "role": b'"assistant"', "id": b'"x"', "model": b'"m"', "object": b'"response"',
    "choices": b'[{"index":0,"message":{"role":"assistant","content":"a"}}]',
    "content": b'[{"type":"text","text":"a"}]', "usage": b'{"prompt_tokens":1,"completion_tokens":1}',
}  # fmt: skip
REQUESTS = {
    Operation.CHAT: {"messages": b'[{"role":"user","content":"a"}]', "tools": b"[]", "stop": b'"a"'},
    Operation.MESSAGES: {
        "messages": b'[{"role":"user","content":"a"}]', "max_tokens": b"1", "system": b'"a"',
        "tools": b"[]",
    },
    Operation.RESPONSES: {"input": b'"a"', "instructions": b'"a"', "tools": b"[]"},
    Operation.COMPLETIONS: {"prompt": b'"a"', "suffix": b"null"},
    Operation.IMAGES: {"prompt": b'"a"', "size": b'"1024x1024"'},
}  # fmt: skip
"""A good request of each operation that is translated, but for its model."""


def reader_classes() -> list[type]:
    """Every class of the readers' room that reads answers."""
    found = []
    for module in pkgutil.iter_modules(inferworks.cloud.usage_parsers.__path__):
        of = importlib.import_module(f"inferworks.cloud.usage_parsers.{module.name}")
        for _, kind in inspect.getmembers(of, inspect.isclass):
            own = kind.__module__ == of.__name__ and not getattr(kind, "_is_protocol", False)
            if (
                own
                and hasattr(kind, "whole")
                and next(iter(inspect.signature(kind).parameters)).endswith("call")
            ):
                found.append(kind)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", reader_classes(), ids=attrgetter("__name__"))
def test_an_answer(kind: type) -> None:
    """Whole or as an event, whatever it is full of."""
    assert len(reader_classes()) > 10
    call = replace(make_call(), body=b'{"model":"m","input":"a","n":1}')
    for what, body in objects(FIELDS, GOOD):
        check_growth(body, lambda data: kind(call).whole(data), f"{what}, whole")
        check_growth(
            partial(_event, body), lambda event: kind(call).event(event), f"{what}, as an event"
        )


def _event(body: Callable[[int], bytes], size: int) -> bytes:
    return b"data: " + body(size).replace(b"\n", b" ") + b"\n\n"


@pytest.mark.slow
@pytest.mark.parametrize("translation", TRANSLATIONS, ids=lambda t: type(t).__name__)
def test_a_translation(translation) -> None:
    """Of a request, of an answer and of an event."""
    base = {"model": b'"m"', **REQUESTS[translation.source]}
    call = replace(make_call(), operation=translation.source)
    good = b"{" + b",".join(b'"%b":%b' % (n.encode(), v) for n, v in base.items()) + b"}"
    call = replace(call, body=good)
    assert translation.ask(call).body

    def ask(body: bytes) -> object:
        return translation.ask(replace(call, body=body))

    def answer(data: bytes) -> object:
        return translation.refusal(400, data), translation.answer(
            call, data, ReportedUsage(NO_TOKENS)
        )

    for what, body in objects([*base, "metadata", "stream_options", "tool_choice"], base):
        check_growth(body, ask, f"{what}, asked")
    for what, body in objects(FIELDS, GOOD):
        check_growth(body, answer, f"{what}, answered")
        check_growth(
            partial(_event, body),
            lambda event: translation.stream(call).event(event, None),
            f"{what}, streamed",
        )


OPERATIONS = {
    "openai": openai_operations(running_usage=True),
    "anthropic": ANTHROPIC.operations,
    "amazon": amazon_operations(),
    "google": vertex_operations(openai_operations()),
    "stability": STABILITY.operations,
}


@pytest.mark.slow
@pytest.mark.parametrize("who", OPERATIONS)
def test_what_is_sent(who: str) -> None:
    """Time for the request to each upstream, and for its token estimate, grows with the body alone."""
    offer = replace(make_offer(), upstream_model="another")
    base = {"model": b'"m"', "messages": b'[{"role":"user","content":"a"}]', "input": b'"a"',
            "max_tokens": b"1", "stream_options": b'{"include_usage":true}'}  # fmt: skip
    for operation, spoken in OPERATIONS[who].items():
        call = replace(make_call(), operation=operation)
        work = partial(_sent, spoken, call, offer)
        for what, body in objects(["messages", "stream_options"], base):
            check_growth(body, work, f"{what}, for {operation}")


def _sent(spoken: OperationSpec, like: Call, offer: Offer, body: bytes) -> None:
    call = replace(like, body=body)
    prompt_tokens(call)
    CallFacts(call).output_tokens(1)
    CallFacts(call).prefix(100)
    spoken.reader(call)
    spoken.write(call, offer)


STREAMS = [
    *TEXTS,
    *[
        Filling(unit.decode(), lambda size, u=unit: u * (size // len(u) + 1))
        for unit in (
            b":\n\n",
            b"data:\n\n",
            b"\r\n\r\n",
            b"data: {}\r\n\r\n",
            b"\n\r",
            b"a\n",
            b"data: a\n",
        )
    ],
]
MESSAGES = {
    "empty": lambda size: written({}, b"") * (size // 16),
    "named": lambda size: written({":event-type": "chunk"}, b"{}") * (size // 40),
    "headers": lambda size: written({f"h{n}": "" for n in range(size // 12)}, b"{}"),
    "long": lambda size: written({":event-type": "chunk"}, b" " * size),
}


@pytest.mark.parametrize("piece_bytes", [20, 1 << 20])
def test_a_stream_of_events(piece_bytes: int) -> None:
    """Time to split events grows with the stream alone, however that is filled and cut."""
    for filling in STREAMS:
        check_growth(
            filling.of, lambda stream: _feed(EventSplitter(), stream, piece_bytes), filling.name
        )


def test_the_data_of_an_event() -> None:
    """Time to read an event's data grows with the event alone, however many lines it has."""
    for filling in STREAMS:
        check_growth(filling.of, lambda event: event_data(b"x:\n" + event), filling.name)


@pytest.mark.parametrize("piece_bytes", [20, 1 << 20])
@pytest.mark.parametrize("what", MESSAGES)
def test_a_stream_of_messages(what: str, piece_bytes: int) -> None:
    """Amazon's, however small or large they are, and however the stream is cut."""
    check_growth(MESSAGES[what], lambda stream: _feed(MessageSplitter(), stream, piece_bytes), what)


def _feed(splitter: EventSplitter | MessageSplitter, stream: bytes, piece_bytes: int) -> None:
    for at in range(0, len(stream), piece_bytes):
        splitter.feed(stream[at : at + piece_bytes])


@pytest.mark.parametrize("name", [b"retry-after", b"retry-after-ms"])
def test_when_to_ask_again(name: bytes) -> None:
    """The headers of a refusal."""
    for filling in TEXTS:
        check_growth(filling.of, lambda value: retry_after_ns({name: value}), filling.name)
