"""Chats as each of their readers has them: bounds of requests, and answers written in every way."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest

from inferworks.dialects.openai_chat import (
    COMPLETIONS,
    AnswerMessage,
    ChatRequest,
    Choice,
    Completion,
    ContentPart,
    EngineChatRequest,
    FullMessage,
    FunctionPiece,
    ToolCallPiece,
    read_full_chat,
)

HELLO = {"role": "user", "content": "Hi"}


Kind = TypeVar("Kind")


def read(given: object, kind: type[Kind]) -> Kind:
    """Return `given` as its reader has it, by way of JSON."""
    return msgspec.json.decode(msgspec.json.encode(given), type=kind)


def checked(**fields: Any) -> ChatRequest:
    """A checked request with `fields`."""
    return read({"model": "m", "messages": [HELLO], **fields}, ChatRequest)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"model": ""}, "length >= 1"),
        ({"model": "x" * 257}, "length <= 256"),
        ({"messages": []}, "length >= 1"),
        ({"messages": [{"role": "", "content": "Hi"}]}, "length >= 1"),
        ({"messages": [{"role": "user", "content": 7}]}, "got `int`"),
        ({"max_tokens": 0}, ">= 1"),
        ({"max_completion_tokens": 0}, ">= 1"),
        ({"max_tokens": True}, "got `bool`"),
        ({"temperature": -0.1}, ">= 0.0"),
        ({"temperature": 2.1}, "<= 2.0"),
        ({"top_p": 1.1}, "<= 1.0"),
        ({"n": 0}, ">= 1"),
        ({"n": 129}, "<= 128"),
        ({"stop": ["x"] * 1025}, "length <= 1024"),
        ({"stop": "x" * 4097}, "length <= 4096"),
        ({"user": "x" * 4097}, "length <= 4096"),
        ({"stream": 1}, "got `int`"),
    ],
)
def test_bounds_that_all_vendors_share(fields: dict[str, Any], why: str) -> None:
    """A value beyond a bound, or of the wrong type, is refused."""
    with pytest.raises(msgspec.ValidationError, match=why):
        checked(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "x" * 256},
        {"max_tokens": 1, "temperature": 2, "top_p": 0, "n": 128},
        {"temperature": 0, "n": 1, "stop": ["x" * 4096] * 1024},
        {"stop": "x" * 4096, "user": "x" * 4096},
        {"messages": [{"role": "x" * 64}]},
        {"messages": [{"role": "user", "content": [{"type": "new", "x": 1}]}], "unknown": {}},
    ],
)
def test_values_at_the_bounds_pass(fields: dict[str, Any]) -> None:
    """A bound itself is allowed, and a field that is not named passes unseen."""
    request = checked(**fields)
    assert request.model == fields.get("model", "m")


def test_an_engine_takes_less_than_the_gateway() -> None:
    """The engine has four stops and eight choices at most; both pass the gateway."""
    base: dict[str, Any] = {"model": "m", "messages": [HELLO]}
    for name, most, beyond in (("n", 8, 9), ("stop", ["x"] * 4, ["x"] * 5)):
        assert getattr(read({**base, name: most}, EngineChatRequest), name) == most
        with pytest.raises(msgspec.ValidationError, match=f"<= {4 if name == 'stop' else 8}"):
            read({**base, name: beyond}, EngineChatRequest)
        checked(**{name: beyond})


# --- a request that is translated


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, []),
        ("", []),
        ([], []),
        ("a", [ContentPart("text", text="a")]),
        ([ContentPart("refusal", refusal="b")], [ContentPart("refusal", refusal="b")]),
    ],
)
def test_content_in_parts(content: Any, parts: list[ContentPart]) -> None:
    """A text is one part, and nothing is none."""
    assert FullMessage("user", content).parts == parts


@pytest.mark.parametrize(
    ("block", "is_sent"),
    [
        ({"type": "thinking", "thinking": "a", "signature": "s"}, True),
        ({"type": "thinking", "thinking": "a", "signature": ""}, False),
        ({"type": "thinking", "thinking": "a", "signature": None}, False),
        ({"type": "thinking", "thinking": "a"}, False),
        ({"type": "redacted_thinking", "data": "x"}, True),
        ({"type": "redacted_thinking"}, False),
        ({"type": "newer"}, True),
        ({}, True),
        ({"type": "thinking", "signature": 7}, True),
    ],
)
def test_thoughts_that_can_go_back(block: dict[str, Any], is_sent: bool) -> None:
    """Only a thought without its signature is kept back; of any other its model is the judge."""
    message = read({"role": "assistant", "thinking_blocks": [block]}, FullMessage)
    assert len(message.signed_thoughts) == is_sent
    assert FullMessage("assistant").signed_thoughts == []


def test_the_head_of_a_chat() -> None:
    """Instructions up to the first other message are the head, and later ones are not."""
    roles = ["system", "developer", "user", "system"]
    request = read_full_chat(
        msgspec.json.encode({"model": "m", "messages": [{"role": role} for role in roles]})
    )
    assert [message.role for message in request.head] == ["system", "developer"]


@pytest.mark.parametrize(
    ("fields", "limit", "stops"),
    [
        ({}, None, None),
        ({"max_tokens": 5, "stop": "a"}, 5, ["a"]),
        ({"max_completion_tokens": 6, "stop": ["a", "b"]}, 6, ["a", "b"]),
        ({"max_tokens": 5, "max_completion_tokens": 6, "stop": []}, 6, None),
    ],
)
def test_limit_and_stops_by_either_form(
    fields: dict[str, Any], limit: int | None, stops: list[str] | None
) -> None:
    """The new name of the limit goes before the old one, and no stop is none."""
    request = read_full_chat(msgspec.json.encode({"model": "m", "messages": [], **fields}))
    assert (request.limit, request.stops) == (limit, stops)


# --- an answer that is translated


@pytest.mark.parametrize(
    ("message", "thought", "written", "text"),
    [
        ({}, "", "", ""),
        ({"content": "a"}, "", "a", "a"),
        ({"content": "", "refusal": "no"}, "", "", "no"),
        ({"content": "a", "refusal": "no"}, "", "a", "a"),
        ({"content": [], "refusal": "no"}, "", "", "no"),
        ({"content": "a", "reasoning_content": "t"}, "t", "a", "a"),
        ({"content": "a", "reasoning": "t"}, "t", "a", "a"),
        ({"reasoning_content": "t", "reasoning": "u"}, "t", "", ""),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
                    {"type": "text", "text": "a"},
                    {"type": "text", "text": "b"},
                ]
            },
            "t",
            "ab",
            "ab",
        ),
        ({"content": [{"type": "thinking", "thinking": "t"}]}, "t", "", ""),
        (
            {
                "content": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]}
                ]
            },
            "t",
            "",
            "",
        ),
    ],
)
def test_words_of_an_answer(message: dict[str, Any], thought: str, written: str, text: str) -> None:
    """Thoughts and words are told apart, whichever way a vendor writes them."""
    said = read(message, AnswerMessage)
    assert (said.thought, said.written, said.text) == (thought, written, text)


@pytest.mark.parametrize(
    ("arguments", "written"),
    [(None, ""), ("", ""), ('{"a": 1}', '{"a": 1}'), ({"a": 1}, '{"a":1}'), ({}, "{}")],
)
def test_arguments_as_text(arguments: Any, written: str) -> None:
    """Arguments that are an object are written as text, and a text stays as it is."""
    assert FunctionPiece("f", arguments).written == written


def test_the_old_form_of_a_call() -> None:
    """A `function_call` is the one call where there are no others, and an empty one is none."""
    function = FunctionPiece("f", "{}")
    assert AnswerMessage(function_call=function).calls == (ToolCallPiece(0, None, function),)
    assert AnswerMessage(function_call=FunctionPiece("", "")).calls == ()
    assert AnswerMessage(tool_calls=[], function_call=function).calls[0].function is function
    new = [ToolCallPiece(1)]
    assert AnswerMessage(tool_calls=new, function_call=function).calls is new


@pytest.mark.parametrize(("created", "created_s"), [(None, 0), (0, 0), (7, 7), (7.9, 7)])
def test_the_time_is_in_whole_seconds(created: Any, created_s: int) -> None:
    """A fraction of a second is cut off, and no time is 0."""
    assert Completion(created=created).created_s == created_s


def test_the_first_choice() -> None:
    """A completion may lack choices, and a choice its log probabilities."""
    assert COMPLETIONS.decode(b'{"choices":null}').first is None
    assert COMPLETIONS.decode(b'{"choices":[]}').first is None
    first = COMPLETIONS.decode(b'{"choices":[{"index":1},{"index":0}]}').first
    assert first == Choice(index=1)
    assert first.sureness == []
    told = COMPLETIONS.decode(b'{"choices":[{"logprobs":{"content":[{"token":"a"}]}}]}').first
    assert told is not None
    assert told.sureness == [{"token": "a"}]
