"""Converse's answers as each of their readers has them: what is said, what is called, what is counted."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.dialects.bedrock_converse import (
    ANSWERS,
    EVENTS,
    IMAGE_FORMATS,
    Block,
    MeteredAnswer,
    ToolUse,
)


def test_an_answer_by_its_blocks() -> None:
    """Names are in Bedrock's case, and blocks keep their order."""
    answer = ANSWERS.decode(
        b'{"output":{"message":{"role":"assistant","content":[{"text":"a"},'
        b'{"toolUse":{"toolUseId":"x","name":"f","input":{"a" : 1}}},'
        b'{"reasoningContent":{"reasoningText":{"text":"t","signature":"s"}}}]}},'
        b'"stopReason":"tool_use"}'
    )
    text, use, thought = answer.output.message.content
    assert (text.said, answer.stop_reason) == ("a", "tool_use")
    assert use.tool_use is not None
    assert (use.tool_use.tool_use_id, use.tool_use.name) == ("x", "f")
    assert use.tool_use.arguments == '{"a" : 1}'
    assert thought.reasoning_content is not None
    assert thought.reasoning_content.reasoning_text is not None
    assert thought.reasoning_content.reasoning_text.signature == "s"
    assert (use.said, thought.said) == ("", "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", ""),
        (b'{"text":"a"}', "a"),
        (b'{"citationsContent":{"content":[{"text":"b"},{"text":"c"}],"citations":[]}}', "bc"),
        (b'{"citationsContent":{}}', ""),
    ],
)
def test_words_for_the_user(body: bytes, said: str) -> None:
    """Text that is backed by citations is said like any other."""
    assert msgspec.json.decode(body, type=Block).said == said


@pytest.mark.parametrize(
    ("body", "arguments"),
    [(b"{}", "{}"), (b'{"input":null}', "{}"), (b'{"input":"{"}', '"{"'), (b'{"input":{}}', "{}")],
)
def test_arguments_of_a_call(body: bytes, arguments: str) -> None:
    """The input stays as it was written; none is an empty object."""
    assert msgspec.json.decode(body, type=ToolUse).arguments == arguments


def test_an_event_is_one_of_its_fields() -> None:
    """The field that is there tells what happened; a block without a number is the first."""
    event = EVENTS.decode(b'{"contentBlockDelta":{"delta":{"text":"a"}}}')
    assert event.content_block_delta is not None
    assert event.content_block_delta.content_block_index == 0
    assert event.content_block_delta.delta.text == "a"
    assert (event.message_start, event.content_block_start, event.content_block_stop) == (None,) * 3
    assert (event.message_stop, event.metadata) == (None, None)


def test_one_format_has_two_media_types() -> None:
    """JPEG is written either way; nothing is an image that Bedrock cannot show."""
    assert IMAGE_FORMATS["image/jpg"] == IMAGE_FORMATS["image/jpeg"] == "jpeg"
    assert "image/svg+xml" not in IMAGE_FORMATS


def test_counts_that_are_not_told_are_none() -> None:
    """A count that is missing is not zero, and details of the cache have names of their own."""
    answer = msgspec.json.decode(
        b'{"usage":{"inputTokens":7,"cacheDetails":[{"ttl":"5m","inputTokens":3}]}}',
        type=MeteredAnswer,
    )
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, None)
    assert answer.usage.cache_details is not None
    assert [(one.ttl, one.inputTokens) for one in answer.usage.cache_details] == [("5m", 3)]
    assert answer.service_tier is None
