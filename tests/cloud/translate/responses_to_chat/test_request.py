"""A request of responses as a chat: the order of its messages, its tools, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cloud.translate.asking import asked

from inferworks.catalog.facts import ANYTHING
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.tool_results import SHOWN_BELOW, shown_by
from inferworks.errors import CallError

FUNCTION: dict[str, Any] = {"type": "function", "name": "look", "parameters": {"type": "object"}}
SEARCH = {"type": "web_search"}


def chat_of(**fields: Any) -> Any:
    """The chat that a request with `fields` becomes, none of which is left out."""
    chat, left_out = asked(Operation.RESPONSES, Operation.CHAT, **fields)
    assert left_out == ()
    return chat


def messages(*items: dict[str, Any]) -> Any:
    """Messages that `items` of the input become."""
    return chat_of(input=list(items))["messages"]


def refusal(**fields: Any) -> tuple[str | None, str]:
    """The field that a request with `fields` is refused for, and the text that says so."""
    with pytest.raises(CallError) as refused:
        asked(Operation.RESPONSES, Operation.CHAT, **fields)
    assert refused.value.status == 400
    return refused.value.param, refused.value.message


def user(content: object) -> dict[str, Any]:
    """An item of the user's."""
    return {"role": "user", "content": content}


def said(text: str) -> dict[str, Any]:
    """An item of what the assistant said."""
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content}


def called(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    """An item of a call of `look`."""
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": arguments}


def result(call_id: str, output: object = "ok") -> dict[str, Any]:
    """An item of what a call gave."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def thought(text: str) -> dict[str, Any]:
    """An item of what the assistant thought."""
    return {"type": "reasoning", "content": [{"type": "reasoning_text", "text": text}]}


def calls_of(*call_ids: str) -> list[dict[str, Any]]:
    """`tool_calls` of a chat for calls of `look` without arguments."""
    function = {"name": "look", "arguments": "{}"}
    return [{"id": one, "type": "function", "function": function} for one in call_ids]


def test_a_text_is_a_message_behind_the_instructions() -> None:
    """Instructions come first, as a message of the system; an input that is a text is the user's."""
    assert chat_of(input="Hi", instructions="Be brief")["messages"] == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hi"},
    ]


def test_instructions_alone_are_a_request() -> None:
    """An input may be missing where there are instructions."""
    sent = chat_of(input=None, instructions="Begin")
    assert sent["messages"] == [{"role": "system", "content": "Begin"}]


@pytest.mark.parametrize("nothing", [None, []])
def test_nothing_to_answer_is_refused(nothing: object) -> None:
    """A request without any message names the field that is missing."""
    assert refusal(input=nothing) == ("input", "Missing required parameter: 'input'.")


@pytest.mark.parametrize(
    ("role", "sent"), [("user", "user"), ("system", "system"), ("developer", "system")]
)
def test_roles_that_every_chat_knows(role: str, sent: str) -> None:
    """A developer is called `system`, which older upstreams know."""
    assert messages({"role": role, "content": "Hi"}) == [{"role": sent, "content": "Hi"}]


def test_another_role_is_refused() -> None:
    """A role that no chat has is named with its place."""
    assert refusal(input=[user("Hi"), {"role": "tool", "content": "x"}]) == (
        "input[1]",
        "'input[1].role' must be user, assistant, system or developer.",
    )


def test_parts_of_what_the_assistant_said_are_one_text() -> None:
    """Texts and a refusal stand behind each other without anything between."""
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
    assert messages({"role": "assistant", "content": parts}, user("go on"))[0] == {
        "role": "assistant",
        "content": "ab",
    }


def test_two_messages_of_the_assistant_are_two_turns() -> None:
    """Without a call between them, two texts are not joined."""
    assert [one["content"] for one in messages(said("a"), said("b"), user("c"))] == ["a", "b", "c"]


def test_one_turn_has_its_text_and_all_its_calls() -> None:
    """Text and calls that stand behind each other are one message, and the results follow in order."""
    assert messages(
        said("I look"), called("a"), called("b"), result("a", "1"), result("b", "2")
    ) == [
        {"role": "assistant", "content": "I look", "tool_calls": calls_of("a", "b")},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
    ]


def test_a_call_without_words_has_no_content() -> None:
    """A turn that only calls has null for a text."""
    assert messages(called("a"), result("a"))[0] == {
        "role": "assistant",
        "content": None,
        "tool_calls": calls_of("a"),
    }


def test_text_behind_a_call_belongs_to_its_turn() -> None:
    """A chat wants the result right behind the call, so the text is put before it."""
    assert messages(said("a"), called("c"), said("b"), result("c")) == [
        {"role": "assistant", "content": "ab", "tool_calls": calls_of("c")},
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
    ]


def test_text_behind_the_last_result_begins_a_turn() -> None:
    """An answered turn takes nothing more: neither text nor calls."""
    sent = messages(called("a"), result("a"), said("done"), called("b"), result("b"))
    assert [one["role"] for one in sent] == ["assistant", "tool", "assistant", "tool"]
    assert (sent[2]["content"], sent[2]["tool_calls"]) == ("done", calls_of("b"))


def test_a_message_amid_open_calls_waits_for_the_results() -> None:
    """A message of the user before the last result follows behind it, in its order."""
    sent = messages(
        called("a"), called("b"), user("1"), result("a"), user("2"), result("b"), user("3")
    )
    assert [one.get("tool_call_id") or one["content"] for one in sent] == [
        None, "a", "b", "1", "2", "3",
    ]  # fmt: skip


def test_a_call_that_is_never_answered_loses_nothing() -> None:
    """A message that waits for a result which never comes stands at the end."""
    assert [one["role"] for one in messages(called("a"), user("Hi"))] == ["assistant", "user"]


def test_a_result_without_a_call_stays_in_its_place() -> None:
    """The upstream says what is wrong with it."""
    sent = messages(user("Hi"), result("a"), user("Ho"))
    assert [one["role"] for one in sent] == ["user", "tool", "user"]


def test_thoughts_go_with_the_turn_that_follows_them() -> None:
    """Two thoughts before a call are one text of its turn, and one behind a call is added to them."""
    sent = messages(thought("a"), thought("b"), called("c"), thought("d"), said("x"), result("c"))
    assert sent[0] == {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "abd",
        "tool_calls": calls_of("c"),
    }


def test_a_sealed_thought_says_nothing() -> None:
    """A thought of OpenAI's, which has no content that can be read, is no field."""
    sent = messages(
        {"type": "reasoning", "encrypted_content": "x", "summary": []}, said("a"), user("b")
    )
    assert sent[0] == {"role": "assistant", "content": "a"}


def test_a_picture_that_a_tool_gave_follows_its_results() -> None:
    """The text is the result; what is shown stands in a message of the user that names the call."""
    output = [
        {"type": "input_text", "text": "one"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_text", "text": "two"},
    ]
    sent = messages(called("a"), result("a", output), user("And?"))
    assert sent[1:] == [
        {"role": "tool", "tool_call_id": "a", "content": "one\ntwo"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": shown_by("a")},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
        {"role": "user", "content": "And?"},
    ]


def test_a_result_that_is_a_picture_alone_says_where_it_is() -> None:
    """A result may not be empty, so it points to the next message; an empty one stays empty."""
    image = [{"type": "input_image", "image_url": "https://a/b.png"}]
    assert messages(called("a"), result("a", image))[1]["content"] == SHOWN_BELOW
    assert messages(called("a"), result("a", None))[1]["content"] == ""


def test_a_long_id_is_the_same_in_call_and_result() -> None:
    """An id of more than 40 characters is shortened alike in both places; one of 40 stays."""
    sent = messages(called("x" * 41), result("x" * 41))
    assert len(sent[1]["tool_call_id"]) == 40
    assert sent[0]["tool_calls"][0]["id"] == sent[1]["tool_call_id"]
    assert messages(called("x" * 40), result("x" * 40))[1]["tool_call_id"] == "x" * 40


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "input_text", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "input_image", "image_url": "u"},
            {"type": "image_url", "image_url": {"url": "u"}},
        ),
        (
            {"type": "input_image", "image_url": "u", "detail": "low"},
            {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
        ),
        (
            {"type": "input_file", "file_data": "d"},
            {"type": "file", "file": {"file_data": "d"}},
        ),
        (
            {"type": "input_file", "file_data": "d", "filename": "f"},
            {"type": "file", "file": {"file_data": "d", "filename": "f"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "d", "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": "d", "format": "wav"}},
        ),
    ],
)
def test_parts_of_a_users_message(part: dict[str, Any], sent: dict[str, Any]) -> None:
    """Every part that a chat has keeps its place and what it holds."""
    text = {"type": "input_text", "text": "See"}
    assert messages(user([text, part]))[0]["content"] == [{"type": "text", "text": "See"}, sent]


def test_one_text_is_a_text() -> None:
    """A message of one part that is a text is written as text, which every upstream takes."""
    assert messages(user([{"type": "input_text", "text": "a"}])) == [user("a")]
    assert messages(user(None)) == [user("")]


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"type": "input_image", "file_id": "f"}, "has no data of its own"),
        ({"type": "input_file", "file_url": "f"}, "has no data of its own"),
        ({"type": "input_audio"}, "has no data of its own"),
        ({"type": "input_video"}, "is of the type 'input_video'"),
    ],
)
def test_parts_that_cannot_be_sent(part: dict[str, Any], why: str) -> None:
    """A part stored at OpenAI, or of an unknown kind, is refused with its place."""
    place = "input[0].content[0]"
    assert refusal(input=[user([part])]) == (
        place,
        f"'{place}' {why}, which this model cannot be sent.",
    )


@pytest.mark.parametrize("item", [user(7), result("a", 7), said("x") | {"content": 7}])
def test_content_that_is_none(item: dict[str, Any]) -> None:
    """Content that is neither a text nor parts is refused with its place."""
    param, message = refusal(input=[item])
    assert param in {"input[0].content", "input[0].output"}
    assert message.startswith(f"Invalid '{param}': Expected ")


def test_an_unknown_item_is_refused() -> None:
    """An item of a kind that nobody knows may matter, so it is not left out."""
    assert refusal(input=[{"type": "x" * 61}]) == (
        "input[0]",
        f"'input[0]' is of the type {'x' * 60!r}, which this model cannot be sent.",
    )


def test_what_openai_ran_is_left_out_and_named() -> None:
    """An item of a tool that OpenAI ran is named; one that only brings tools is not."""
    items = [user("Hi"), {"type": "web_search_call"}, {"type": "additional_tools"}]
    chat, left_out = asked(Operation.RESPONSES, Operation.CHAT, input=items)
    assert chat["messages"] == [user("Hi")]
    assert left_out == ("input[1]:web_search_call",)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
    ],
)
def test_a_stored_conversation_is_refused(fields: dict[str, Any], param: str) -> None:
    """To go on from what OpenAI has stored is refused, with what to do instead."""
    assert refusal(**fields) == (
        param,
        (
            f"'{param}' cannot be used, for nothing is kept here: "
            "send the whole conversation in 'input'."
        ),
    )


def test_a_response_cannot_be_stored() -> None:
    """`store` is refused where it is true, and asks for nothing otherwise."""
    assert refusal(store=True) == (
        "store",
        "'store' cannot be true, for responses of this model are not kept.",
    )
    assert "store" not in chat_of(store=False)


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"text": {"format": {"type": "text"}}}, {}),
        (
            {"text": {"format": {"type": "json_object"}}},
            {"response_format": {"type": "json_object"}},
        ),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"top_logprobs": 0}, {}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"temperature": 0.5, "top_p": None}, {"temperature": 0.5}),
    ],
)
def test_settings_by_the_names_of_a_chat(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each setting has a name in a chat; what asks for nothing has none."""
    chat = chat_of(**fields)
    assert {name: chat[name] for name in chat.keys() - {"model", "messages"}} == sent


def test_what_the_model_lacks_is_named_as_the_caller_called_it() -> None:
    """A field that this model is not known to take is left out by the name that was sent."""
    fields = {"text": {"verbosity": "low"}}
    chat, left_out = asked(Operation.RESPONSES, Operation.CHAT, **fields)
    assert (chat.keys(), left_out) == ({"model", "messages"}, ("text.verbosity",))
    chat, left_out = asked(Operation.RESPONSES, Operation.CHAT, ANYTHING, **fields)
    assert (chat["verbosity"], left_out) == ("low", ())


def test_a_schema_of_the_answer() -> None:
    """The form of the answer keeps its name and its schema; what is not said is not written."""
    wanted = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    schema: dict[str, Any] = {"name": "n", "schema": {"type": "object"}}
    chat = chat_of(text={"format": wanted})
    assert chat["response_format"] == {"type": "json_schema", "json_schema": schema}
    chat = chat_of(text={"format": {**wanted, "strict": True, "description": "d"}})
    assert chat["response_format"]["json_schema"] == {**schema, "strict": True, "description": "d"}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("required", "required"),
        ({"type": "function", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "look"}]}, "auto"),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]},
            "required",
        ),
    ],
)  # fmt: skip
def test_the_choice_of_a_tool(choice: object, sent: object) -> None:
    """A choice among functions is said in a chat's words."""
    chat = chat_of(tools=[FUNCTION], tool_choice=choice, parallel_tool_calls=False)
    assert chat["tool_choice"] == sent
    assert chat["parallel_tool_calls"] is False
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["look"]


def test_allowed_tools_leave_the_others_away() -> None:
    """A chat is offered only what may be called; a namespace allows all that is in it."""
    space = {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "a"}]}
    tools = [FUNCTION, {"type": "function", "name": "other"}, space]
    allowed = [{"type": "function", "name": "look"}, {"type": "namespace", "name": "ns"}]
    chat = chat_of(tools=tools, tool_choice={"type": "allowed_tools", "tools": allowed})
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["look", "ns__a"]


def test_a_forced_tool_of_a_namespace_that_is_not_said() -> None:
    """A choice by the bare name finds the function in its namespace."""
    space = {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "a"}]}
    chat = chat_of(tools=[space], tool_choice={"type": "function", "name": "a"})
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "ns__a"}}


def test_settings_of_tools_need_tools() -> None:
    """A chat refuses a choice without tools, so nothing of it is sent."""
    chat = chat_of(tool_choice="auto", parallel_tool_calls=True)
    assert chat.keys() == {"model", "messages"}


def test_a_tool_of_openais_is_left_out_unless_it_is_ordered() -> None:
    """A tool that was only offered is named; an order that nothing can meet is refused."""
    chat, left_out = asked(Operation.RESPONSES, Operation.CHAT, tools=[SEARCH, FUNCTION])
    assert left_out == ("tools[0]:web_search",)
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["look"]
    assert refusal(tools=[SEARCH], tool_choice="required") == (
        "tool_choice",
        (
            "'tool_choice' asks for a call of a tool, "
            "and this model can have none of those that are given."
        ),
    )
    assert refusal(tools=[SEARCH, FUNCTION], tool_choice=SEARCH) == (
        "tool_choice",
        (
            "'tool_choice' is of the type 'web_search', which this model does not have; "
            "functions can be used."
        ),
    )
