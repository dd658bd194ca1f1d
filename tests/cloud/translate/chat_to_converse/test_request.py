"""A chat as a request of Converse: turns that alternate, limits, tools, and the form of the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.cloud.translate.asking import asked

from inferworks.catalog.facts import UNKNOWN_MODEL, ModelFacts
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.json_tool import JSON_TOOL, TO_BE_CALLED
from inferworks.cloud.translate.tool_results import BEGINNING
from inferworks.errors import CallError

SERVES = "Bedrock's Converse, which serves this model"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object"}},
}
SPEC = {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": CLOSED}}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": ""}}],
}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "ok"}


def facts(**known: Any) -> ModelFacts:
    """Facts of a model of which only `known` is known."""
    return msgspec.structs.replace(UNKNOWN_MODEL, **known)


def converse_of(known: ModelFacts = UNKNOWN_MODEL, **fields: Any) -> Any:
    """The request that a chat with `fields` becomes, none of which is left out."""
    request, left_out = asked(Operation.CHAT, Operation.CONVERSE, known, **fields)
    assert left_out == ()
    return request


def refusal(known: ModelFacts = UNKNOWN_MODEL, **fields: Any) -> tuple[str | None, str]:
    """The field that a chat with `fields` is refused for, and the text that says so."""
    with pytest.raises(CallError) as refused:
        asked(Operation.CHAT, Operation.CONVERSE, known, **fields)
    assert refused.value.status == 400
    return refused.value.param, refused.value.message


def user(content: object) -> dict[str, Any]:
    """A message of the user's."""
    return {"role": "user", "content": content}


def test_the_least_request_is_its_messages() -> None:
    """The model's name stands in the path, so the body has the turns and nothing else."""
    assert converse_of() == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}


def test_neighbours_of_one_role_are_one_turn() -> None:
    """Turns alternate, results are the user's, and blank texts are in none of them."""
    said = [user("a"), user(" "), user("b"), CALLED, RESULT, user("c")]
    turns = converse_of(messages=said, tools=[TOOL])["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[0]["content"] == [{"text": "a"}, {"text": "b"}]
    assert turns[1]["content"] == [{"toolUse": {"toolUseId": "a", "name": "look", "input": {}}}]
    assert turns[2]["content"] == [
        {"toolResult": {"toolUseId": "a", "content": [{"text": "ok"}]}},
        {"text": "c"},
    ]


@pytest.mark.parametrize(
    "said",
    [[{"role": "system", "content": "Be brief"}], [{"role": "assistant", "content": "Hello"}], [user(" ")]],
)  # fmt: skip
def test_a_conversation_begins_with_the_user(said: list[Any]) -> None:
    """Bedrock takes no conversation that the user did not begin, so a word of the user's is put first."""
    first = converse_of(messages=said)["messages"][0]
    assert first == {"role": "user", "content": [{"text": BEGINNING}]}


def test_instructions_at_the_head_are_the_systems() -> None:
    """Instructions before the first turn are one list of texts; an empty one is none."""
    said = [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, user("Hi")]
    assert converse_of(messages=said)["system"] == [{"text": "a"}, {"text": "b"}]
    said[:2] = [{"role": "system", "content": ""}]
    assert "system" not in converse_of(messages=said)


def test_an_instruction_of_a_picture_is_refused() -> None:
    """The system is told by texts alone."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    said = [{"role": "system", "content": [image]}, user("Hi")]
    assert refusal(messages=said) == (
        "messages[0]",
        f"'messages[0]' has an instruction that is no text, for {SERVES}.",
    )


@pytest.mark.parametrize(
    ("fields", "inference"),
    [
        ({"max_tokens": 5}, {"maxTokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"maxTokens": 6}),
        ({"temperature": 1}, {"temperature": 1}),
        ({"top_p": 0.5}, {"topP": 0.5}),
        ({"stop": "a"}, {"stopSequences": ["a"]}),
        ({"stop": ["a", "\n"]}, {"stopSequences": ["a", "\n"]}),
        ({"stop": []}, None),
        ({"stop": None}, None),
    ],
)
def test_limits_and_sampling(fields: dict[str, Any], inference: object) -> None:
    """Every limit has its place in `inferenceConfig`, which is not there without any."""
    assert converse_of(**fields).get("inferenceConfig") == inference


def test_limits_are_fitted_to_the_model() -> None:
    """A model's own bounds hold: of the output, of blank stops, and of two ways to sample."""
    assert converse_of(facts(most_output=4), max_tokens=5)["inferenceConfig"] == {"maxTokens": 4}
    assert converse_of(facts(blank_stops=False), stop=["\n", "a"])["inferenceConfig"] == {
        "stopSequences": ["a"]
    }
    one = facts(top_p_beside_temperature=False)
    request, left_out = asked(Operation.CHAT, Operation.CONVERSE, one, temperature=0.5, top_p=0.9)
    assert (request["inferenceConfig"], left_out) == ({"temperature": 0.5}, ("top_p",))
    none = facts(temperature=0)
    request, left_out = asked(Operation.CHAT, Operation.CONVERSE, none, temperature=0.5)
    assert ("inferenceConfig" in request, left_out) == (False, ("temperature",))


def test_a_temperature_above_one_is_refused() -> None:
    """OpenAI's scale ends at 2 and Bedrock's at 1; a wish beyond it cannot be met."""
    assert refusal(temperature=1.01) == (
        "temperature",
        f"'temperature' cannot be above 1 for {SERVES}.",
    )


@pytest.mark.parametrize("tier", ["default", "flex", "priority"])
def test_a_tier_by_its_name(tier: str) -> None:
    """Tiers of both have the same names."""
    assert converse_of(service_tier=tier)["serviceTier"] == {"type": tier}


def test_other_tiers() -> None:
    """A tier that is left to the provider is not said, and one that Bedrock lacks is refused."""
    assert "serviceTier" not in converse_of(service_tier="auto")
    assert refusal(service_tier="scale") == (
        "service_tier",
        f"'service_tier' cannot be 'scale' for {SERVES}.",
    )


def test_fields_of_converses_and_of_its_models() -> None:
    """Converse's own fields stay where they stand; a model's go among the additional ones."""
    request = converse_of(
        guardrailConfig={"a": 1}, top_k=5, additionalModelRequestFields={"b": 2, "top_k": 4}
    )
    assert request["guardrailConfig"] == {"a": 1}
    assert request["additionalModelRequestFields"] == {"b": 2, "top_k": 5}


def test_an_effort_that_the_model_knows() -> None:
    """An effort goes to a model that has any, as the nearest of them; to be silent is to ask for none."""
    request = converse_of(facts(efforts=("low", "high")), reasoning_effort="minimal")
    assert request["outputConfig"] == {"effort": "low"}
    assert "outputConfig" not in converse_of(reasoning_effort="none")
    request, left_out = asked(
        Operation.CHAT, Operation.CONVERSE, facts(efforts=()), reasoning_effort="low"
    )
    assert ("outputConfig" in request, left_out) == (False, ("reasoning_effort",))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (None, None),
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "look"}}, {"tool": {"name": "look"}}),
    ],
)
def test_tools_and_their_choice(choice: object, said: object) -> None:
    """A choice is said in Converse's words, and not at all where the caller made none."""
    config = converse_of(tools=[TOOL], tool_choice=choice)["toolConfig"]
    assert config == {"tools": [SPEC]} | ({} if said is None else {"toolChoice": said})


def test_no_tools_are_shown_where_none_may_be_called() -> None:
    """Converse cannot show tools and forbid them; a chat that has called some needs them."""
    assert "toolConfig" not in converse_of(tools=[TOOL], tool_choice="none")
    said = [user("Hi"), CALLED, RESULT]
    assert refusal(tools=[TOOL], tool_choice="none", messages=said) == (
        "tool_choice",
        f"'tool_choice' cannot be 'none' in a chat with calls of tools for {SERVES}.",
    )


def test_a_tool_with_a_description_and_a_mark_for_the_cache() -> None:
    """A mark stands behind its tool; strictness is said to a model that has a mode for schemas."""
    function = {"name": "look", "description": "d", "parameters": CLOSED, "strict": True}
    tool = {"type": "function", "function": function, "cache_control": {"type": "ephemeral"}}
    spec: dict[str, Any] = {"name": "look", "description": "d", "inputSchema": {"json": CLOSED}}
    mark = {"cachePoint": {"type": "default"}}
    tools = converse_of(facts(json_modes=()), tools=[tool])["toolConfig"]["tools"]
    assert tools == [{"toolSpec": spec}, mark]
    strict = converse_of(facts(json_modes=("json_schema",)), tools=[tool])["toolConfig"]["tools"]
    assert strict == [{"toolSpec": {**spec, "strict": True}}, mark]


def test_one_call_at_a_time_is_said_in_claudes_words() -> None:
    """Claude has a choice of its own for it, which stands alone; other models are not told."""
    fields = {"tools": [TOOL], "parallel_tool_calls": False}
    request, left_out = asked(
        Operation.CHAT, Operation.CONVERSE, model="anthropic.claude-4", tool_choice="auto", **fields
    )
    assert (left_out, request["toolConfig"]) == ((), {"tools": [SPEC]})
    assert request["additionalModelRequestFields"] == {
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}
    }
    request, left_out = asked(Operation.CHAT, Operation.CONVERSE, model="nova", **fields)
    assert left_out == ("parallel_tool_calls",)
    assert "additionalModelRequestFields" not in request


def test_a_forced_call_is_one_call_anyway() -> None:
    """To demand any of one tool is to force it, so one call at a time asks for nothing."""
    config = converse_of(tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    assert config["toolConfig"]["toolChoice"] == {"any": {}}
    assert converse_of(parallel_tool_calls=False).keys() == {"messages"}


def test_an_answer_by_a_schema_where_there_is_a_mode() -> None:
    """A model with a mode for schemas is given the schema as text."""
    request = converse_of(facts(json_modes=("json_schema",)), response_format=SCHEMA)
    wanted = request["outputConfig"]["textFormat"]
    assert wanted["type"] == "json_schema"
    assert msgspec.json.decode(wanted["structure"]["jsonSchema"]["schema"]) == CLOSED
    assert "toolConfig" not in request


@pytest.mark.parametrize("forced_tools", [True, False])
def test_an_answer_by_a_tool_where_there_is_no_mode(forced_tools: bool) -> None:
    """A model without a mode must call a tool whose input is the answer, or is told to."""
    known = facts(json_modes=(), forced_tools=forced_tools)
    request = converse_of(known, response_format=SCHEMA)
    (tool,) = request["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == JSON_TOOL
    assert tool["toolSpec"]["inputSchema"] == {"json": CLOSED}
    assert request["toolConfig"]["toolChoice"] == ({"any": {}} if forced_tools else {"auto": {}})
    assert request.get("system") == (None if forced_tools else [{"text": TO_BE_CALLED}])


def test_a_tool_cannot_have_our_name() -> None:
    """A tool of the caller's with the name of ours would be taken for the answer."""
    taken = {"type": "function", "function": {"name": JSON_TOOL}}
    assert refusal(facts(json_modes=()), tools=[taken], response_format=SCHEMA) == (
        "tools",
        f"'tools' has the name '{JSON_TOOL}', which is ours here; choose another.",
    )


def test_a_model_that_must_call_does_not_think_before() -> None:
    """An effort beside a forced call is left out and named."""
    known = facts(efforts=("low",))
    fields = {"tools": [TOOL], "tool_choice": "required", "reasoning_effort": "low"}
    request, left_out = asked(Operation.CHAT, Operation.CONVERSE, known, **fields)
    assert ("outputConfig" in request, left_out) == (False, ("reasoning_effort",))
    fields["tool_choice"] = "auto"
    assert converse_of(known, **fields)["outputConfig"] == {"effort": "low"}
