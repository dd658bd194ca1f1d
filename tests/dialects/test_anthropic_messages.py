"""Anthropic's messages as each of their readers has them: bounds of requests, blocks, and answers."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest

from inferworks.dialects.anthropic_messages import (
    EVENTS,
    MESSAGES,
    AnswerBlock,
    ContentBlock,
    CountRequest,
    MessagesRequest,
    Source,
    Turn,
    as_blocks,
    read_full_messages,
)

LEAST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


Kind = TypeVar("Kind")


def read(given: object, kind: type[Kind]) -> Kind:
    """Return `given` as its reader has it, by way of JSON."""
    return msgspec.json.decode(msgspec.json.encode(given), type=kind)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"max_tokens": 0}, ">= 1"),
        ({"max_tokens": None}, "got `null`"),
        ({"temperature": 1.1}, "<= 1.0"),
        ({"temperature": -0.1}, ">= 0.0"),
        ({"top_p": 1.1}, "<= 1.0"),
        ({"top_k": -1}, ">= 0"),
        ({"model": ""}, "length >= 1"),
        ({"model": "x" * 257}, "length <= 256"),
        ({"messages": []}, "length >= 1"),
        ({"messages": [{"role": "user"}]}, "missing required field `content`"),
        ({"messages": [{"role": "user", "content": None}]}, "got `null`"),
        ({"metadata": {"user_id": "x" * 4097}}, "length <= 4096"),
        ({"stop_sequences": "a"}, "got `str`"),
        ({"system": [7]}, "got `int`"),
    ],
)
def test_bounds_of_a_request(fields: dict[str, Any], why: str) -> None:
    """A value beyond Anthropic's bounds, or of the wrong type, is refused."""
    with pytest.raises(msgspec.ValidationError, match=why):
        read({**LEAST, "max_tokens": 1, **fields}, MessagesRequest)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 1, "temperature": 1, "top_p": 0, "top_k": 0},
        {"model": "x" * 256, "metadata": {"user_id": "x" * 4096}, "stop_sequences": []},
        {"messages": [{"role": "x" * 64, "content": [{"type": "new"}]}], "unknown": 1},
        {"messages": [{"role": "user", "content": []}], "system": []},
    ],
)
def test_values_at_the_bounds_pass(fields: dict[str, Any]) -> None:
    """A bound itself is allowed, and a field or block that is not named passes unseen."""
    request = read({**LEAST, "max_tokens": 1, **fields}, MessagesRequest)
    assert request.max_tokens == 1


def test_a_message_has_a_limit_and_a_count_has_none() -> None:
    """A count of tokens takes the same request without `max_tokens`, which a message must have."""
    assert read(LEAST, CountRequest).model == "m"
    with pytest.raises(msgspec.ValidationError, match="missing required field `max_tokens`"):
        read(LEAST, MessagesRequest)


@pytest.mark.parametrize("nothing", [None, "", []])
def test_no_text_is_no_block(nothing: Any) -> None:
    """Content that says nothing has no blocks, whichever way it is written."""
    assert as_blocks(nothing) == []


def test_a_text_is_a_block() -> None:
    """A text is one block of text, and blocks stay as they are."""
    block = ContentBlock("text", text="a")
    assert as_blocks("a") == [block]
    blocks = [block]
    assert as_blocks(blocks) is blocks
    assert Turn("user", "a").blocks == [block]


@pytest.mark.parametrize(
    ("source", "origin"), [(None, ""), ("https://a", ""), (Source("base64"), "base64")]
)
def test_the_origin_of_a_block(source: Source | str | None, origin: str) -> None:
    """A source that is an object has a type; the address of a search result has none."""
    assert ContentBlock("image", source=source).origin == origin


def test_blocks_lie_within_blocks() -> None:
    """Results of tools and documents hold blocks of their own, and an input stays as it was written."""
    request = read_full_messages(
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":['
        b'{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"x"}]},'
        b'{"type":"document","source":{"type":"content","content":"y"}},'
        b'{"type":"tool_use","id":"b","name":"f","input":{"a" : 1}}]}]}'
    )
    result, document, use = request.messages[0].blocks
    assert as_blocks(result.content) == [ContentBlock("text", text="x")]
    assert isinstance(document.source, Source)
    assert document.source.content == "y"
    assert bytes(use.input) == b'{"a" : 1}'
    assert bytes(request.messages[0].tool_calls) == b"null"


@pytest.mark.parametrize(
    ("body", "arguments"),
    [(b"{}", "{}"), (b'{"input":null}', "{}"), (b'{"input":{"a" : 1}}', '{"a" : 1}')],
)
def test_arguments_of_a_call(body: bytes, arguments: str) -> None:
    """The input is text as it was written; none is an empty object."""
    assert msgspec.json.decode(body, type=AnswerBlock).arguments == arguments


def test_an_answer_may_lack_anything() -> None:
    """An empty object is an answer of nothing and an event of no type; nothing is shared by two."""
    empty = MESSAGES.decode(b"{}")
    assert (empty.id, empty.content, empty.stop_reason) == ("", [], None)
    assert MESSAGES.decode(b"{}").content is not empty.content
    event = EVENTS.decode(b'{"type":"ping"}')
    assert (event.type, event.message, event.content_block, event.delta) == (
        "ping",
        None,
        None,
        None,
    )
