"""Responses as each of their readers has them: bounds of requests, items, and counts of answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.dialects.openai_responses import (
    NULL,
    ContentPart,
    MeteredResponse,
    OutputItem,
    ResponsesRequest,
    ToolChoice,
    read_content,
    read_full_responses,
)


def checked(**fields: Any) -> ResponsesRequest:
    """A checked request with `fields`."""
    body = msgspec.json.encode({"model": "m", **fields})
    return msgspec.json.decode(body, type=ResponsesRequest)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"model": ""}, "length >= 1"),
        ({"model": "x" * 257}, "length <= 256"),
        ({"max_output_tokens": 0}, ">= 1"),
        ({"temperature": 2.1}, "<= 2.0"),
        ({"top_p": -0.1}, ">= 0.0"),
        ({"top_logprobs": -1}, ">= 0"),
        ({"input": 7}, "got `int`"),
        ({"input": ["Hi"]}, "got `str`"),
        ({"tools": {}}, "got `object`"),
        ({"user": "x" * 4097}, "length <= 4096"),
        ({"prompt_cache_key": "x" * 4097}, "length <= 4096"),
    ],
)
def test_bounds_of_a_request(fields: dict[str, Any], why: str) -> None:
    """A value beyond OpenAI's bounds, or of the wrong type, is refused."""
    with pytest.raises(msgspec.ValidationError, match=why):
        checked(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": None, "max_output_tokens": 1, "temperature": 2, "top_p": 1, "top_logprobs": 0},
        {"input": [{"type": "new", "x": 1}], "tools": [{"type": "newer"}], "unknown": {}},
        {"model": "x" * 256, "user": "x" * 4096},
    ],
)
def test_values_at_the_bounds_pass(fields: dict[str, Any]) -> None:
    """A bound itself is allowed, a prompt may do without input, and new kinds pass unseen."""
    assert checked(**fields).model == fields.get("model", "m")


def test_an_item_without_a_type_is_a_message() -> None:
    """The short form of a message has a role and a content alone."""
    request = read_full_responses(b'{"model":"m","input":[{"role":"user","content":"Hi"}]}')
    assert isinstance(request.input, list)
    (item,) = request.input
    assert (item.type, item.role, bytes(item.content)) == ("message", "user", b'"Hi"')
    assert (item.output, item.tools, item.namespace) == (NULL, None, None)


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (b"null", None),
        (b'"a"', "a"),
        (b"[]", []),
        (b'[{"type":"input_text","text":"a","x":1}]', [ContentPart("input_text", text="a")]),
    ],
)
def test_content_in_each_of_its_forms(content: bytes, read: object) -> None:
    """Content is nothing, a text or parts."""
    assert read_content(content) == read


@pytest.mark.parametrize("content", [b"7", b"{}", b'["a"]', b'[{"text":"a"}]'])
def test_content_of_another_form_is_none(content: bytes) -> None:
    """A part must have a type, and content no other form."""
    with pytest.raises(msgspec.ValidationError):
        read_content(content)


def test_a_choice_is_a_word_or_an_object() -> None:
    """A choice that names tools has a mode, which is `auto` where it is not said."""
    request = read_full_responses(b'{"model":"m","tool_choice":"required"}')
    assert request.tool_choice == "required"
    request = read_full_responses(b'{"model":"m","tool_choice":{"type":"allowed_tools"}}')
    assert request.tool_choice == ToolChoice("allowed_tools", mode="auto", tools=[])


@pytest.mark.parametrize(
    ("item", "is_search"),
    [
        ({"type": "web_search_call"}, True),
        ({"type": "web_search_call", "action": {}}, True),
        ({"type": "web_search_call", "action": {"type": "search"}}, True),
        ({"type": "web_search_call", "action": {"type": "open_page"}}, False),
        ({"type": "web_search_call", "action": "search"}, True),
        ({"type": "message"}, False),
        ({}, False),
    ],
)
def test_searches_that_are_charged(item: dict[str, Any], is_search: bool) -> None:
    """A search counts, and a page that is opened does not; without a word it was a search."""
    assert msgspec.convert(item, OutputItem).is_search is is_search


@pytest.mark.parametrize(
    ("item", "is_image"),
    [
        ({"type": "image_generation_call"}, True),
        ({"type": "image_generation_call", "status": "completed"}, True),
        ({"type": "image_generation_call", "status": "failed"}, False),
        ({"type": "message", "status": "completed"}, False),
    ],
)
def test_images_that_are_charged(item: dict[str, Any], is_image: bool) -> None:
    """An image counts unless it failed."""
    assert msgspec.convert(item, OutputItem).is_image is is_image


def test_an_answer_may_lack_anything() -> None:
    """A response is read as far as it goes; no error is no bytes."""
    empty = msgspec.json.decode(b"{}", type=MeteredResponse)
    assert (empty.usage, empty.output, empty.tool_usage) == (None, None, None)
    assert not bytes(empty.error)
