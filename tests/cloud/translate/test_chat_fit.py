"""A chat that was put over has the form that the asked model takes, by the rows of its vendor."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import msgspec
import pytest

from inferworks.catalog.facts import ModelFacts, fact_catalog
from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.completions_to_chat import CompletionsToChat
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.errors import CallError
from inferworks.ids import CallId, ModelId

LEAST: dict[Operation, dict[str, Any]] = {
    Operation.MESSAGES: {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 64},
    Operation.RESPONSES: {"input": "hi", "max_output_tokens": 64},
    Operation.COMPLETIONS: {"prompt": "hi", "max_tokens": 64},
    Operation.CHAT: {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 64},
}
TO_CHAT = [MessagesToChat(), ResponsesToChat(), CompletionsToChat()]
A_TOOL = {"name": "now", "input_schema": {"type": "object"}}
A_RESPONSES_TOOL = {"type": "function", "name": "now", "parameters": {"type": "object"}}
A_FUNCTION = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
LONG = "user_" + "x" * 145


def known(provider: str, model: str) -> ModelFacts:
    """Facts of a model, by the rows."""
    return fact_catalog().facts(provider, model, dt.date(2027, 1, 1))


def asked(
    way: Translation, facts: ModelFacts, *, lenient: bool = False, **fields: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the upstream's request for the smallest one and `fields`, and the names left out."""
    body = msgspec.json.encode({"model": "m", **LEAST[way.source], **fields})
    call = Call(
        CallId("c"), way.source, ModelId("m"), False, False, body, facts=facts, lenient=lenient
    )
    put = way.ask(call)
    return msgspec.json.decode(put.body), put.left_out


@pytest.mark.parametrize("way", TO_CHAT, ids=lambda way: way.source)
@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("openai", "gpt-5-mini", "max_completion_tokens"),
        ("openai", "o3", "max_completion_tokens"),
        ("azure", "gpt-5", "max_completion_tokens"),
        ("azure-deployments", "prod", "max_completion_tokens"),
        ("openai-compatible", "gpt-5", "max_completion_tokens"),
        ("mistral", "mistral-large-latest", "max_tokens"),
        ("vllm", "llama", "max_tokens"),
    ],
)
def test_the_limit_goes_by_the_name_that_is_known(
    way: Translation, provider: str, model: str, name: str
) -> None:
    """The limit has the name that the model knows, and only that one, whoever asks."""
    sent, left_out = asked(way, known(provider, model))
    other = {"max_tokens", "max_completion_tokens"} - {name}
    assert sent[name] == 64
    assert not other & sent.keys()
    assert left_out == ()


@pytest.mark.parametrize("way", TO_CHAT, ids=lambda way: way.source)
@pytest.mark.parametrize(
    ("provider", "length"), [("openai", 64), ("openrouter", 128), ("zai", 128), ("mistral", 0)]
)
def test_a_long_user_is_hashed_always_alike(way: Translation, provider: str, length: int) -> None:
    """So that it stays one user, of whom nothing is told; where there is no such field, none is sent."""
    sent, left_out = asked(way, known(provider, "m"), **user_of(way, LONG))
    digest = hashlib.sha256(LONG.encode()).hexdigest()
    assert sent.get("user", "") == digest[:length]
    assert left_out == ()
    short, _ = asked(way, known(provider, "m"), **user_of(way, "ann"))
    assert short.get("user") == ("ann" if length else None)


def user_of(way: Translation, user: str) -> dict[str, Any]:
    """Fields by which a caller of `way` names its user."""
    return {"metadata": {"user_id": user}} if way.source == Operation.MESSAGES else {"user": user}


@pytest.mark.parametrize(
    ("provider", "model", "given", "sent_as"),
    [
        ("openai", "gpt-4.1", "high", None),
        ("openai", "gpt-4o", "low", None),
        ("openai", "gpt-5", "minimal", "minimal"),
        ("openai", "gpt-5", "xhigh", "high"),
        ("openai", "gpt-5", "none", None),
        ("openai", "gpt-5.1", "minimal", "low"),
        ("openai", "gpt-5.1", "none", "none"),
        ("openai", "gpt-5.6-sol", "max", "xhigh"),
        ("openai", "o4-mini", "max", "high"),
        ("openai", "gpt-5-pro", "low", "high"),
        ("deepseek", "deepseek-reasoner", "medium", "high"),
        ("xai", "grok-4", "high", None),
        ("vllm", "qwen3", "minimal", "low"),
    ],
)
def test_an_effort_is_one_that_the_model_knows(
    provider: str, model: str, given: str, sent_as: str | None
) -> None:
    """The nearest, else none at all, and that is told."""
    sent, left_out = asked(ResponsesToChat(), known(provider, model), reasoning={"effort": given})
    assert sent.get("reasoning_effort") == sent_as
    assert left_out == (() if sent_as else ("reasoning.effort",))


@pytest.mark.parametrize(
    ("way", "tools"),
    [(MessagesToChat(), [A_TOOL]), (ResponsesToChat(), [A_RESPONSES_TOOL])],
    ids=["messages", "responses"],
)
def test_tools_beside_no_effort(way: Translation, tools: list[Any]) -> None:
    """OpenAI's newest take functions in a chat only when they are told not to think."""
    facts = known("openai", "gpt-5.6-luna")
    thinks = (
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
        if way.source == Operation.MESSAGES
        else {"reasoning": {"effort": "high"}}
    )
    assert asked(way, facts, tools=tools)[0]["reasoning_effort"] == "none"
    sent, left_out = asked(way, facts, tools=tools, **thinks)
    assert sent["reasoning_effort"] == "none"
    assert len(left_out) == 1
    assert asked(way, facts, **thinks)[0]["reasoning_effort"] == "high"


def test_a_model_without_functions_is_not_offered_any() -> None:
    """The call is refused, so that another offer is asked; or they are left out, if that is wanted."""
    facts = known("openai", "gpt-6-astra")
    with pytest.raises(CallError, match="'tools' cannot be offered"):
        asked(MessagesToChat(), facts, tools=[A_TOOL])
    choice = {"type": "any", "disable_parallel_tool_use": True}
    sent, left_out = asked(
        MessagesToChat(), facts, lenient=True, tools=[A_TOOL], tool_choice=choice
    )
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & sent.keys()
    assert left_out == ("tools",)


@pytest.mark.parametrize(
    ("provider", "model", "most"),
    [("openai", "gpt-4.1", 4), ("deepseek", "deepseek-chat", 16), ("zai", "glm-4.6", 1)],
)
def test_no_more_stops_than_are_taken(provider: str, model: str, most: int) -> None:
    """Stops beyond the bound are refused; leniently the first of them stay."""
    facts, stops = known(provider, model), [f"{n}." for n in range(most + 1)]
    for way, name in ((MessagesToChat(), "stop_sequences"), (CompletionsToChat(), "stop")):
        assert asked(way, facts, **{name: stops[:most]})[0]["stop"] == stops[:most]
        with pytest.raises(CallError, match=f"'{name}' has {most + 1} sequences"):
            asked(way, facts, **{name: stops})
        sent, left_out = asked(way, facts, lenient=True, **{name: stops})
        assert sent["stop"] == stops[:most]
        assert left_out == (name,)


def test_a_model_that_knows_no_stops() -> None:
    """None are sent, and one alone is a text or a list."""
    for stop in ("x", ["x"]):
        with pytest.raises(CallError, match="'stop' has 1 sequences, and 0 are taken"):
            asked(CompletionsToChat(), known("openai", "gpt-5"), stop=stop)
        sent, left_out = asked(CompletionsToChat(), known("openai", "o3"), lenient=True, stop=stop)
        assert "stop" not in sent
        assert left_out == ("stop",)
    assert asked(CompletionsToChat(), known("vllm", "m"), stop="x")[0]["stop"] == "x"


def test_as_many_stops_as_the_upstream_likes() -> None:
    """No bound of ours applies where none is known."""
    stops = [f"{n}." for n in range(40)]
    assert asked(MessagesToChat(), known("vllm", "m"), stop_sequences=stops)[0]["stop"] == stops


def test_sampling_is_left_out_where_it_is_not_taken() -> None:
    """Named, but for the values that ask for nothing."""
    wishes = {"temperature": 0.2, "top_p": 1, "presence_penalty": 0.5, "frequency_penalty": 0}
    sent, left_out = asked(CompletionsToChat(), known("openai", "gpt-5"), **wishes)
    assert not wishes.keys() & sent.keys()
    assert left_out == ("temperature", "presence_penalty")
    sent, left_out = asked(CompletionsToChat(), known("openai", "gpt-4.1"), **wishes)
    assert {name: sent[name] for name in wishes} == wishes
    assert left_out == ()


def test_probabilities_are_not_left_out_in_silence() -> None:
    """A request that asks for probabilities needs them: it is refused, or the omission is named."""
    wants: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    with pytest.raises(CallError, match="'include' are not told"):
        asked(ResponsesToChat(), known("openai", "o3"), **wants)
    sent, left_out = asked(ResponsesToChat(), known("openai", "o3"), lenient=True, **wants)
    assert not {"logprobs", "top_logprobs"} & sent.keys()
    assert len(left_out) == 1
    assert asked(ResponsesToChat(), known("openai", "gpt-4.1"), **wants)[0]["top_logprobs"] == 2


def test_a_temperature_that_is_too_high() -> None:
    """A temperature that is too high is refused, or capped."""
    facts = known("moonshot", "kimi-k2")
    with pytest.raises(CallError, match="'temperature' cannot be above 1"):
        asked(ResponsesToChat(), facts, temperature=1.5)
    sent, left_out = asked(ResponsesToChat(), facts, lenient=True, temperature=1.5)
    assert (sent["temperature"], left_out) == (1, ("temperature",))


def test_what_only_some_have() -> None:
    """`top_k` is of engines, `verbosity` of OpenAI's newest, tiers are OpenAI's."""
    openai, engine = known("openai", "gpt-4.1"), known("vllm", "m")
    assert asked(MessagesToChat(), engine, top_k=5)[0]["top_k"] == 5
    assert asked(MessagesToChat(), openai, top_k=5)[1] == ("top_k",)
    low = {"text": {"verbosity": "low"}}
    assert asked(ResponsesToChat(), known("openai", "gpt-5"), **low)[0]["verbosity"] == "low"
    sent, left_out = asked(ResponsesToChat(), openai, **low)
    assert ("verbosity" in sent, left_out) == (False, ("text.verbosity",))
    assert asked(ResponsesToChat(), openai, service_tier="flex")[0]["service_tier"] == "flex"
    assert "service_tier" not in asked(ResponsesToChat(), engine, service_tier="auto")[0]
    with pytest.raises(CallError, match="'service_tier' is not known"):
        asked(ResponsesToChat(), engine, service_tier="flex")
    assert asked(ResponsesToChat(), engine, lenient=True, service_tier="flex")[1] == (
        "service_tier",
    )


@pytest.mark.parametrize(
    ("model", "given", "thinking"),
    [
        ("claude-sonnet-4-5", "none", {"type": "disabled"}),
        ("claude-opus-5", "none", {"type": "disabled"}),
        ("claude-opus-4-7", "none", None),
        ("claude-opus-5-5", "none", None),
        ("claude-opus-5-5", "low", {"type": "adaptive"}),
        ("claude-sonnet-4-5", "low", {"type": "enabled", "budget_tokens": 2048}),
    ],
)
def test_thinking_as_each_claude_takes_it(model: str, given: str, thinking: Any) -> None:
    """Switched off only where it can be, by budget or by effort."""
    facts = known("anthropic", model)
    sent, left_out = asked(ChatToMessages(), facts, reasoning_effort=given, max_tokens=9000)
    assert sent.get("thinking") == thinking
    assert left_out == (() if thinking else ("reasoning_effort",))


@pytest.mark.parametrize("way", [ChatToMessages(), ChatToConverse()], ids=lambda way: way.target)
def test_a_model_that_cannot_be_made_to_call_a_tool(way: Translation) -> None:
    """An order is refused or becomes an offer; an answer in JSON is asked for by an offer and in words."""
    provider = "anthropic" if way.target == Operation.MESSAGES else "bedrock"
    name = "claude-opus-5-5" if provider == "anthropic" else "anthropic.claude-opus-5-5"
    facts, forced = known(provider, name), {"tools": [A_FUNCTION], "tool_choice": "required"}
    with pytest.raises(CallError, match="'tool_choice' cannot demand a tool"):
        asked(way, facts, **forced)
    sent, left_out = asked(way, facts, lenient=True, **forced)
    auto = {"type": "auto"} if provider == "anthropic" else {"auto": {}}
    config = sent if provider == "anthropic" else sent["toolConfig"]
    assert (config.get("tool_choice", config.get("toolChoice")), left_out) == (
        auto,
        ("tool_choice",),
    )
    sent, left_out = asked(way, facts, response_format={"type": "json_object"})
    config = sent if provider == "anthropic" else sent["toolConfig"]
    assert config.get("tool_choice", config.get("toolChoice")) == auto
    assert "answer_in_json" in sent["system"][-1]["text"]
    assert left_out == ()


@pytest.mark.parametrize("way", [ChatToMessages(), ChatToConverse()], ids=lambda way: way.target)
def test_one_of_two_ways_to_choose_words(way: Translation) -> None:
    """Claude from 4.1 to 4.6 takes a temperature or a share, and refuses both."""
    provider = "anthropic" if way.target == Operation.MESSAGES else "bedrock"
    facts = known(provider, "anthropic.claude-sonnet-4-5")
    sent, left_out = asked(way, facts, temperature=0.5, top_p=0.9)
    assert left_out == ("top_p",)
    assert "top_p" not in msgspec.json.encode(sent).decode().lower().replace("topp", "top_p")
    assert asked(way, facts, top_p=0.9)[1] == ()


SETTINGS = (
    "temperature", "top_p", "top_k", "seed", "stop", "stop_sequences", "max_tokens", "max_output_tokens",
    "max_completion_tokens", "logit_bias", "logprobs", "top_logprobs", "verbosity", "service_tier", "user",
    "reasoning_effort", "reasoning", "response_format", "text", "tools", "tool_choice", "metadata", "n",
    "presence_penalty", "frequency_penalty", "parallel_tool_calls",
)  # fmt: skip
VALUES = (
    None,
    True,
    7,
    -1.5,
    "x",
    "",
    [],
    [1],
    [[]],
    ["x", None],
    {},
    {"type": 1},
    {"type": "x"},
    {"a": [{}]},
)


@pytest.mark.parametrize("translation", [*TO_CHAT, ChatToMessages(), ChatToConverse()], ids=type)
@pytest.mark.parametrize("vendor", ["openai", "deepseek", "mistral", "groq", "anthropic", "nobody"])
def test_any_value_of_a_setting_is_taken_or_refused(translation: Translation, vendor: str) -> None:
    """No value of the wrong kind in any setting, for any model, is a failure of ours."""
    models = {"openai": "gpt-5", "deepseek": "deepseek-reasoner", "anthropic": "claude-opus-4-1"}
    facts = known(vendor, models.get(vendor, "x"))
    for name in SETTINGS:
        for value in VALUES:
            body = {"model": "m", **LEAST[translation.source], name: value}
            call = Call(
                CallId("call_1"), translation.source, ModelId("m"), False, wants_usage=False,
                body=msgspec.json.encode(body), facts=facts, asked_as="m",
            )  # fmt: skip
            try:
                translation.ask(call)
            except CallError as error:
                assert error.status == 400, (name, value)  # noqa: PT017 both ends are fine
