"""Requests in the form that the asked model takes, by the rows that are shipped."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import msgspec
import pytest

from inferworks.catalog.facts import ModelFacts, fact_catalog
from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.errors import CallError
from inferworks.ids import CallId, ModelId
from inferworks.testing.upstreams.anthropic_rules import flaw_in

from .asking import call_of

TODAY = dt.date(2026, 11, 29)
TEXT = [{"type": "text", "text": "See"}]
HELLO = {"role": "user", "content": "Hi"}
TOOL = {"name": "read", "description": "Reads.", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "read", "parameters": {}}}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    ],
}
ANSWER = {"role": "tool", "tool_call_id": "a", "content": "ok"}


def ask(way: Translation, facts: ModelFacts, model: str = "m", **fields: Any) -> tuple[Any, Any]:
    """Return the request sent to a model with these facts, and the names left out."""
    start: dict[str, Any] = {"model": "m"}
    start |= {"input": "Hi"} if isinstance(way, ResponsesToChat) else {"messages": [HELLO]}
    if isinstance(way, MessagesToChat):
        start["max_tokens"] = 32_000
    body = json.dumps({**start, **fields}).encode()
    call = Call(
        CallId("c"), way.source, ModelId("m"), False, True, body, facts=facts, asked_as=model
    )
    down = way.ask(call)
    return json.loads(down.body), down.left_out


def as_messages(provider: str, model: str, **fields: Any) -> tuple[Any, Any]:
    """Return the chat sent for a message to a provider's model, and the names left out."""
    return ask(MessagesToChat(), fact_catalog().facts(provider, model, TODAY), **fields)


def as_chat(provider: str, model: str, **fields: Any) -> tuple[Any, Any]:
    """Return the request sent for a chat to a model of Anthropic's or Bedrock's, and the names left out."""
    way = ChatToConverse() if provider == "bedrock" else ChatToMessages()
    return ask(way, fact_catalog().facts(provider, model, TODAY), model, **fields)


def test_what_claude_code_asks_of_openai() -> None:
    """The limit by its name and no higher than it may be, a short label, no temperature of one's own."""
    user = {"user_id": "x" * 150}
    body, left_out = as_messages("openai", "gpt-5-mini", metadata=user, temperature=1)
    assert (body["max_completion_tokens"], len(body["user"]), left_out) == (32_000, 64, ())
    assert not {"max_tokens", "temperature"} & body.keys()
    body, left_out = as_messages(
        "openai", "gpt-4o", temperature=0.5, output_config={"effort": "high"}
    )
    assert (body["max_completion_tokens"], body["temperature"]) == (16_384, 0.5)
    assert left_out == ("output_config.effort",)
    body, left_out = as_messages("openai", "gpt-5", temperature=0.5, thinking={"type": "adaptive"})
    assert left_out == ("temperature",)
    body, _ = as_messages("mistral", "mistral-large", metadata=user)
    assert "user" not in body


@pytest.mark.parametrize(
    ("model", "wanted", "effort"),
    [
        ("gpt-5", "max", "high"),
        ("gpt-5.2", "max", "xhigh"),
        ("gpt-5", "low", "low"),
        ("gpt-4.1", "low", None),
    ],
)
def test_efforts_are_those_that_the_model_knows(
    model: str, wanted: str, effort: str | None
) -> None:
    """The nearest of them, or none where the field is refused."""
    body, left_out = as_messages("openai", model, output_config={"effort": wanted})
    assert body.get("reasoning_effort") == effort
    assert left_out == (() if effort else ("output_config.effort",))


def test_no_effort_is_said_where_it_can_be() -> None:
    """Thinking that is switched off stays so; a model that cannot think is not asked to."""
    off = {"type": "disabled"}
    assert as_messages("openai", "gpt-5.2", thinking=off)[0]["reasoning_effort"] == "none"
    body, left_out = as_messages("openai", "gpt-4o", thinking=off)
    assert ("reasoning_effort" in body, left_out) == (False, ())


def test_long_descriptions_stand_among_the_instructions() -> None:
    """OpenAI takes 1,024 characters in their place; nothing of them is lost."""
    long = {**TOOL, "name": "bash", "description": "Runs. " * 500}
    body, left_out = as_messages("openai", "gpt-5", tools=[TOOL, long], system="Be brief.")
    short, cut = (tool["function"]["description"] for tool in body["tools"])
    assert (short, len(cut), left_out) == ("Reads.", 1024, ())
    head, told, _ = body["messages"]
    assert head["content"] == "Be brief."
    assert (told["role"], long["description"] in told["content"]) == ("system", True)
    body, _ = as_messages("deepseek", "deepseek-v4", tools=[long])
    assert body["tools"][0]["function"]["description"] == long["description"]


def test_thoughts_of_past_turns() -> None:
    """Thoughts go to models that take them; where lost ones are needed beside calls, a word says so."""
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "abc"}
    use = {"type": "tool_use", "id": "a", "name": "read", "input": {}}
    result = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}],
    }
    said: dict[tuple[str, bool], Any] = {}
    for provider in ("openai", "vllm", "deepseek"):
        for is_ours in (True, False):
            turn = {"role": "assistant", "content": [thought if is_ours else signed, use]}
            body, _ = as_messages(provider, "m", messages=[HELLO, turn, result])
            said[provider, is_ours] = body["messages"][1].get("reasoning_content")
    assert said["vllm", True] == said["deepseek", True] == "Hm."
    assert said["openai", True] is said["openai", False] is said["vllm", False] is None
    assert said["deepseek", False]


def test_strict_is_said_where_it_holds() -> None:
    """OpenAI wants every field required, Anthropic no bounds; other schemas go along unpromised."""
    some = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "additionalProperties": False,
    }
    whole = {**some, "required": ["a"]}
    bound = {**whole, "properties": {"a": {"type": "string", "maxLength": 3}}}
    for schema, at_openai, at_anthropic in (
        (some, False, True),
        (whole, True, True),
        (bound, True, False),
    ):
        tool = {"name": "f", "strict": True, "input_schema": schema}
        output = {"format": {"type": "json_schema", "schema": schema}}
        body, _ = as_messages("openai", "gpt-5", tools=[tool], output_config=output)
        assert body["tools"][0]["function"].get("strict", False) == at_openai
        assert body["response_format"]["json_schema"]["strict"] == at_openai
        function = {
            "type": "function",
            "function": {"name": "f", "strict": True, "parameters": schema},
        }
        body, _ = as_chat("anthropic", "claude-sonnet-4-5", tools=[function])
        assert body["tools"][0].get("strict", False) == at_anthropic
        body, _ = as_chat("anthropic", "claude-3-5-haiku-20241022", tools=[function])
        assert "strict" not in body["tools"][0]


def test_thinking_by_a_budget() -> None:
    """A model without efforts thinks by a budget, within its limit, and not amid calls without thoughts."""
    body, _ = as_chat("anthropic", "claude-sonnet-4-5", reasoning_effort="high")
    budget = body["thinking"]["budget_tokens"]
    assert 1024 <= budget < body["max_tokens"]
    body, _ = as_chat("anthropic", "claude-sonnet-4-5", reasoning_effort="high", max_tokens=3000)
    assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (3000, 2999)
    body, left_out = as_chat(
        "anthropic", "claude-sonnet-4-5", reasoning_effort="low", max_tokens=500
    )
    assert ("thinking" in body, left_out) == (False, ("reasoning_effort",))
    lost = {"messages": [HELLO, CALLED, ANSWER], "tools": [FUNCTION], "reasoning_effort": "low"}
    body, left_out = as_chat("anthropic", "claude-sonnet-4-5", **lost)
    assert ("thinking" in body, left_out) == (False, ("reasoning_effort",))
    signed = {
        **CALLED,
        "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}],
    }
    body, _ = as_chat(
        "anthropic", "claude-sonnet-4-5", **{**lost, "messages": [HELLO, signed, ANSWER]}
    )
    assert body["thinking"]["type"] == "enabled"
    assert body["messages"][1]["content"][0]["signature"] == "s"
    body, _ = as_chat("anthropic", "claude-sonnet-4-6", **lost)
    assert body["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "thinking", "thinking": "Hm.", "signature": None},
        {"type": "thinking", "thinking": "Hm."},
        {"type": "redacted_thinking", "data": ""},
    ],
)
def test_thoughts_that_nobody_signed_are_left_out(block: dict[str, Any]) -> None:
    """Unsigned thoughts are of another vendor's model, and Claude refuses them; signed ones stay."""
    signed = {"type": "thinking", "thinking": "Ha.", "signature": "s"}
    turn = {**CALLED, "thinking_blocks": [block, signed]}
    fields = {"messages": [HELLO, turn, ANSWER], "tools": [FUNCTION]}
    body, _ = as_chat("anthropic", "claude-sonnet-4-5", **fields)
    assert [part["type"] for part in body["messages"][1]["content"]] == ["thinking", "tool_use"]
    body, _ = as_chat("bedrock", "anthropic.claude-sonnet-4-5", **fields)
    thoughts, _ = body["messages"][1]["content"]
    assert thoughts == {"reasoningContent": {"reasoningText": {"text": "Ha.", "signature": "s"}}}


BLANK = [{"type": "text", "text": " "}, {"type": "text", "text": "\n"}]
BRIEF = {"role": "developer", "content": "Be brief."}


@pytest.mark.parametrize(
    ("behind", "thinks"),
    [
        ([{"role": "user", "content": ""}], False),
        ([{"role": "user", "content": BLANK}, {"role": "user", "content": "  "}], False),
        ([{"role": "user", "content": "Go on."}], False),
        ([BRIEF], False),
        ([BRIEF, {"role": "user", "content": "Go on."}, BRIEF], False),
        ([{"role": "assistant", "content": " "}, HELLO], False),
        ([{"role": "assistant", "content": "Done."}, HELLO], True),
    ],
)
def test_thoughts_are_missed_in_what_is_sent(behind: list[Any], thinks: bool) -> None:
    """A turn that called is not over, whatever stands beside the results, even if it is blank."""
    fields = {"messages": [HELLO, CALLED, ANSWER, *behind], "tools": [FUNCTION]}
    for model in ("claude-sonnet-4-5", "claude-haiku-4-5"):
        body, left_out = as_chat("anthropic", model, **fields, reasoning_effort="low")
        assert flaw_in({**body, "model": model}, counts=False, is_beta=False) is None
        assert ("thinking" in body, left_out) == (thinks, () if thinks else ("reasoning_effort",))


SAID = {"role": "assistant", "content": "Yes?"}
KIND = {"role": "system", "content": "Be kind."}


@pytest.mark.parametrize(
    ("messages", "old", "new"),
    [
        ([HELLO, BRIEF, HELLO], "u:Hi|<system>Be brief.</system>|Hi", None),
        ([HELLO, SAID, BRIEF, HELLO], "u:Hi a:Yes? u:<system>Be brief.</system>|Hi", None),
        ([HELLO, SAID, BRIEF], "u:Hi a:Yes? u:<system>Be brief.</system>", None),
        ([HELLO, BRIEF, KIND], "u:Hi|<system>Be brief.</system>|<system>Be kind.</system>",
         "u:Hi s:Be brief.|Be kind."),
        ([HELLO, BRIEF, SAID, HELLO], "u:Hi|<system>Be brief.</system> a:Yes? u:Hi",
         "u:Hi s:Be brief. a:Yes? u:Hi"),
        ([HELLO, BRIEF, HELLO, KIND], "u:Hi|<system>Be brief.</system>|Hi|<system>Be kind.</system>",
         "u:Hi|<system>Be brief.</system>|Hi s:Be kind."),
        ([HELLO, CALLED, BRIEF, ANSWER], "u:Hi a:(read) u:(ok)|<system>Be brief.</system>",
         "u:Hi a:(read) u:(ok) s:Be brief."),
        ([HELLO, CALLED, BRIEF, ANSWER, HELLO], "u:Hi a:(read) u:(ok)|<system>Be brief.</system>|Hi", None),
        ([{"role": "user", "content": " "}, BRIEF, HELLO], "s:Be brief. u:Hi", "s:Be brief. u:Hi"),
        ([HELLO, {"role": "system", "content": " "}], "u:Hi", "u:Hi"),
    ],
)  # fmt: skip
def test_instructions_are_told_where_they_are_heard(
    messages: list[Any], old: str, new: str | None
) -> None:
    """In turns of the system only for models that take them, and only where these may stand."""
    tools: Any = {"tools": [FUNCTION]} if CALLED in messages else {}
    for model, wanted in (
        ("claude-sonnet-4-5", old), ("claude-opus-4-7", old), ("claude-sonnet-5", old),
        ("claude-opus-4-8", new or old), ("claude-opus-5-5", new or old),
    ):  # fmt: skip
        body, left_out = as_chat("anthropic", model, messages=messages, **tools)
        assert (told(body), left_out) == (wanted, ())
        assert flaw_in({**body, "model": model}, counts=False, is_beta=False) is None
    for provider in ("vertex-anthropic", "bedrock-anthropic"):
        body, _ = ask(
            ChatToMessages(),
            fact_catalog().facts(provider, "anthropic.claude-opus-4-8", TODAY),
            messages=messages,
            **tools,
        )
        assert told(body) == old
    body, _ = as_chat("bedrock", "anthropic.claude-opus-4-8", messages=messages, **tools)
    assert told(body) == old


def told(body: Any) -> str:
    """The words of a request to Anthropic or Bedrock, with the first letter of who says them."""
    turns = [{"role": "system", "content": body.get("system", [])}, *body["messages"]]
    return " ".join(
        f"{turn['role'][0]}:{'|'.join(words(turn['content']))}" for turn in turns if turn["content"]
    )


def words(content: Any) -> list[str]:
    """The texts of a turn; of a call the name, of a result what came."""
    if isinstance(content, str):
        return [content]
    blocks = [block.get("toolUse") or block.get("toolResult") or block for block in content]
    inner = [block.get("name") or words(block.get("content", ""))[0] for block in blocks]
    return [block.get("text", f"({name})") for block, name in zip(blocks, inner, strict=True)]


@pytest.mark.parametrize("provider", ["deepseek", "gemini", "ollama", "moonshot"])
def test_one_call_at_a_time_where_nobody_knows_it(provider: str) -> None:
    """A wish that is left out and named; void beside a call that is forced, in whatever words."""
    facts = fact_catalog().facts(provider, "m", TODAY)
    once = {"disable_parallel_tool_use": True}
    for choice, tools, named in (
        ({"type": "auto"}, [TOOL], True),
        ({"type": "any"}, [TOOL, {**TOOL, "name": "write"}], True),
        ({"type": "any"}, [TOOL], False),
        ({"type": "tool", "name": "read"}, [TOOL], False),
    ):
        body, left_out = ask(MessagesToChat(), facts, tools=tools, tool_choice={**choice, **once})
        assert "parallel_tool_calls" not in body
        assert left_out == (("tool_choice.disable_parallel_tool_use",) if named else ())
    for wish, named in ((False, True), (True, False)):
        body, left_out = ask(
            ResponsesToChat(),
            facts,
            tools=[{"type": "function", "name": "read", "parameters": {}}],
            parallel_tool_calls=wish,
        )
        assert "parallel_tool_calls" not in body
        assert left_out == (("parallel_tool_calls",) if named else ())


def test_wishes_about_sampling() -> None:
    """None beside thinking or for a model that takes none, and of temperature and top_p the first."""
    both = {"temperature": 0.2, "top_p": 0.9}
    body, left_out = as_chat("anthropic", "claude-sonnet-4-5", **both)
    assert (body["temperature"], left_out) == (0.2, ("top_p",))
    for model, more in (
        ("claude-opus-4-8", {}),
        ("claude-sonnet-4-5", {"reasoning_effort": "low"}),
    ):
        body, left_out = as_chat("anthropic", model, **both, **more)
        assert not both.keys() & body.keys()
        assert left_out == ("temperature", "top_p")


def test_a_model_that_cannot_be_told_to_call() -> None:
    """A model that cannot be made to call is told in words to answer by a call; an order is refused."""
    json_object = {"type": "json_object"}
    for provider in ("anthropic", "bedrock"):
        body, _ = as_chat(provider, "claude-opus-5-5", response_format=json_object)
        assert "answer_in_json" in json.dumps(body["system"])
        assert "any" not in json.dumps(body)
        with pytest.raises(CallError, match="tool_choice"):
            as_chat(provider, "claude-opus-5-5", tools=[FUNCTION], tool_choice="required")


def test_one_call_at_a_time_on_bedrock() -> None:
    """Claude says it in its own words, alone; for others it is left out; a forced call is one."""
    other = {"type": "function", "function": {"name": "write", "parameters": {}}}
    fields = {"tools": [FUNCTION, other], "parallel_tool_calls": False}
    once = {"disable_parallel_tool_use": True}
    for choice, kind in ((None, "auto"), ("auto", "auto"), ("required", "any")):
        body, _ = as_chat(
            "bedrock", "anthropic.claude-sonnet-4-5-v1:0", **fields, tool_choice=choice
        )
        assert body["additionalModelRequestFields"]["tool_choice"] == {"type": kind, **once}
        assert "toolChoice" not in body["toolConfig"]
    thinks = {"reasoning_effort": "low", "tool_choice": "required"}
    body, left_out = as_chat("bedrock", "anthropic.claude-sonnet-4-6-v1:0", **fields, **thinks)
    assert ("outputConfig" in body, left_out) == (False, ("reasoning_effort",))
    for model in ("anthropic.claude-sonnet-4-5-v1:0", "amazon.nova-pro-v1:0"):
        body, _ = as_chat("bedrock", model, **fields, tool_choice=FUNCTION)
        assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "read"}}
        assert "additionalModelRequestFields" not in body
    body, left_out = as_chat("bedrock", "amazon.nova-pro-v1:0", **fields)
    assert ("additionalModelRequestFields" in body, left_out) == (False, ("parallel_tool_calls",))


def test_a_limit_is_no_higher_than_it_may_be() -> None:
    """An answer cannot be longer anyhow, and a higher limit is refused."""
    assert as_chat("anthropic", "claude-3-haiku-20240307")[0]["max_tokens"] == 4096
    assert as_chat("anthropic", "claude-sonnet-4-5", max_tokens=100_000)[0]["max_tokens"] == 64_000
    body, _ = as_chat("bedrock", "anthropic.claude-3-haiku-20240307-v1:0", max_tokens=9000)
    assert body["inferenceConfig"]["maxTokens"] == 4096
    facts = fact_catalog().facts("openai", "gpt-4o", TODAY)
    body, _ = ask(ResponsesToChat(), facts, max_output_tokens=100_000)
    assert body["max_completion_tokens"] == 16_384


@pytest.mark.parametrize(
    ("provider", "stops", "taken"), [("zai", 1, True), ("zai", 2, False), ("xai", 1, False)]
)
def test_stops_that_are_too_many_are_refused(provider: str, stops: int, taken: bool) -> None:
    """The refusal has the caller's name for stops."""
    fields = {"stop_sequences": ["a", "b"][:stops]}
    if taken:
        assert as_messages(provider, "m", **fields)[0]["stop"] == ["a"]
        return
    with pytest.raises(CallError, match="stop_sequences") as caught:
        as_messages(provider, "m", **fields)
    assert caught.value.param == "stop_sequences"


def test_a_conversation_begins_with_the_user() -> None:
    """Anthropic and Bedrock take none that begins with the assistant, or that has instructions alone."""
    chats = (
        [{"role": "assistant", "content": "Hello!"}, HELLO],
        [{"role": "system", "content": "Greet."}],
    )
    for provider in ("anthropic", "bedrock"):
        for messages in chats:
            body, _ = as_chat(provider, "claude-sonnet-4-5", messages=messages)
            assert body["messages"][0]["role"] == "user"
            assert body["messages"][0]["content"]


def test_ids_that_come_again_stay_apart() -> None:
    """Some vendors count calls anew in each turn; each result belongs to the newest call of its id."""
    chat = [HELLO, CALLED, ANSWER, CALLED, ANSWER]
    body, _ = as_chat("anthropic", "claude-sonnet-4-5", messages=chat, tools=[FUNCTION])
    ids = [
        b.get("id") or b["tool_use_id"] for turn in body["messages"][1:] for b in turn["content"]
    ]
    assert ids[0] == ids[1] == "a"
    assert ids[2] == ids[3] != "a"
    assert body["tools"][0]["input_schema"] == {"type": "object"}


def test_ids_of_calls_that_have_one_form() -> None:
    """Mistral takes nine letters and digits: its own stay, others are put into such."""
    use = {"type": "tool_use", "name": "read", "input": {}}
    result = {"type": "tool_result", "content": "ok"}
    names = ("toolu_01", "D681PevKs")
    turns = [
        HELLO,
        {"role": "assistant", "content": [{**use, "id": name} for name in names]},
        {"role": "user", "content": [*({**result, "tool_use_id": name} for name in names), *TEXT]},
    ]
    body, _ = as_messages("mistral", "mistral-large", messages=turns, tools=[TOOL])
    _, turn, *results, word, said = body["messages"]
    ids = [call["id"] for call in turn["tool_calls"]]
    assert ids == [one["tool_call_id"] for one in results]
    assert ids[1] == "D681PevKs"
    assert (len(ids[0]), ids[0].isalnum()) == (9, True)
    assert (word["role"], said["role"]) == ("assistant", "user"), (
        "no user speaks behind a tool there"
    )
    body, _ = as_messages("openai", "gpt-5", messages=turns, tools=[TOOL])
    assert [message["role"] for message in body["messages"][2:]] == ["tool", "tool", "user"]


def test_what_a_model_cannot_see_is_not_shown_to_it() -> None:
    """The call is refused, so that another offer is asked; leniently it is told what is missing."""
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    content = [{"type": "image", "source": source}, *TEXT]
    shown = {"messages": [{"role": "user", "content": content}]}
    with pytest.raises(CallError, match="image_url") as caught:
        as_messages("deepseek", "deepseek-v4", **shown)
    assert caught.value.param == "messages"
    body, _ = as_messages("openai", "gpt-5", **shown)
    assert body["messages"][0]["content"][0]["type"] == "image_url"
    facts = fact_catalog().facts("deepseek", "deepseek-v4", TODAY)
    call = call_of(Operation.MESSAGES, "deepseek-v4", **shown)
    down = MessagesToChat().ask(msgspec.structs.replace(call, facts=facts, lenient=True))
    parts = json.loads(down.body)["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "text"]
    assert down.left_out == ("messages",)
