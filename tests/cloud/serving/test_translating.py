"""A provider that is sent more than it speaks, over translations that mark what they touch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from inferworks.catalog.facts import ANYTHING, UNKNOWN_MODEL
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.serving.translating import TranslatingProvider, put_over, ways
from inferworks.errors import CallError, UntranslatableError, UpstreamError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call, make_offer

CHAT, MESSAGES, CONVERSE = Operation.CHAT, Operation.MESSAGES, Operation.CONVERSE
PROMPT_TOKENS = 3
"""`Say hello.` has 10 bytes: 2.5 tokens of 4, rounded up."""
REPORTED = ReportedUsage(Tokens(7, 2))


class Marking:
    """A translation that writes its source around everything, and remembers what it was asked."""

    def __init__(
        self,
        source: Operation,
        target: Operation,
        *,
        names: Mapping[str, str] | None = None,
        leaves_out: Sequence[str] = (),
        fails: Exception | None = None,
        refuses: CallError | None = None,
    ) -> None:
        self.source = source
        self.target = target
        self.sent_names = names or {}
        self.asked: list[Call] = []
        self.events: list[bytes] = []
        self.reported: list[ReportedUsage | None] = []
        self.threads: list[str] = []
        self._leaves_out = tuple(leaves_out)
        self._fails = fails
        self._refuses = refuses

    def ask(self, call: Call) -> Call:
        """The call as the target's, or a refusal."""
        self.threads.append(threading.current_thread().name)
        self.asked.append(call)
        if self._refuses:
            raise self._refuses
        left_out = (*call.left_out, *self._leaves_out)
        return msgspec.structs.replace(call, operation=self.target, left_out=left_out)

    def answer(self, call: Call, data: bytes, reported: ReportedUsage) -> bytes:
        """The answer with the source's mark."""
        assert call.operation is self.source
        self.reported.append(reported)
        if self._fails:
            raise self._fails
        return b"%b(%b)" % (self.source.encode(), data)

    def refusal(self, status: int, data: bytes) -> bytes:
        """The refusal with the source's mark."""
        return b"%b %d(%b)" % (self.source.encode(), status, data)

    def stream(self, call: Call) -> Marking:
        """One stream, which is remembered here too."""
        assert call.operation is self.source
        return self

    def event(self, event: bytes, reported: ReportedUsage | None) -> bytes:
        """The event with the source's mark, on a line of its own."""
        self.events.append(event)
        self.reported.append(reported)
        if self._fails:
            raise self._fails
        return b"%b: %b|" % (self.source.encode(), event.strip())


class Fixed:
    """A provider that gives the same answer to every call, and remembers the calls."""

    name = "fixed"

    def __init__(
        self, chunks: Sequence[Chunk], status: int = 200, speaks: Operation = CHAT
    ) -> None:
        self.operations = frozenset({speaks})
        self.calls: list[Call] = []
        self._chunks = chunks
        self._status = status

    @asynccontextmanager
    async def send(self, _: Offer, call: Call) -> AsyncIterator[Reply]:
        """Answer with the chunks."""
        self.calls.append(call)
        first, *others = self._chunks

        async def rest() -> AsyncIterator[Chunk]:
            for chunk in others:
                yield chunk

        kind = b"application/json" if first.last else b"text/event-stream"
        yield Reply(self._status, kind, first, rest(), headers=((b"seed", b"1"),))


def call_of(operation: Operation, *, stream: bool = False) -> Call:
    """A call of `operation` that says hello."""
    return msgspec.structs.replace(make_call(stream=stream), operation=operation)


def ask(
    provider: TranslatingProvider, call: Call, offer: Offer | None = None
) -> tuple[Reply, list[Chunk]]:
    """The reply to `call` and all its chunks."""

    async def main() -> tuple[Reply, list[Chunk]]:
        async with provider.send(offer or make_offer(), call) as reply:
            return reply, [reply.first, *[chunk async for chunk in reply.rest]]

    return asyncio.run(main())


def test_ways_are_the_shortest_and_the_first() -> None:
    """One translation is taken before two, and of equals the one that is named first."""
    long_1, long_2 = Marking(MESSAGES, CHAT), Marking(CHAT, CONVERSE)
    direct, later = Marking(MESSAGES, CONVERSE), Marking(MESSAGES, CONVERSE)
    assert ways({CONVERSE}, [long_1, long_2]) == {MESSAGES: (long_1, long_2), CHAT: (long_2,)}
    found = ways({CONVERSE}, [long_1, long_2, direct, later])
    assert found == {MESSAGES: (direct,), CHAT: (long_2,)}
    assert ways({CONVERSE}, [long_2, long_1]) == ways({CONVERSE}, [long_1, long_2])


def test_no_way_is_longer_than_two_or_replaces_what_is_spoken() -> None:
    """Three translations are no way, and what the provider speaks itself needs none."""
    chain = [
        Marking(Operation.RESPONSES, MESSAGES),
        Marking(MESSAGES, CHAT),
        Marking(CHAT, CONVERSE),
    ]
    assert set(ways({CONVERSE}, chain)) == {MESSAGES, CHAT}
    assert ways({CHAT, MESSAGES}, [Marking(MESSAGES, CHAT)]) == {}
    assert ways(set(), chain) == {}
    assert ways({CHAT}, []) == {}


def test_what_is_spoken_passes_untouched() -> None:
    """A call in the provider's own words comes to it as the very same object, and so does the answer."""
    first = Chunk(b"{}", REPORTED, last=True)
    provider = Fixed([first])
    translation = Marking(MESSAGES, CHAT)
    translating = TranslatingProvider(provider, [translation])
    assert translating.name == "fixed"
    assert translating.operations == {CHAT, MESSAGES}
    call = call_of(CHAT)
    reply, _ = ask(translating, call)
    assert provider.calls[0] is call
    assert reply.first is first
    assert reply.headers == ((b"seed", b"1"),)
    assert translation.asked == []


def test_a_whole_answer_goes_back_the_way_it_came() -> None:
    """The last translation reads the answer first; what was used is told to each, and kept."""
    provider = Fixed([Chunk(b"{}", REPORTED, last=True)], speaks=CONVERSE)
    near, far = Marking(MESSAGES, CHAT), Marking(CHAT, CONVERSE)
    reply, chunks = ask(TranslatingProvider(provider, [near, far]), call_of(MESSAGES))
    assert provider.calls[0].operation is CONVERSE
    assert reply.first.data == b"messages(chat.completions({}))"
    assert (reply.first.reported, near.reported, far.reported) == (REPORTED, [REPORTED], [REPORTED])
    assert (reply.content_type, reply.headers) == (b"application/json", ())
    assert (reply.left_out, reply.lacks, len(chunks)) == ("", False, 1)


def test_only_the_last_translation_knows_the_model() -> None:
    """Each is asked with the offer's name of the model; those before the last may say anything."""
    facts = msgspec.structs.replace(UNKNOWN_MODEL, tools=False)
    offer = msgspec.structs.replace(
        make_offer(), facts=facts, lenient=True, upstream_model="their-name"
    )
    near, far = Marking(MESSAGES, CHAT), Marking(CHAT, CONVERSE)
    provider = Fixed([Chunk(b"{}", REPORTED, last=True)], speaks=CONVERSE)
    ask(TranslatingProvider(provider, [near, far]), call_of(MESSAGES), offer)
    assert near.asked[0].facts == ANYTHING
    assert far.asked[0].facts == facts
    for call in (near.asked[0], far.asked[0], provider.calls[0]):
        assert (call.lenient, call.asked_as) == (True, "their-name")
    ask(TranslatingProvider(provider, [near, far]), call_of(MESSAGES))
    assert near.asked[1].asked_as == make_offer().model, "without a name of its own"


def test_an_unreported_answer_is_estimated_for_its_caller() -> None:
    """Eight bytes of words are two tokens and an end; the caller's own request makes the input."""
    answer = b'{"choices":[{"message":{"content":"12345678"}}]}'
    translation = Marking(MESSAGES, CHAT)
    translating = TranslatingProvider(Fixed([Chunk(answer, None, last=True)]), [translation])
    reply, _ = ask(translating, call_of(MESSAGES))
    expected = ReportedUsage(Tokens(PROMPT_TOKENS, 3), is_estimate=True)
    assert (reply.first.reported, translation.reported) == (expected, [expected])


@pytest.mark.parametrize(
    ("status", "code", "lacks"),
    [(400, "unsupported_parameter", True), (400, "bad", False), (500, "unsupported_value", False)],
)
def test_a_refusal_goes_back_with_its_status(status: int, code: str, lacks: bool) -> None:
    """The upstream's own words tell if only this model lacks a thing."""
    body = msgspec.json.encode({"error": {"message": "no", "code": code}})
    provider = Fixed([Chunk(body, None, last=True)], status, CONVERSE)
    translations = [Marking(MESSAGES, CHAT), Marking(CHAT, CONVERSE)]
    reply, _ = ask(TranslatingProvider(provider, translations), call_of(MESSAGES))
    around = b"messages %d(chat.completions %d(%b))"
    assert reply.first.data == around % (status, status, body)
    assert (reply.status, reply.first.reported, reply.lacks) == (status, None, lacks)


def test_events_go_back_one_by_one() -> None:
    """Several that came together are translated each by itself, a half one at the end as well."""
    chunks = [
        Chunk(b"data: 1\n\n", ReportedUsage(Tokens(7, 1))),
        Chunk(b"data: 2\n\ndata: 3\r\n\r\n", REPORTED),
        Chunk(b"data: [DO", None, last=True),
    ]
    near, far = Marking(MESSAGES, CHAT), Marking(CHAT, CONVERSE)
    provider = Fixed(chunks, speaks=CONVERSE)
    reply, back = ask(TranslatingProvider(provider, [near, far]), call_of(MESSAGES, stream=True))
    assert far.events == [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\r\n\r\n", b"data: [DO"]
    assert back[0].data == b"messages: chat.completions: data: 1||"
    assert [chunk.last for chunk in back] == [False, False, True]
    assert [chunk.reported for chunk in back] == [ReportedUsage(Tokens(7, 1)), REPORTED, None]
    assert (reply.content_type, reply.headers) == (b"text/event-stream", ())


def test_a_silent_stream_is_estimated_as_it_passes() -> None:
    """Each event is a token and the last chunk none, until the upstream itself reports."""
    reported = ReportedUsage(Tokens(9, 0), is_input_only=True)
    chunks = [
        Chunk(b"data: 1\n\n"),
        Chunk(b"data: 2\n\ndata: 3\n\n"),
        Chunk(b"data: 4\n\n", reported),
        Chunk(b"data: [DONE]\n\n", None, last=True),
    ]
    translation = Marking(MESSAGES, CHAT)
    _, back = ask(TranslatingProvider(Fixed(chunks), [translation]), call_of(MESSAGES, stream=True))
    expected = [(PROMPT_TOKENS, 1), (PROMPT_TOKENS, 3), (9, 4), (9, 4)]
    assert [chunk.reported for chunk in back] == [
        ReportedUsage(Tokens(*tokens), is_estimate=True) for tokens in expected
    ]


@pytest.mark.parametrize("error", [UpstreamError("odd", sent=True), ValueError("odd")])
@pytest.mark.parametrize("stream", [False, True])
def test_an_untranslatable_answer_has_been_paid(
    error: Exception, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is ours and tells what was used; one that is no word about the answer is logged."""
    provider = Fixed([Chunk(b"data: 1\n\n", REPORTED, last=not stream)])
    translating = TranslatingProvider(provider, [Marking(MESSAGES, CHAT, fails=error)])
    with pytest.raises(UntranslatableError, match="cannot be translated: odd") as failed:
        ask(translating, call_of(MESSAGES, stream=stream))
    assert failed.value.reported == REPORTED
    assert failed.value.worked
    assert len(caplog.records) == isinstance(error, ValueError)


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_left_out_is_told_in_the_callers_names(stream: bool) -> None:
    """Omissions of both translations are told; an index within a renamed field is left away."""
    near = Marking(MESSAGES, CHAT, names={"stop": "stop_sequences"}, leaves_out=["metadata"])
    far = Marking(CHAT, CONVERSE, leaves_out=["stop[4]", "seed"])
    provider = Fixed([Chunk(b"data: 1\n\n", REPORTED, last=not stream)], speaks=CONVERSE)
    reply, _ = ask(TranslatingProvider(provider, [near, far]), call_of(MESSAGES, stream=stream))
    assert reply.left_out == "metadata, stop_sequences, seed"


def test_a_refusal_to_ask_names_the_callers_fields() -> None:
    """Status and code stay; nothing is sent."""
    refusal = CallError(400, "'stop' has more than 4, and 'seed' is odd", code="c", param="stop[0]")
    near = Marking(MESSAGES, CHAT, names={"stop": "stop_sequences"})
    far = Marking(CHAT, CONVERSE, refuses=refusal)
    provider = Fixed([Chunk(b"", last=True)], speaks=CONVERSE)
    with pytest.raises(CallError) as refused:
        ask(TranslatingProvider(provider, [near, far]), call_of(MESSAGES))
    error = refused.value
    assert error.message == "'stop_sequences' has more than 4, and 'seed' is odd"
    assert (error.status, error.code, error.param) == (400, "c", "stop_sequences")
    assert provider.calls == []


def test_a_refusal_of_the_first_translation_is_in_its_own_words() -> None:
    """Nothing came before, so nothing is renamed; no field stays none."""
    first = Marking(MESSAGES, CHAT, names={"stop": "x"}, refuses=CallError(400, "'stop' is odd"))
    with pytest.raises(CallError) as refused:
        put_over(first, call_of(MESSAGES), ())
    assert (refused.value.message, refused.value.param) == ("'stop' is odd", None)


@pytest.mark.parametrize(("n_bytes", "is_aside"), [(32 * 1024, False), (32 * 1024 + 1, True)])
def test_a_large_body_is_put_over_beside_the_loop(n_bytes: int, is_aside: bool) -> None:
    """More than 32 kB would hold up other calls."""
    translation = Marking(MESSAGES, CHAT)
    provider = Fixed([Chunk(b"{}", REPORTED, last=True)])
    call = msgspec.structs.replace(call_of(MESSAGES), body=bytes(n_bytes))
    ask(TranslatingProvider(provider, [translation]), call)
    assert translation.threads[0].startswith("large-body") == is_aside
