"""Refusals by the fake OpenAI, in OpenAI's words; each rule with where it is known from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.testing.upstreams.openai_words import body_of
from inferworks.testing.upstreams.script import Body
from inferworks.testing.upstreams.strict import Refusal
from inferworks.testing.upstreams.vendors import OPENAI

CHAT = "/chat/completions"
HI = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "7"}


def chat(*messages: Body, **fields: Any) -> Refusal | None:
    """Refusal of a chat, or None."""
    body = {"model": "vendor/any", "messages": list(messages or (HI,)), **fields}
    return OPENAI.refusal(CHAT, body)


def said(refusal: Refusal | None) -> tuple[str, str | None, str | None]:
    """The message, the parameter and the code."""
    assert refusal is not None, "it was served"
    return refusal.message, refusal.param, refusal.code


GOOD: dict[str, Body] = {
    "everything": {
        "temperature": 0.5, "top_p": 1, "stop": ["a", "b"], "n": 2, "seed": 7, "user": "u" * 64,
        "metadata": {"a": "b"}, "logprobs": True, "top_logprobs": 2, "max_tokens": 5, "store": None,
        "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False, "logit_bias": {"5": 1},
    },
    "parts": {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "https://x"}},
    ]}]},
    # https://github.com/langchain-ai/langchain: its suite for OpenAI sends such parts, and is served
    "a part with a mark of Anthropic's": {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
    ]}]},
    "a loop": {"messages": [HI, CALLS, RESULT, {"role": "assistant", "content": "7"}, HI]},
    "a strict schema": {"response_format": {"type": "json_schema", "json_schema": {
        "name": "a", "strict": True, "schema": {
            "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"],
            "additionalProperties": False,
        },
    }}},
    "a stream": {"stream": True, "stream_options": {"include_usage": True}},
    "gpt-5": {"model": "gpt-5-mini", "max_completion_tokens": 5, "reasoning_effort": "minimal"},
    "gpt-5.2 without thoughts": {"model": "gpt-5.2", "reasoning_effort": "none", "temperature": 0.2},
    "gpt-4.1": {"model": "gpt-4.1", "max_tokens": 5, "stop": "x", "temperature": 0},
}  # fmt: skip


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD)
def test_what_openai_serves_is_served(fields: Body) -> None:
    """https://platform.openai.com/docs/api-reference/chat/create."""
    assert chat(**fields) is None


BAD: dict[str, tuple[Body, tuple[str, str | None, str | None]]] = {
    # https://github.com/coroot/coroot/issues/698
    "an unknown field": ({"top_k": 5}, ("Unrecognized request argument supplied: top_k", None, None)),
    # https://github.com/maximhq/bifrost/issues/1000
    "a long user": ({"user": "u" * 150}, (
        ("Invalid 'user': string too long. Expected a string with maximum length 64, "
        "but got a string with length 150 instead."),
        "user", "string_above_max_length",
    )),
    # https://platform.openai.com/docs/api-reference/chat/create
    "five stops": ({"stop": list("abcde")}, (
        ("Invalid 'stop': array too long. Expected an array with maximum length 4, "
        "but got an array with length 5 instead."),
        "stop", "array_above_max_length",
    )),
    "no messages": ({"messages": []}, (
        ("Invalid 'messages': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead."),
        "messages", "empty_array",
    )),
    "metadata of 17": ({"metadata": {str(n): "" for n in range(17)}}, (
        ("Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead."),
        "metadata", "object_above_max_properties",
    )),
    "a long metadata value": ({"metadata": {"a": "b" * 513}}, (
        ("Invalid 'metadata.a': string too long. Expected a string with maximum length 512, "
        "but got a string with length 513 instead."),
        "metadata.a", "string_above_max_length",
    )),
    "a hot temperature": ({"temperature": 2.5}, (
        ("Invalid 'temperature': decimal above maximum value. Expected a value <= 2, "
        "but got 2.5 instead."),
        "temperature", "decimal_above_max_value",
    )),
    "a word for a number": ({"max_tokens": "5"}, (
        "Invalid type for 'max_tokens': expected an integer, but got a string instead.",
        "max_tokens", "invalid_type",
    )),
    "a role of nobody": ({"messages": [{"role": "bot", "content": "Hi"}]}, (
        ("Invalid value: 'bot'. Supported values are: 'developer', 'system', 'user', 'assistant', "
        "'tool', and 'function'."),
        "messages[0].role", "invalid_value",
    )),
    "a field of DeepSeek's": (
        {"messages": [{"role": "assistant", "content": "Hi", "reasoning_content": "Hm."}]},
        (
            "Unknown parameter: 'messages[0].reasoning_content'.",
            "messages[0].reasoning_content",
            "unknown_parameter",
        ),
    ),
    # https://github.com/nadeko-bot/nadekobot/issues/34
    "a field that a newer model does not know": (
        {"model": "gpt-5.4-nano", "cache_control": {"type": "ephemeral"}},
        ("Unknown parameter: 'cache_control'.", "cache_control", "unknown_parameter"),
    ),
    "a tool with a space": ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, (
        ("Invalid 'tools[0].function.name': string does not match pattern. Expected a string that "
        "matches the pattern '^[a-zA-Z0-9_-]+$', but got 'a b' instead."),
        "tools[0].function.name", "invalid_value",
    )),
    "no tools": ({"tools": []}, (
        ("Invalid 'tools': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead."),
        "tools", "empty_array",
    )),
    "a choice without tools": ({"tool_choice": "auto"}, (
        "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
        "tool_choice", None,
    )),
    "options without a stream": ({"stream_options": {"include_usage": True}}, (
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options", None,
    )),
    "both limits": ({"max_tokens": 5, "max_completion_tokens": 5}, (
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        "max_tokens", "invalid_parameter_combination",
    )),
    "JSON unsaid": ({"response_format": {"type": "json_object"}}, (
        ("'messages' must contain the word 'json' in some form, "
        "to use 'response_format' of type 'json_object'."),
        "messages", None,
    )),
    # https://github.com/camel-ai/camel/issues/2215
    "a long id": ({"messages": [
        {"role": "assistant", "tool_calls": [{**CALL, "id": "c" * 46}]}, RESULT,
    ]}, (
        ("Invalid 'messages[0].tool_calls[0].id': string too long. Expected a string with maximum "
        "length 40, but got a string with length 46 instead."),
        "messages[0].tool_calls[0].id", "string_above_max_length",
    )),
    # https://github.com/OpenHands/OpenHands/issues/7700
    "a picture from a tool": ({"messages": [HI, CALLS, {**RESULT, "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]}]}, (
        ("Invalid 'messages[2]'. Image URLs are only allowed for messages with role 'user', "
        "but this message with role 'tool' contains an image URL."),
        "messages[2]", "invalid_value",
    )),
    # https://platform.openai.com/docs/guides/function-calling
    "a result of nothing": ({"messages": [HI, RESULT]}, (
        ("Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
        "with 'tool_calls'."),
        "messages.[1].role", None,
    )),
    "a call without result": ({"messages": [HI, CALLS, HI]}, (
        ("An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: call_1"),
        "messages.[2].role", None,
    )),
    "an assistant that says nothing": ({"messages": [{"role": "assistant", "content": None}]}, (
        "Invalid value for 'content': expected a string, got null.", "messages.[0].content", None,
    )),
    # https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    "a schema that is less strict": ({"response_format": {"type": "json_schema", "json_schema": {
        "name": "a", "strict": True, "schema": {"type": "object", "properties": {}},
    }}}, (
        ("Invalid schema for response_format 'a': In context=(), 'additionalProperties' is required "
        "to be supplied and to be false."),
        "response_format", None,
    )),
    "parameters of no kind": ({"tools": [
        {"type": "function", "function": {"name": "f", "parameters": {}}},
    ]}, (
        ("Invalid schema for function 'f': schema must be a JSON Schema of 'type: \"object\"', "
        "got 'type: \"None\"'."),
        "tools[0].function.parameters", "invalid_function_parameters",
    )),
    # https://github.com/langgenius/dify/issues/24307
    "gpt-5 with the older limit": ({"model": "gpt-5-mini", "max_tokens": 5}, (
        ("Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead."),
        "max_tokens", "unsupported_parameter",
    )),
    # https://github.com/diffbot/code-gpt-docs/issues/445
    "gpt-5 with a temperature": ({"model": "gpt-5", "temperature": 0.5}, (
        ("Unsupported value: 'temperature' does not support 0.5 with this model. "
        "Only the default (1) value is supported."),
        "temperature", "unsupported_value",
    )),
    # https://github.com/n8n-io/n8n/issues/18149
    "gpt-5 with a stop": ({"model": "gpt-5", "stop": "x"}, (
        "Unsupported parameter: 'stop' is not supported with this model.",
        "stop", "unsupported_parameter",
    )),
    # https://platform.openai.com/docs/guides/reasoning
    "o3 with little effort": ({"model": "o3", "reasoning_effort": "minimal"}, (
        ("Unsupported value: 'minimal' is not supported with the 'o3' model. "
        "Supported values are: 'low', 'medium', and 'high'."),
        "reasoning_effort", "unsupported_value",
    )),
    # https://github.com/formulahendry/wechat-acp/issues/16
    "gpt-4.1 with effort": ({"model": "gpt-4.1", "reasoning_effort": "high"}, (
        "Unrecognized request argument supplied: reasoning_effort", None, None,
    )),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "words"), BAD.values(), ids=BAD)
def test_what_openai_refuses_is_refused(fields: Body, words: tuple[str, str, str]) -> None:
    """Refusals are in OpenAI's words, with its parameter and code; the source of each stands beside it."""
    assert said(chat(**fields)) == words


def test_missing_fields() -> None:
    """https://platform.openai.com/docs/api-reference/chat/create."""
    missing = OPENAI.refusal(CHAT, {"model": "any"})
    assert said(missing) == (
        "Missing required parameter: 'messages'.", "messages", "missing_required_parameter",
    )  # fmt: skip


def test_the_error_body() -> None:
    """https://platform.openai.com/docs/guides/error-codes."""
    refusal = chat(top_k=5)
    assert refusal is not None
    assert refusal.status == 400
    assert json.loads(body_of(refusal)) == {
        "error": {
            "message": "Unrecognized request argument supplied: top_k",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }


@pytest.mark.parametrize(
    ("path", "model", "words"),
    [
        ("/completions", "gpt-4.1", "Did you mean to use v1/chat/completions?"),
        (CHAT, "o1-pro", "only supported in v1/responses"),
    ],
)
def test_models_that_another_operation_has(path: str, model: str, words: str) -> None:
    """https://github.com/sashabaranov/go-openai/issues/126: such a model is not found."""
    body = {"model": model, "prompt": "Hi"} if path == "/completions" else {}
    refusal = OPENAI.refusal(path, body or {"model": model, "messages": [HI]})
    assert refusal is not None
    assert (refusal.status, words in refusal.message) == (404, True)
