"""Refusals by the fake Anthropic, in Anthropic's words; each rule with where it is known from."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.anthropic_rules import flaw_in
from inferworks.testing.upstreams.blocks import SIGNATURE
from inferworks.testing.upstreams.script import Body

HI = {"role": "user", "content": "Hi"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "7"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}
TEXT = {"type": "text", "text": "So."}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
SYSTEM: Body = {"role": "system", "content": "Be brief."}


def user(*blocks: Body) -> Body:
    """A message of the user's."""
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Body) -> Body:
    """A message of the assistant's."""
    return {"role": "assistant", "content": list(blocks)}


def message(*, is_beta: bool = False, counts: bool = False, **fields: Any) -> str | None:
    """Fault that the rules find in a message, or None."""
    limit = {} if counts else {"max_tokens": 5}
    body = {"model": "vendor/any", **limit, "messages": [HI], **fields}
    return flaw_in(body, counts=counts, is_beta=is_beta)


GOOD: dict[str, Body] = {
    "everything": {
        "temperature": 1, "top_k": 5, "stop_sequences": ["END"], "metadata": {"user_id": "u"},
        "system": [{"type": "text", "text": "Be.", "cache_control": {"type": "ephemeral"}}],
        "tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}, "service_tier": "auto",
    },
    "a loop": {"messages": [HI, assistant(TEXT, USE), user(RESULT, TEXT)]},
    "a loop with thoughts": {
        **THINKING, "messages": [HI, assistant(THOUGHT, USE), user(RESULT)],
    },
    "results in two messages": {
        "messages": [HI, assistant(USE, {**USE, "id": "toolu_2"}), user(RESULT),
                     user({**RESULT, "tool_use_id": "toolu_2"})],
    },
    "a picture in a result": {"messages": [HI, assistant(USE), user({**RESULT, "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
    ]})]},
    "a schema": {"output_config": {"format": {"type": "json_schema", "schema": {
        "type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False,
    }}}},
    "a turn of the system": {"model": "claude-opus-4-8", "messages": [
        HI, SYSTEM, assistant(USE), user(RESULT), SYSTEM,
    ]},
    "a beginning of the answer": {"messages": [HI, {"role": "assistant", "content": "{"}]},
}  # fmt: skip


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD)
def test_what_anthropic_serves_is_served(fields: Body) -> None:
    """https://platform.claude.com/docs/en/api/messages."""
    assert message(**fields) is None


BAD: dict[str, tuple[Body, str]] = {
    # https://platform.claude.com/docs/en/api/messages
    "an unknown field": ({"presence_penalty": 1}, "presence_penalty: Extra inputs are not permitted"),
    "a field of a beta": ({"mcp_servers": []}, "mcp_servers: Extra inputs are not permitted"),
    "no messages": ({"messages": []}, "messages: at least one message is required"),
    "a hot temperature": ({"temperature": 1.5}, "temperature: range: 0..1"),
    "a word for a number": ({"max_tokens": "5"}, "max_tokens: Input should be a valid integer"),
    "a tier of OpenAI's": (
        {"service_tier": "flex"}, "service_tier: Input should be 'auto' or 'standard_only'"
    ),
    "a field of OpenAI's": (
        {"messages": [{**HI, "name": "Ann"}]}, "messages.0.name: Extra inputs are not permitted"
    ),
    "a long user": (
        {"metadata": {"user_id": "u" * 257}},
        "metadata.user_id: String should have at most 256 characters",
    ),
    "a tool with a space": (
        {"tools": [{**TOOL, "name": "a b"}]},
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    "a schema of no kind": (
        {"tools": [{**TOOL, "input_schema": {}}]}, "tools.0.custom.input_schema.type: Field required"
    ),
    "two tools of one name": ({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
    "a choice without tools": (
        {"tool_choice": {"type": "any"}},
        "tool_choice: tool_choice may only be specified while providing tools.",
    ),
    "the assistant first": (
        {"messages": [{"role": "assistant", "content": "Hi"}, HI]},
        'messages: first message must use the "user" role',
    ),
    "five points of the cache": (
        {"messages": [user(*[{**TEXT, "cache_control": {"type": "ephemeral"}}] * 5)]},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    # https://github.com/anthropics/claude-code/issues/61412
    "a turn of the system for an older model": (
        {"model": "claude-opus-4-7", "messages": [HI, SYSTEM]},
        "role 'system' is not supported on this model"
    ),
    **{
        f"a turn of the system {where}": ({"model": "claude-opus-4-8", "messages": messages}, (
            f"messages.{number}: role 'system' must follow a 'user' message and must be last or precede an "
            "'assistant' message"
        ))
        for where, messages, number in (
            ("before a user's", [HI, SYSTEM, HI], 1),
            ("behind another", [HI, SYSTEM, SYSTEM], 1),
            ("behind the assistant's", [HI, assistant(TEXT), SYSTEM, HI], 2),
        )
    },
    # https://github.com/maximhq/bifrost/issues/5097
    "an id of Kimi's": (
        {"messages": [HI, assistant({**USE, "id": "functions.read:0"}), user(RESULT)]},
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    # https://github.com/LibreChat-AI/agents/pull/124
    "an empty text": (
        {"messages": [user({**TEXT, "text": ""}, TEXT)]},
        "messages: text content blocks must be non-empty",
    ),
    "white space alone": (
        {"messages": [user({**TEXT, "text": " \n"})]},
        "messages: text content blocks must contain non-whitespace text",
    ),
    "an empty message": (
        {"messages": [{"role": "user", "content": ""}]},
        ("messages.0: all messages must have non-empty content except for the optional final "
        "assistant message"),
    ),
    # https://github.com/tailcallhq/forgecode/issues/1872
    "a beginning that ends in space": (
        {"messages": [HI, {"role": "assistant", "content": "So "}]},
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    # https://github.com/BerriAI/litellm/issues/3286
    "a stop of white space": (
        {"stop_sequences": ["\n\n"]},
        "stop_sequences: each stop sequence must contain non-whitespace",
    ),
    # https://github.com/anthropics/claude-code/issues/12526
    "a call without result": (
        {"messages": [HI, assistant(USE), user(TEXT)]},
        ("messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: "
        "toolu_1. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."),
    ),
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
    "a text before the result": (
        {"messages": [HI, assistant(USE), user(TEXT, RESULT)]},
        ("messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: "
        "toolu_1. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."),
    ),
    # https://github.com/tghamm/Anthropic.SDK/issues/184
    "a result of nothing": (
        {"messages": [HI, assistant(TEXT), user(RESULT)]},
        ("messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each "
        "`tool_result` block must have a corresponding `tool_use` block in the previous message."),
    ),
    # https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    "thoughts unsigned": (
        {"messages": [HI, assistant({"type": "thinking", "thinking": "Hm."}), HI]},
        "messages.1.content.0.thinking.signature: Field required",
    ),
    "thoughts of somebody else": (
        {"messages": [HI, assistant({**THOUGHT, "signature": "x"}, TEXT), HI]},
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    "few thoughts": (
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    "more thoughts than tokens": (
        {**THINKING, "max_tokens": 1024},
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ),
    "thoughts at a temperature": (
        {**THINKING, "temperature": 0},
        "`temperature` may only be set to 1 when thinking is enabled.",
    ),
    "thoughts and a forced tool": (
        {**THINKING, "tools": [TOOL], "tool_choice": {"type": "any"}},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    "a loop that lost its thoughts": (
        {**THINKING, "messages": [HI, assistant(USE), user(RESULT)]},
        ("messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. "
        "When `thinking` is enabled, a final `assistant` message must start with a thinking block "
        "(preceeding the lastmost set of `tool_use` and `tool_result` blocks)."),
    ),
    # https://platform.claude.com/docs/en/build-with-claude/structured-outputs
    "an open schema": (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ("output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly "
        "set to false"),
    ),
    # https://github.com/anthropics/claude-code/issues/24451
    "more than the model makes": (
        {"model": "claude-opus-4-5-20251101", "max_tokens": 128_001},
        ("max_tokens: 128001 > 64000, which is the maximum allowed number of output tokens for "
        "claude-opus-4-5-20251101"),
    ),
    # https://github.com/altic-dev/FluidVoice/issues/285
    "a temperature that is deprecated": (
        {"model": "claude-opus-4-7", "temperature": 0}, "`temperature` is deprecated for this model."
    ),
    # https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-6
    "a beginning for a newer model": (
        {"model": "claude-opus-4-6", "messages": [HI, {"role": "assistant", "content": "{"}]},
        ("This model does not support assistant message prefill. The conversation must end with a "
        "user message."),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "words"), BAD.values(), ids=BAD)
def test_what_anthropic_refuses_is_refused(fields: Body, words: str) -> None:
    """Refusals are in Anthropic's words; the source of each stands beside it."""
    assert message(**fields) == words


@pytest.mark.parametrize("name", ["model", "messages", "max_tokens"])
def test_missing_fields(name: str) -> None:
    """https://platform.claude.com/docs/en/api/messages."""
    body = {"model": "m", "messages": [HI], "max_tokens": 5}
    del body[name]
    assert flaw_in(body, counts=False, is_beta=False) == f"{name}: Field required"


def test_betas_have_fields_of_their_own() -> None:
    """https://platform.claude.com/docs/en/api/beta-headers."""
    assert message(is_beta=True, context_management={"edits": []}) is None


def test_a_count_has_no_limit() -> None:
    """https://platform.claude.com/docs/en/api/messages-count-tokens."""
    assert message(counts=True) is None
    assert message(counts=True, max_tokens=5) == "max_tokens: Extra inputs are not permitted"
