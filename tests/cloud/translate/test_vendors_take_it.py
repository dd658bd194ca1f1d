"""Translated requests are taken by the vendor of the model, by rules that know nothing of our rows.

Each request wishes for everything that its dialect has and that may be left out, so that whatever our rows
do not know of a family shows as a refusal.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from inferworks.catalog.facts import fact_catalog
from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.completions_to_chat import CompletionsToChat
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.ids import CallId, ModelId
from inferworks.testing.upstreams.anthropic_rules import flaw_in
from inferworks.testing.upstreams.vendors import DEEPSEEK, MISTRAL, OPENAI, VLLM, Vendor

LONG = "user_" + "x" * 145
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
MESSAGES: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hi, in json"}],
    "max_tokens": 1_000_000,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "stop_sequences": ["1.", "\n\n", "2.", "3.", "4.", "5."],
    "metadata": {"user_id": LONG},
    "service_tier": "standard_only",
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "max"},
}
RESPONSES: dict[str, Any] = {
    "input": "hi, in json",
    "max_output_tokens": 1_000_000,
    "temperature": 1.5,
    "top_p": 0.9,
    "user": LONG,
    "service_tier": "flex",
    "reasoning": {"effort": "xhigh"},
    "text": {"verbosity": "low"},
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 2,
    "store": True,
    "truncation": "auto",
}
COMPLETIONS: dict[str, Any] = {
    "prompt": "hi",
    "max_tokens": 1_000_000,
    "temperature": 1.5,
    "top_p": 0.9,
    "user": LONG,
    "stop": ["1.", "2.", "3.", "4."],
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "logit_bias": {"50256": -100},
}
CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hi, in json"}],
    "temperature": 1.5,
    "top_p": 0.9,
    "stop": ["1.", "\n\n", "2."],
    "user": LONG,
    "service_tier": "flex",
    "verbosity": "low",
    "logprobs": True,
    "n": 2,
    "presence_penalty": 0.5,
    "logit_bias": {"50256": -100},
}
A_TOOL = {"name": "now", "input_schema": SCHEMA}
A_RESPONSES_TOOL = {"type": "function", "name": "now", "parameters": SCHEMA}
A_FUNCTION = {"type": "function", "function": {"name": "now", "parameters": SCHEMA}}
FORM = {"type": "json_schema", "name": "f", "schema": SCHEMA}
ASKED: list[tuple[Translation, dict[str, Any]]] = [
    (MessagesToChat(), MESSAGES),
    (MessagesToChat(), {**MESSAGES, "tools": [A_TOOL], "tool_choice": {
        "type": "auto", "disable_parallel_tool_use": True}}),
    (MessagesToChat(), {**MESSAGES, "thinking": {"type": "disabled"}, "output_config": {}}),
    (ResponsesToChat(), RESPONSES),
    (ResponsesToChat(), {**RESPONSES, "text": {"format": FORM}, "reasoning": {"effort": "none"}}),
    (ResponsesToChat(), {**RESPONSES, "text": {"format": {"type": "json_object"}}}),
    (ResponsesToChat(), {**RESPONSES, "tools": [A_RESPONSES_TOOL], "parallel_tool_calls": False}),
    (CompletionsToChat(), COMPLETIONS),
]  # fmt: skip
OPENAIS = [
    "gpt-3.5-turbo", "gpt-4", "gpt-4-turbo", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-nano",
    "chatgpt-4o-latest", "o1", "o3", "o3-mini", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano",
    "gpt-5-2025-08-07", "gpt-5-chat-latest", "gpt-5.1", "gpt-5.2", "gpt-5.4", "gpt-5.4-mini", "gpt-5.5",
    "gpt-5.6-sol", "gpt-6-sol", "gpt-6.1-terra", "gpt-6-astra", "gpt-of-tomorrow",
]  # fmt: skip
CLAUDES = [
    "claude-3-haiku-20240307", "claude-3-5-haiku-latest", "claude-3-7-sonnet-latest",
    "claude-opus-4-0", "claude-opus-4-1", "claude-sonnet-4-20250514", "claude-sonnet-4-5",
    "claude-haiku-4-5", "claude-opus-4-5", "claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-7",
    "claude-opus-4-8", "claude-opus-5", "claude-opus-5-5", "claude-sonnet-5", "claude-sonnet-5-5",
    "claude-haiku-5-5", "claude-fable-5-1", "claude-mythos-5", "claude-of-tomorrow",
]  # fmt: skip


def put_over(way: Translation, provider: str, model: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Request that the upstream is sent for `fields`, leniently."""
    body = msgspec.json.encode({"model": model, **fields})
    facts = fact_catalog().facts(provider, model, dt.date(2027, 1, 1))
    call = Call(
        CallId("c"), way.source, ModelId(model), False, False, body, facts=facts, lenient=True
    )
    sent: dict[str, Any] = msgspec.json.decode(way.ask(call).body)
    return sent


@pytest.mark.parametrize("model", OPENAIS)
def test_every_model_of_openai(model: str) -> None:
    """From every dialect, with every wish."""
    for way, fields in ASKED:
        sent = put_over(way, "openai", model, fields)
        refusal = OPENAI.refusal("/chat/completions", sent)
        assert refusal is None, f"{way.source}: {refusal}"


@pytest.mark.parametrize(
    ("vendor", "provider", "model"),
    [
        (MISTRAL, "mistral", "mistral-large-latest"),
        (DEEPSEEK, "deepseek", "deepseek-chat"),
        (VLLM, "vllm", "llama"),
    ],
    ids=["mistral", "deepseek", "vllm"],
)
def test_other_vendors(vendor: Vendor, provider: str, model: str) -> None:
    """The same, for those who speak OpenAI's dialect with differences."""
    for way, fields in ASKED:
        sent = put_over(way, provider, model, fields)
        refusal = vendor.refusal("/chat/completions", sent)
        assert refusal is None, f"{way.source}: {refusal}"


@pytest.mark.parametrize("model", CLAUDES)
@pytest.mark.parametrize("effort", [None, "none", "minimal", "low", "high", "xhigh", "max"])
def test_every_model_of_anthropic(model: str, effort: str | None) -> None:
    """Chats with every wish, tools and each form of JSON."""
    thinks = {} if effort is None else {"reasoning_effort": effort}
    schema = {"type": "json_schema", "json_schema": {"name": "f", "schema": SCHEMA}}
    forms: tuple[dict[str, Any], ...] = (
        {},
        {"max_tokens": 1_000_000},
        {"tools": [A_FUNCTION], "tool_choice": "required", "parallel_tool_calls": False},
        {"response_format": {"type": "json_object"}},
        {"response_format": schema, "tools": [A_FUNCTION]},
    )
    for form in forms:
        sent = put_over(ChatToMessages(), "anthropic", model, {**CHAT, **thinks, **form})
        assert flaw_in(sent, counts=False, is_beta=False) is None, form


def test_all_ways_to_a_chat_are_tried() -> None:
    """A translation that is added later is tried here, too."""
    assert {way.source for way, _ in ASKED} == {
        Operation.MESSAGES, Operation.RESPONSES, Operation.COMPLETIONS,
    }  # fmt: skip
