"""Estimates of tokens where no usage is reported."""

from __future__ import annotations

import base64
import time
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from inferworks.cloud.call import Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.routing.token_estimate import StreamTokens, prompt_tokens, whole_usage
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Confidence, Tokens
from inferworks.testing.providers import make_call

JSON = b"application/json"
PHOTOGRAPH = base64.b64encode(bytes(range(256)) * 400).decode()


def test_four_bytes_of_text_are_a_token() -> None:
    """A prompt is guessed by its size."""
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "x" * 400}]})
    assert prompt_tokens(replace(make_call(), body=body)) == 100


def test_media_are_no_text() -> None:
    """A sound in a prompt is not charged by its bytes."""
    part = {"type": "input_audio", "input_audio": {"data": PHOTOGRAPH, "format": "wav"}}
    body = msgspec.json.encode({"messages": [{"role": "user", "content": [part]}]})
    assert len(body) > 100_000
    assert prompt_tokens(replace(make_call(), body=body)) < 60


IN_DATA = f"data:image/png;base64,{PHOTOGRAPH}"
ELSEWHERE = "https://example.com/cat.png"
A_TOOL = {"name": "draw", "parameters": {"type": "object", "properties": {"image": {}}}}


@pytest.mark.parametrize(
    ("operation", "parts"),
    [
        (
            Operation.CHAT,
            [{"type": "image_url", "image_url": {"url": at}} for at in (ELSEWHERE, IN_DATA)],
        ),
        (
            Operation.MESSAGES,
            [
                {"type": "image", "source": {"type": "url", "url": ELSEWHERE}},
                {"type": "image", "source": {"type": "base64", "data": PHOTOGRAPH}},
            ],
        ),
        (
            Operation.RESPONSES,
            [{"type": "input_image", "image_url": at} for at in (ELSEWHERE, IN_DATA)],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "parts",
)
def test_pictures_are_of_a_common_size(operation: Operation, parts: list[object]) -> None:
    """Each picture counts as 765 tokens, wherever it lies and however large the body is."""
    asked = [
        {"messages": [{"role": "user", "content": some}], "input": [], "tools": [A_TOOL]}
        for some in ([], parts[:1], [parts[0], *parts])
    ]
    none, one, three = [
        prompt_tokens(replace(make_call(), operation=operation, body=msgspec.json.encode(body)))
        for body in asked
    ]
    assert 765 <= one - none <= 765 + 20
    within = 765 if operation is Operation.MESSAGES else 60  # its tool has a property `image`
    assert 3 * 765 <= three - none <= 3 * 765 + within + 120


def test_a_form_is_no_text() -> None:
    """Nor are the parts of a form."""
    call = replace(make_call(), body=b"x" * 400, content_type=b"multipart/form-data; boundary=x")
    assert prompt_tokens(call) == 0


def test_what_is_told_is_not_guessed() -> None:
    """An answer that tells its usage is believed, also when it tells zeros."""
    reported = ReportedUsage(Tokens(0, 0))
    assert whole_usage(make_call(), Chunk(b"x" * 400, reported, last=True), JSON) == (
        reported,
        Confidence.REPORTED,
    )


WORDS = "The quick brown fox jumps over the lazy dog."
SURE = {"content": [{"token": word, "logprob": -0.1, "bytes": [84]} for word in WORDS.split()]}


@pytest.mark.parametrize(
    ("operation", "answer", "output"),
    [
        (Operation.CHAT, {"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}, 2),
        (Operation.CHAT, {"choices": [{"message": {"content": WORDS}, "logprobs": SURE}]}, 12),
        (
            Operation.CHAT,
            {"choices": [{"message": {"content": None, "reasoning_content": "Hmm.", "tool_calls": [
                {"id": "call_" + "x" * 40, "function": {"name": "clock", "arguments": "{}"}}]}}]},
            4,
        ),
        (Operation.COMPLETIONS, {"choices": [{"index": 0, "text": "Hi"}], "usage": None}, 2),
        (Operation.MESSAGES, {"type": "message", "content": [{"type": "text", "text": "Hi"}]}, 2),
        (
            Operation.MESSAGES,
            {"content": [{"type": "tool_use", "id": "x" * 40, "name": "add", "input": {"n": 12345}}]},
            3,
        ),
        (
            Operation.RESPONSES,
            {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]},
            2,
        ),
        (Operation.CONVERSE, {"output": {"message": {"content": [{"text": "Hi"}]}}}, 2),
        (Operation.CHAT, {"choices": [{"message": {"role": "assistant", "content": ""}}]}, 0),
        (Operation.EMBEDDINGS, {"data": [{"embedding": [0.5, 0.25]}], "model": "m"}, 0),
        (Operation.RERANK, {"results": [{"index": 0, "relevance_score": 0.5}]}, 0),
    ],
)  # fmt: skip
def test_a_silent_answer_is_guessed_by_its_words(
    operation: Operation, answer: dict[str, object], output: int
) -> None:
    """Written words count, in every dialect; neither the envelope nor log probabilities do."""
    call = replace(make_call(), operation=operation)
    reported, sure = whole_usage(call, Chunk(msgspec.json.encode(answer), last=True), JSON)
    assert (reported.tokens.output, sure) == (output, Confidence.ESTIMATED)
    assert reported.tokens.input == prompt_tokens(call)


def test_the_envelope_of_a_prompt_is_no_text() -> None:
    """Two letters are a token or two, however much JSON is around them; schemas of tools are read too."""
    settings = {"model": "a-model-of-some-name", "temperature": 0.25, "metadata": {"run": "x" * 40}}
    hello = {**settings, "messages": [{"role": "user", "content": "hi"}]}
    assert prompt_tokens(replace(make_call(), body=msgspec.json.encode(hello))) == 1
    tools = [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}]
    schema_bytes = len(msgspec.json.encode(tools))
    body = msgspec.json.encode({**hello, "tools": tools})
    assert prompt_tokens(replace(make_call(), body=body)) == -(-(2 + schema_bytes) // 4)


def test_a_sound_is_no_text() -> None:
    """An answer that is no JSON has no words."""
    reported, _ = whole_usage(make_call(), Chunk(b"x" * 400, last=True), b"audio/mpeg")
    assert reported.tokens.output == 0


def event_of(*choices: dict[str, Any]) -> bytes:
    """Return an event of a chat or a completion."""
    return b"data: %b\n\n" % msgspec.json.encode({"id": "chatcmpl-1", "choices": choices})


def test_events_are_tokens_unless_their_words_are_more() -> None:
    """An event is a token, a comment is none, and log probabilities are no words."""
    tokens, word = StreamTokens(), event_of({"delta": {"content": "a"}})
    assert tokens.see(word * 3 + b": wait\n\n") == 3
    assert tokens.see(b": wait\n\n") == 3
    sure = {"delta": {"content": "a"}, "logprobs": {"content": [SURE] * 30}}
    assert tokens.see(event_of(sure)) == 4
    assert tokens.see(event_of({"delta": {"content": "word " * 2000}})) == (4 + 10_000) // 4
    assert tokens.see(b"event: x\n" + word) == tokens.tokens
    assert tokens.see(b'data: {"choices": 1}\n\ndata: {half\n\n') == tokens.tokens


def test_a_long_token_among_short_ones_is_one() -> None:
    """Text that comes token by token counts by its events, as long as a token has four bytes on average."""
    tokens = StreamTokens()
    for text in (" the", " international", ".", "\n"):
        tokens.see(event_of({"delta": {"content": text}}))
    assert tokens.tokens == 5
    for _ in range(100):
        tokens.see(event_of({"delta": {"content": " it"}}))
    assert tokens.tokens == 104


FORTY = "0123456789" * 4


@pytest.mark.parametrize(
    "event",
    [
        event_of({"index": 0, "delta": {"content": FORTY}, "finish_reason": None}),
        event_of({"index": 0, "delta": {"content": [{"type": "text", "text": FORTY}]}}),
        event_of({"index": 0, "text": FORTY}),
        event_of({"delta": {"content": FORTY[:20]}}, {"delta": {"content": FORTY[20:]}}),
        event_of({"delta": {"reasoning_content": FORTY, "reasoning": FORTY}}),
        event_of({"delta": {"content": FORTY[:20], "reasoning": FORTY[20:]}}),
        event_of(
            {"delta": {"tool_calls": [{"function": {"arguments": FORTY[4:], "name": "f  f"}}]}}
        ),
        event_of({"delta": {"function_call": {"arguments": FORTY}}}),
        event_of({"delta": {"refusal": FORTY}}),
        event_of({"delta": {"content": "\u4e2d" * 14}}),
        b'data:{"contentBlockDelta":{"delta":{"text":"%b"},"contentBlockIndex":1}}\r\n\r\n'
        % FORTY.encode(),
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":1,"delta":'
        b'{"type":"text_delta","text":"%b"}}\n\n' % FORTY.encode(),
        b'event: x\ndata: {"type":"response.output_text.delta","item_id":"m_1","delta":"%b"}\n\n'
        % FORTY.encode(),
    ],
)
def test_of_an_event_with_many_tokens_its_words_count(event: bytes) -> None:
    """In each dialect, whatever kind of words they are, and however many events come together."""
    tokens = StreamTokens()
    assert tokens.see(event) == 10
    assert tokens.see(event * 9) // 10 == 10


@pytest.mark.parametrize("count", [1, 7, 100])
def test_media_and_text_are_told_apart_in_large_bodies(count: int) -> None:
    """Of a body of any size the text counts and the photographs' bytes do not, to a hundredth or so."""
    text = "It was the best of times, it was the worst of times. " * 2000
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PHOTOGRAPH}"}}
    content = [part, {"type": "text", "text": text}] * count
    body = msgspec.json.encode({"messages": [{"role": "user", "content": content}]})
    guess = prompt_tokens(replace(make_call(), body=body))
    assert guess == pytest.approx(count * (len(text) / 4 + 765), rel=0.02)


def test_a_guess_at_a_large_body_takes_no_time() -> None:
    """An estimate looks at a bounded part of a prompt, however that is filled."""
    for filling in (b"a" * 511 + b" ", b"A" * 127 + b" ", b"base64 ", b"\\", b"["):
        body = filling * (16_000_000 // len(filling))
        began = time.thread_time()
        prompt_tokens(replace(make_call(), body=body))
        assert time.thread_time() - began < 0.05
