"""Refusals by other vendors with OpenAI's dialect: their differences, in their words and error bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.testing.upstreams.script import Body
from inferworks.testing.upstreams.vendors import DEEPSEEK, MISTRAL, OPENAI, VLLM, Vendor

CHAT = "/chat/completions"
HI = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "7"}


def chat(vendor: Vendor, *messages: Body, **fields: Any) -> tuple[int, Any] | None:
    """The status and the body with which a chat is refused."""
    body = {"model": "vendor/any", "messages": list(messages or (HI,)), **fields}
    refusal = vendor.refusal(CHAT, body)
    return None if refusal is None else (refusal.status, json.loads(vendor.body(refusal)))


def test_vllm_takes_fields_that_it_does_not_know() -> None:
    """https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#extra-parameters."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    assert chat(VLLM, top_k=5, stream=True, stream_options=options) is None
    refused = chat(VLLM, temperature="hot")
    assert refused is not None
    assert (refused[0], refused[1]["error"]["code"]) == (400, 400)


def test_deepseek_has_roles_and_parts_of_its_own() -> None:
    """https://api-docs.deepseek.com/api/create-chat-completion."""
    assert chat(DEEPSEEK, stop=["x"] * 16, thinking={"type": "disabled"}) is None
    picture = {"type": "image_url", "image_url": {"url": "https://x"}}
    for message, words in (
        ({"role": "developer", "content": "Be."}, "messages[0]: unknown variant `developer`"),
        ({"role": "user", "content": [picture]}, "messages[0]: unknown variant `image_url`"),
    ):
        refused = chat(DEEPSEEK, message)
        assert refused is not None
        assert words in refused[1]["error"]["message"]
    schema = {"type": "json_schema", "json_schema": {"name": "a"}}
    refused = chat(DEEPSEEK, response_format=schema)
    assert refused is not None
    assert refused[1]["error"]["message"] == "This response_format type is unavailable now"


def test_deepseek_wants_its_thoughts_back() -> None:
    """https://api-docs.deepseek.com/guides/thinking_mode#tool-calls; mnfst/modelparams.dev#29."""
    loop = (HI, CALLS, RESULT)
    assert chat(DEEPSEEK, *loop, model="deepseek-chat") is None
    refused = chat(DEEPSEEK, *loop, model="deepseek-reasoner")
    assert refused == (400, {"error": {
        "message": "The `reasoning_content` in the thinking mode must be passed back to the API.",
        "type": "invalid_request_error", "param": None, "code": "invalid_request_error",
    }})  # fmt: skip
    thought = {**CALLS, "reasoning_content": "Hm."}
    assert chat(DEEPSEEK, HI, thought, RESULT, model="deepseek-reasoner") is None


def test_mistral_has_fields_of_its_own() -> None:
    """https://docs.mistral.ai/api/#tag/chat."""
    assert chat(MISTRAL, random_seed=7, safe_prompt=True, max_tokens=5) is None
    for name in ("seed", "user", "max_completion_tokens"):
        refused = chat(MISTRAL, **{name: 5})
        assert refused is not None
        status, body = refused
        (detail,) = body["message"]["detail"]
        assert (status, detail["type"], detail["loc"]) == (422, "extra_forbidden", ["body", name])


def test_mistral_counts_the_letters_of_ids() -> None:
    """https://github.com/vercel/ai/issues/1883."""
    refused = chat(MISTRAL, HI, CALLS, RESULT)
    assert refused is not None
    assert refused[1]["message"] == (
        "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."
    )


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([HI, CALLS, RESULT, HI], "Unexpected role 'user' after role 'tool'"),
        ([HI, {"role": "assistant", "content": "A"}], "but got assistant"),
    ],
)
def test_mistral_keeps_an_order_of_its_own(messages: list[Body], words: str) -> None:
    """https://github.com/LibreChat-AI/agents/issues/344."""
    call = {**CALL, "id": "abcdefghi"}
    fixed = [
        {**message, **({"tool_calls": [call]} if "tool_calls" in message else {})}
        | ({"tool_call_id": "abcdefghi"} if message["role"] == "tool" else {})
        for message in messages
    ]
    refused = chat(MISTRAL, *fixed)
    assert refused is not None
    assert words in refused[1]["message"]


RESPONSE = {"model": "vendor/any", "input": "Hi"}
ITEM = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "7"}

OTHERS: dict[str, tuple[str, Body, str]] = {
    # https://platform.openai.com/docs/api-reference/responses/create
    "an unknown field": ("/responses", {**RESPONSE, "top_k": 5}, "Unknown parameter: 'top_k'."),
    "few tokens": (
        "/responses", {**RESPONSE, "max_output_tokens": 2},
        ("Invalid 'max_output_tokens': integer below minimum value. "
        "Expected a value >= 16, but got 2 instead."),
    ),
    "a call without output": (
        "/responses", {**RESPONSE, "input": [ITEM]}, "No tool output found for function call call_1."
    ),
    "an output without call": (
        "/responses", {**RESPONSE, "input": [OUTPUT]},
        "No tool call found for function call output with call_id call_1.",
    ),
    "an item misnamed": (
        "/responses", {**RESPONSE, "input": [{**ITEM, "id": "call_1"}, OUTPUT]},
        "Invalid 'input[0].id': 'call_1'. Expected an ID that begins with 'fc'.",
    ),
    "a temperature for gpt-5": (
        "/responses", {**RESPONSE, "model": "gpt-5", "temperature": 0},
        "Unsupported parameter: 'temperature' is not supported with this model.",
    ),
    "effort from gpt-4.1": (
        "/responses", {**RESPONSE, "model": "gpt-4.1", "reasoning": {"effort": "low"}},
        "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
    ),
    "an embedding of pictures": (
        "/embeddings", {"model": "m", "input": [{"image": "x"}]},
        "Invalid type for 'input[0]': expected a string, but got an object instead.",
    ),
    "an embedding of nothing": (
        "/embeddings", {"model": "m", "input": []},
        ("Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty "
        "array instead."),
    ),
    "a moderation of a number": (
        "/moderations", {"input": 5},
        "Invalid type for 'input': expected one of a string or an array, but got an integer instead.",
    ),
    "eleven pictures": (
        "/images/generations", {"prompt": "A cat.", "n": 11},
        "Invalid 'n': integer above maximum value. Expected a value <= 10, but got 11 instead.",
    ),
    "an edit of nothing": (
        "/images/edits", {"prompt": "A cat."}, "Missing required parameter: 'image'."
    ),
    "speech without a voice": (
        "/audio/speech", {"model": "m", "input": "Hi"}, "Missing required parameter: 'voice'."
    ),
    "hasty speech": (
        "/audio/speech", {"model": "m", "input": "Hi", "voice": "alloy", "speed": 5},
        "Invalid 'speed': integer above maximum value. Expected a value <= 4, but got 5 instead.",
    ),
    "a recording of no model": (
        "/audio/transcriptions", {"file": "a.wav"}, "you must provide a model parameter"
    ),
    "a completion of messages": (
        "/completions", {"model": "m", "messages": [HI]},
        "Unrecognized request argument supplied: messages",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "words"), OTHERS.values(), ids=OTHERS)
def test_what_openai_refuses_elsewhere(path: str, body: Body, words: str) -> None:
    """https://platform.openai.com/docs/api-reference: responses, embeddings, images, audio and the rest."""
    refusal = OPENAI.refusal(path, body)
    assert refusal is not None, "it was served"
    assert refusal.message == words


def test_what_openai_serves_elsewhere() -> None:
    """A loop of a response, thoughts included, and the others' least."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    loop = [{"role": "user", "content": "Hi"}, thought, {**ITEM, "id": "fc_1"}, OUTPUT]
    assert OPENAI.refusal("/responses", {**RESPONSE, "input": loop, "store": False}) is None
    assert OPENAI.refusal("/embeddings", {"model": "m", "input": [[1, 2], [3]]}) is None
    assert OPENAI.refusal("/moderations", {"input": ["a", "b"]}) is None


@pytest.mark.parametrize("choice", [{"a": None}, {"function": None}, {"function": {"name": 1}}])
def test_mistral_wants_the_function_of_a_choice_named(choice: Body) -> None:
    """A choice of a tool without a function's name is refused, and is no failure of the fake."""
    refused = chat(MISTRAL, tool_choice=choice)
    assert refused is not None
    assert refused[0] == 422
    assert refused[1]["message"]["detail"][0]["loc"] == [
        "body",
        "tool_choice",
        "ToolChoice",
        "function",
    ]
    for good in ("any", None, {"type": "function", "function": {"name": "f"}}):
        assert chat(MISTRAL, tool_choice=good) is None
