"""Refusals by the fake Bedrock, in Bedrock's words; each rule with where it is known from."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.bedrock_rules import converse_flaw
from inferworks.testing.upstreams.blocks import SIGNATURE
from inferworks.testing.upstreams.script import Body

HI = {"role": "user", "content": [{"text": "Hi"}]}
SPEC = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
TOOLS = {"toolConfig": {"tools": [SPEC]}}
USE = {"toolUse": {"toolUseId": "tooluse_1", "name": "f", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "7"}]}}
ANY, CLAUDE = "vendor.any", "anthropic.claude-sonnet-4-5"


def user(*blocks: Body) -> Body:
    """A message of the user's."""
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Body) -> Body:
    """A message of the assistant's."""
    return {"role": "assistant", "content": list(blocks)}


def converse(model: str = ANY, **fields: Any) -> str | None:
    """Fault that the rules find in a Converse request, or None."""
    return converse_flaw({"messages": [HI], **fields}, model)


THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": SIGNATURE}}}

GOOD: dict[str, Body] = {
    "everything": {
        "system": [{"text": "Be."}, {"cachePoint": {"type": "default"}}],
        "inferenceConfig": {
            "maxTokens": 5, "temperature": 1, "topP": 0.5, "stopSequences": ["END"],
        },
        "additionalModelRequestFields": {"top_k": 5, "thinking": {"type": "disabled"}},
        "requestMetadata": {"user": "u"}, "serviceTier": {"type": "flex"}, **TOOLS,
    },
    "a loop": {
        **TOOLS, "model": CLAUDE, "messages": [HI, assistant(THOUGHT, USE), user(RESULT, {"text": "So?"})],
    },
    "a picture": {"messages": [user({"image": {"format": "png", "source": {"bytes": "AA=="}}})]},
}  # fmt: skip


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD)
def test_what_bedrock_serves_is_served(fields: Body) -> None:
    """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html."""
    assert converse(**fields) is None


BAD: dict[str, tuple[Body, str]] = {
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    "an unknown field": (
        {"maxTokens": 5},
        ("Malformed input request: #: extraneous key [maxTokens] is not permitted, please reformat "
        "your input and try again."),
    ),
    "no content": (
        {"messages": [{"role": "user"}]},
        ("1 validation error detected: Value null at 'messages.1.member.content' failed to satisfy "
        "constraint: Member must not be null"),
    ),
    "a hot temperature": (
        {"inferenceConfig": {"temperature": 1.5}},
        ("1 validation error detected: Value '1.5' at 'inferenceConfig.temperature' failed to satisfy "
        "constraint: Member must have value less than or equal to 1"),
    ),
    "a tool with a space": (
        {"toolConfig": {"tools": [{"toolSpec": {**SPEC["toolSpec"], "name": "a b"}}]}},
        ("1 validation error detected: Value 'a b' at 'toolConfig.tools.1.member.toolSpec.name' failed "
        "to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"),
    ),
    "a long id": (
        {"messages": [HI, assistant({"toolUse": {**USE["toolUse"], "toolUseId": "t" * 65}})]},
        (f"1 validation error detected: Value '{'t' * 65}' at "
        "'messages.2.member.content.1.member.toolUse.toolUseId' failed to satisfy constraint: Member "
        "must have length less than or equal to 64"),
    ),
    "no tools": (
        {"toolConfig": {"tools": []}},
        ("1 validation error detected: Value '[]' at 'toolConfig.tools' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"),
    ),
    "two things in a block": (
        {"messages": [user({"text": "Hi", "cachePoint": {"type": "default"}})]},
        ("1 validation error detected: Value '{'text': 'Hi', 'cachePoint': {'type': 'default'}}' at "
        "'messages.1.member.content.1.member' failed to satisfy constraint: Member must have only one "
        "of its fields set"),
    ),
    "the assistant first": (
        {"messages": [assistant({"text": "Hi"})]},
        ("A conversation must start with a user message. Try again with a conversation that starts "
        "with a user message."),
    ),
    # https://github.com/langchain-ai/langchain-aws/issues/130
    "two users": (
        {"messages": [HI, HI]},
        ("A conversation must alternate between user and assistant roles. Make sure the conversation "
        "alternates between user and assistant roles and try again."),
    ),
    # https://github.com/NousResearch/hermes-agent/pull/41985
    "a blank text": (
        {"messages": [user({"text": " "})]},
        ("The text field in the ContentBlock object at messages.0.content.0 is blank. Add text to the "
        "text field, and try again."),
    ),
    "an empty message": (
        {"messages": [user()]},
        ("The content field in the Message object at messages.0 is empty. Add a ContentBlock object to "
        "the content field and try again."),
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html
    "a call without result": (
        {**TOOLS, "messages": [HI, assistant(USE), HI]},
        "Expected toolResult blocks at messages.2.content for the following Ids: tooluse_1",
    ),
    "a result of nothing": (
        {**TOOLS, "messages": [user(RESULT)]},
        ("The number of toolResult blocks at messages.0.content exceeds the number of toolUse blocks of "
        "previous turn."),
    ),
    "calls without tools": (
        {"messages": [HI, assistant(USE), user(RESULT)]},
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    ),
    "a stop of white space": (
        {"model": CLAUDE, "inferenceConfig": {"stopSequences": ["\n"]}},
        ("The model returned the following errors: stop_sequences: each stop sequence must contain "
        "non-whitespace"),
    ),
    "thoughts unsigned": (
        {"model": CLAUDE, "messages": [
            HI, assistant({"reasoningContent": {"reasoningText": {"text": "Hm."}}}), HI,
        ]},
        ("The model returned the following errors: messages.content: Invalid `signature` in `thinking` "
        "block"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "words"), BAD.values(), ids=BAD)
def test_what_bedrock_refuses_is_refused(fields: Body, words: str) -> None:
    """Refusals are in Bedrock's words; the source of each stands beside it."""
    assert converse(**fields) == words
