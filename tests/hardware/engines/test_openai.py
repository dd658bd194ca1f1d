"""The chat-completions dialect."""

from __future__ import annotations

import json

import pytest

from inferworks.errors import CallError
from inferworks.hardware.engines.base import Message, TextDelta
from inferworks.hardware.engines.openai import (
    ChunkEncoder,
    Tally,
    decode_request,
    encode_answer,
    encode_error,
    to_ask,
)
from inferworks.ids import CallId

CALL = CallId("call_1")


def body(**fields: object) -> bytes:
    """A request with one message."""
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    ).encode()


def test_a_plain_request() -> None:
    """Fields that are not given take OpenAI's defaults, and unknown ones are ignored."""
    ask = to_ask(decode_request(body(user="someone")), CALL)
    assert ask.messages == (Message("user", "hi"),)
    assert (ask.temperature, ask.top_p, ask.choices, ask.max_tokens) == (1.0, 1.0, 1, None)
    assert (ask.stop, ask.min_tokens, ask.ignore_eos) == ((), 0, False)


def test_a_full_request() -> None:
    """Every supported field arrives; the newer name of the limit wins."""
    fields = {"max_tokens": 5, "max_completion_tokens": 7, "temperature": 0, "top_p": 0.5,
              "seed": 3, "stop": ["a", "b"], "n": 2, "min_tokens": 1, "ignore_eos": True}  # fmt: skip
    ask = to_ask(decode_request(body(**fields)), CALL)
    assert (ask.max_tokens, ask.temperature, ask.top_p, ask.seed) == (7, 0.0, 0.5, 3)
    assert (ask.stop, ask.choices, ask.min_tokens, ask.ignore_eos) == (("a", "b"), 2, 1, True)


def test_messages_of_parts_and_other_roles() -> None:
    """Text parts are joined; developer speaks as system and tool as user."""
    messages = [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "4"},
    ]
    ask = to_ask(decode_request(body(messages=messages)), CALL)
    assert [m.role for m in ask.messages] == ["system", "user", "assistant", "user"]
    assert [m.text for m in ask.messages] == ["be kind", "ab", "", "4"]


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0}, {"temperature": 3}, {"top_p": 1.1}, {"n": 9}, {"n": 0}, {"messages": []},
        {"stop": ["a"] * 5}, {"tools": [{}]}, {"logprobs": True}, {"seed": "x"},
        {"response_format": {"type": "json_object"}}, {"messages": [{"role": "king"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(fields: dict[str, object]) -> None:
    """A field out of range, or beyond this engine, is a 400 and never passed over."""
    with pytest.raises(CallError) as caught:
        to_ask(decode_request(body(**fields)), CALL)
    assert caught.value.status == 400
    assert "message" in json.loads(encode_error(caught.value))["error"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "x" * 100_000, "content": "hi"},
        {"role": "user", "content": [{"type": "x" * 100_000}]},
    ],
    ids=["role", "part"],
)
def test_a_refusal_repeats_little_of_what_was_sent(message: dict[str, object]) -> None:
    """An unknown role or type of a part is named by its beginning."""
    with pytest.raises(CallError, match="xxx") as caught:
        to_ask(decode_request(body(messages=[message])), CALL)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b'{"model":"m"}'])
def test_what_is_no_request_is_refused(raw: bytes) -> None:
    """Arbitrary bytes cause a 400 at worst."""
    with pytest.raises(CallError, match="cannot be read"):
        decode_request(raw)


def test_a_whole_answer() -> None:
    """Texts are joined by choice, and the prompt is counted once."""
    tally = Tally(10, 2)
    for piece in (
        TextDelta(0, "a", 1),
        TextDelta(1, "x", 1, "length"),
        TextDelta(0, "b", 2, "stop"),
    ):
        tally.add(piece, keep_text=True)
    answer = json.loads(encode_answer(CALL, "m", 1, tally))
    assert [c["message"]["content"] for c in answer["choices"]] == ["ab", "x"]
    assert [c["finish_reason"] for c in answer["choices"]] == ["stop", "length"]
    assert answer["usage"] == {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


def events(raw: bytes) -> list[dict[str, object]]:
    """The JSON of every event but the end mark."""
    lines = [line.removeprefix("data: ") for line in raw.decode().split("\n\n") if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize(
    ("options", "each", "last"),
    [
        ({}, "absent", None),
        ({"include_usage": True}, None, 3),
        ({"include_usage": True, "continuous_usage_stats": True}, 1, 3),
    ],
)
def test_usage_in_a_stream(options: dict[str, bool], each: object, last: int | None) -> None:
    """Usage comes never, at the end, or with every chunk, as the stream's options say."""
    request = decode_request(body(stream=True, stream_options=options))
    encoder = ChunkEncoder(CALL, "m", 1, Tally(4, 1), request.stream_options)
    first = events(encoder.events((TextDelta(0, 'say "é"', 1),)))[0]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": 'say "é"'}  # type: ignore[index]
    usage = first.get("usage", "absent")
    assert (usage["completion_tokens"] if isinstance(usage, dict) else usage) == each
    assert encoder.events((TextDelta(0, "", 2),)) == b"", "half a character makes no event"
    end = events(encoder.events((TextDelta(0, "", 3, "stop"),)))[0]["choices"][0]  # type: ignore[index]
    assert (end["delta"], end["finish_reason"]) == ({}, "stop")
    final = encoder.last()
    assert final.endswith(b"data: [DONE]\n\n")
    totals = [event["usage"]["completion_tokens"] for event in events(final)]  # type: ignore[index]
    assert totals == ([] if last is None else [last])
