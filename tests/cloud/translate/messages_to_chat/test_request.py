"""A request of Anthropic's messages as a chat: order of its messages, tools and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cloud.translate.asking import asked

from inferworks.catalog.facts import ANYTHING
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.tool_results import SHOWN_BELOW, shown_by
from inferworks.dialects.errors import THREAD_UNSUPPORTED
from inferworks.errors import CallError

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TOOL: dict[str, Any] = {"name": "look", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
KNOWN = "an OpenAI-compatible API, which serves this model, does not know"


def chat_of(**fields: Any) -> Any:
    """The chat that a request with `fields` becomes, none of which is left out."""
    chat, left_out = asked(Operation.MESSAGES, Operation.CHAT, ANYTHING, **fields)
    assert left_out == ()
    return chat


def refusal(**fields: Any) -> tuple[str | None, str]:
    """The field that a request with `fields` is refused for, and the text that says so."""
    with pytest.raises(CallError) as refused:
        asked(Operation.MESSAGES, Operation.CHAT, ANYTHING, **fields)
    assert refused.value.status == 400
    return refused.value.param, refused.value.message


def turn(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    """A turn of `blocks`."""
    return {"role": role, "content": list(blocks)}


def text(words: str) -> dict[str, Any]:
    """A block of text, which is a part of a chat as well."""
    return {"type": "text", "text": words}


def use(call_id: str) -> dict[str, Any]:
    """A block of a call of `look`."""
    return {"type": "tool_use", "id": call_id, "name": "look", "input": {"a": 1}}


def result(call_id: str, content: object = "ok", **more: Any) -> dict[str, Any]:
    """A block of what a call gave."""
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def behind_call(*turns: dict[str, Any]) -> Any:
    """Messages of a chat behind a call of `a`, for `turns` that follow it."""
    messages = [turn("user", text("Hi")), turn("assistant", use("a")), *turns]
    return chat_of(messages=messages)["messages"][2:]


def test_the_system_comes_first() -> None:
    """The system's text is a message before all others; its blocks are parts; an empty one is none."""
    hello = {"role": "user", "content": "Hi"}
    assert chat_of(system="Be brief")["messages"] == [
        {"role": "system", "content": "Be brief"},
        hello,
    ]
    parts = chat_of(system=[text("a"), text("b")])["messages"][0]["content"]
    assert parts == [text("a"), text("b")]
    assert chat_of(system="")["messages"] == [hello]


def test_a_stream_is_asked_for_its_usage() -> None:
    """The least request has three fields; the limit keeps its name, for every upstream knows it."""
    assert chat_of() == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 64,
    }


def test_one_turn_becomes_its_results_and_what_is_said() -> None:
    """Results come first, each a message of its own, and the user's text follows them."""
    sent = behind_call(turn("user", text("And?"), result("a"), result("b", [text("x")])))
    assert sent == [
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
        {"role": "tool", "tool_call_id": "b", "content": "x"},
        {"role": "user", "content": "And?"},
    ]


def test_what_is_said_waits_for_results_of_the_next_turn() -> None:
    """Two turns of the user behind a call are put in order: results of both, then the words of both."""
    sent = behind_call(turn("user", result("a"), text("1")), turn("user", result("b"), text("2")))
    assert [one["content"] for one in sent] == ["ok", "ok", "1", "2"]
    assert [one["role"] for one in sent] == ["tool", "tool", "user", "user"]


@pytest.mark.parametrize("role", ["assistant", "system"])
def test_words_stand_before_the_next_speaker(role: str) -> None:
    """Words that were held come before a turn of anybody else."""
    sent = behind_call(
        turn("user", result("a"), text("1")), turn(role, text("2")), turn("user", text("3"))
    )
    assert [one["content"] for one in sent] == ["ok", "1", "2", "3"]


def test_an_error_of_a_tool_is_said_in_words() -> None:
    """A chat has no field for a failed tool, so its text says so."""
    assert behind_call(turn("user", result("a", "bad", is_error=True)))[0]["content"] == [
        text("Error:"),
        text("bad"),
    ]
    assert behind_call(turn("user", result("a", "", is_error=True)))[0]["content"] == "Error:"
    assert behind_call(turn("user", result("a", "fine", is_error=False)))[0]["content"] == "fine"


def test_a_picture_that_a_tool_gave_follows_behind_the_results() -> None:
    """The picture stands in the user's message, under the id of its call and before what is said."""
    sent = behind_call(turn("user", result("a", [text("x"), PNG]), text("And?")))
    assert sent == [
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "user", "content": [text(shown_by("a")), PNG_PART, text("And?")]},
    ]


def test_a_result_of_a_picture_alone_says_where_it_is() -> None:
    """A result without words points to the next message; one of nothing stays empty."""
    assert behind_call(turn("user", result("a", [PNG])))[0]["content"] == SHOWN_BELOW
    assert behind_call(turn("user", result("a", []))) == [
        {"role": "tool", "tool_call_id": "a", "content": ""}
    ]


def test_an_empty_turn_of_the_user_stays() -> None:
    """A turn that says nothing keeps its place, and the upstream says what it thinks of it."""
    assert chat_of(messages=[turn("user")])["messages"] == [{"role": "user", "content": ""}]


def test_a_turn_of_the_assistant_is_one_message() -> None:
    """Texts are joined, calls keep their input as written, and only an unsigned thought goes along."""
    blocks = (
        {"type": "thinking", "thinking": "mine"},
        {"type": "thinking", "thinking": "theirs", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        text("a"),
        text("b"),
        use("c"),
    )
    messages = [turn("assistant", *blocks), turn("user", result("c"))]
    assert chat_of(messages=messages)["messages"][0] == {
        "role": "assistant",
        "content": "ab",
        "reasoning_content": "mine",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
        ],
    }


def test_a_turn_that_only_calls_has_no_content() -> None:
    """Content is null beside calls, and an empty text without any."""
    only = [turn("assistant", use("c")), turn("user", result("c"))]
    assert chat_of(messages=only)["messages"][0]["content"] is None
    nothing = [turn("assistant"), turn("user", text("Hi"))]
    assert chat_of(messages=nothing)["messages"][0] == {"role": "assistant", "content": ""}


def test_a_tool_that_anthropic_ran_is_left_out_and_named() -> None:
    """A block of a tool that Anthropic ran is named, and the text beside it stays."""
    messages = [
        turn(
            "assistant", {"type": "server_tool_use"}, {"type": "web_search_tool_result"}, text("a")
        ),
        turn("user", text("b")),
    ]
    chat, left_out = asked(Operation.MESSAGES, Operation.CHAT, messages=messages)
    assert left_out == ("messages[0]:server_tool_use", "messages[0]:web_search_tool_result")
    assert [one["content"] for one in chat["messages"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        (PNG, [PNG_PART]),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a/b"}},
            [{"type": "image_url", "image_url": {"url": "https://a/b"}}],
        ),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "x"},
            },
            [text("x")],
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [text("x"), PNG]}},
            [text("x"), PNG_PART],
        ),
        (
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
            },
            [
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
                }
            ],
        ),
        (
            {"type": "search_result", "title": "t", "source": "https://a", "content": [text("x")]},
            [text("t\nhttps://a"), text("x")],
        ),
        ({"type": "search_result", "source": "https://a", "content": []}, [text("https://a")]),
        ({"type": "tool_reference", "tool_name": "look"}, [text("look")]),
    ],
)
def test_blocks_of_the_users(block: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    """Each block that a chat has words for becomes its parts, in order."""
    sent = chat_of(messages=[turn("user", text("See"), block)])["messages"]
    assert sent == [{"role": "user", "content": [text("See"), *parts]}]


def test_a_document_without_a_title_gets_a_name() -> None:
    """A file must have a name in a chat."""
    source = {"type": "base64", "media_type": "application/pdf", "data": "AA=="}
    sent = chat_of(messages=[turn("user", {"type": "document", "source": source})])["messages"]
    assert sent[0]["content"][0]["file"]["filename"] == "document.pdf"


@pytest.mark.parametrize(
    ("messages", "param", "why"),
    [
        (
            [turn("user", {"type": "image", "source": {"type": "file"}})],
            "messages[0]",
            f"'messages[0]' has a block (image from a file) that {KNOWN}.",
        ),
        (
            [turn("user", {"type": "x" * 61})],
            "messages[0]",
            f"'messages[0]' has a block ({'x' * 60}) that {KNOWN}.",
        ),
        (
            [turn("assistant", {"type": "hologram"}), turn("user", text("a"))],
            "messages[0]",
            f"'messages[0]' has a block (hologram) that {KNOWN}.",
        ),
        (
            [turn("user", text("a")), turn("critic", text("b"))],
            "messages[1]",
            "'messages[1].role' cannot be 'critic'.",
        ),
        (
            [turn("user", text("a")), turn("assistant", text("b"))],
            "messages",
            ("'messages' ends with the assistant's turn, which this model cannot continue; "
            "end with the user's."),
        ),
        (
            [{**turn("user", text("a")), "tool_call_id": "x"}],
            "messages[0]",
            ("'messages[0].tool_call_id' is a field of OpenAI's; "
            "say it by blocks (tool_use, tool_result) of the content."),
        ),
    ],
)  # fmt: skip
def test_turns_that_cannot_be_said(messages: list[Any], param: str, why: str) -> None:
    """A turn that a chat has no words for is refused, with its place."""
    assert refusal(messages=messages) == (param, why)


def test_a_thread_is_refused_by_the_code_that_clients_know() -> None:
    """A client that reads the code sends everything from then on; lenience would lose the conversation."""
    with pytest.raises(CallError) as refused:
        asked(Operation.MESSAGES, Operation.CHAT, thread={"id": "t"})
    assert (refused.value.code, refused.value.param) == (THREAD_UNSUPPORTED, "thread")


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"stop_sequences": ["a"]}, {"stop": ["a"]}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"metadata": {}}, {}),
        ({"top_k": 5, "temperature": 0.5}, {"top_k": 5, "temperature": 0.5}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"service_tier": "auto"}, {}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 4095}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 16383}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 16384}}, {"reasoning_effort": "high"}),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}},
            {"reasoning_effort": "max"},
        ),
        ({"speed": "standard", "mcp_servers": [], "container": None}, {}),
    ],
)
def test_settings_by_the_names_of_a_chat(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each setting has a name in a chat; an effort that is said goes before what thinking implies."""
    chat = chat_of(**fields)
    assert {name: chat[name] for name in chat.keys() - {"model", "messages", "max_tokens"}} == sent


@pytest.mark.parametrize("name", ["output_config", "output_format"])
@pytest.mark.parametrize("is_closed", [True, False])
def test_the_form_of_the_answer(name: str, is_closed: bool) -> None:
    """A schema that closes its objects is asked for strictly, by the new name of the field or the old."""
    schema = {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": not is_closed,
    }
    wanted = {"type": "json_schema", "schema": schema}
    chat = chat_of(**{name: {"format": wanted} if name == "output_config" else wanted})
    assert chat["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": is_closed},
    }


def test_another_form_of_the_answer_is_refused() -> None:
    """A form that Anthropic does not have is refused."""
    assert refusal(output_config={"format": {"type": "xml"}}) == (
        "output_config.format",
        "'output_config.format' cannot be 'xml'.",
    )


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_the_choice_of_a_tool(choice: dict[str, Any], sent: object) -> None:
    """Each of the four choices has a word in a chat; one call at a time is a field of its own."""
    chat = chat_of(tools=[TOOL], tool_choice=choice)
    assert chat["tool_choice"] == sent
    assert "parallel_tool_calls" not in chat
    chat = chat_of(tools=[TOOL], tool_choice={**choice, "disable_parallel_tool_use": True})
    assert chat["parallel_tool_calls"] is False


def test_a_tool_is_a_function() -> None:
    """A description is said where there is one, and strictness where the schema allows it."""
    closed = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    tools = [
        TOOL,
        {"type": "custom", "name": "x" * 64, "description": "d", "input_schema": closed, "strict": True},
        {"name": "open", "strict": True, "input_schema": {"properties": {"a": {}}}},
    ]  # fmt: skip
    functions = [tool["function"] for tool in chat_of(tools=tools)["tools"]]
    assert functions[0] == {"name": "look", "parameters": {"type": "object"}}
    assert functions[1] == {
        "name": "x" * 64,
        "description": "d",
        "parameters": closed,
        "strict": True,
    }
    assert "strict" not in functions[2]


def test_a_long_name_is_the_same_in_tool_choice_and_call() -> None:
    """A name of more than 64 characters is shortened alike wherever it stands."""
    name = "x" * 65
    chat = chat_of(
        tools=[{**TOOL, "name": name}],
        tool_choice={"type": "tool", "name": name},
        messages=[turn("assistant", {**use("a"), "name": name}), turn("user", result("a"))],
    )
    short = chat["tools"][0]["function"]["name"]
    assert len(short) == 64
    assert chat["tool_choice"]["function"]["name"] == short
    assert chat["messages"][0]["tool_calls"][0]["function"]["name"] == short


def test_a_tool_of_anthropics_is_left_out_unless_it_is_ordered() -> None:
    """A tool that was only offered is named; an order that nothing can meet is refused."""
    chat, left_out = asked(
        Operation.MESSAGES, Operation.CHAT, tools=[SEARCH], tool_choice={"type": "auto"}
    )
    assert left_out == ("tools[0]:web_search_20250305",)
    assert chat.keys() == {"model", "messages", "max_tokens"}
    why = "'tool_choice' orders a tool that an OpenAI-compatible API, which serves this model, cannot have."
    any_of_none = {"type": "any"}
    assert refusal(tools=[SEARCH], tool_choice=any_of_none) == ("tool_choice", why)
    by_name = {"type": "tool", "name": "web_search"}
    assert refusal(tools=[SEARCH, TOOL], tool_choice=by_name) == ("tool_choice", why)
    unknown = {"type": "some"}
    assert refusal(tools=[TOOL], tool_choice=unknown)[1] == "'tool_choice.type' cannot be 'some'."


@pytest.mark.parametrize(
    ("edit", "left_out"),
    [
        ({"type": "clear_thinking_20251015", "keep": "all"}, ()),
        ({"type": "clear_thinking_20251015", "keep": {"type": "all"}}, ()),
        ({"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}},
         ("context_management",)),
    ],
)  # fmt: skip
def test_keeping_all_thoughts_asks_for_nothing(edit: dict[str, Any], left_out: tuple[str]) -> None:
    """Clearing thoughts is named as left out, and keeping all of them is what happens anyway."""
    fields = {"context_management": {"edits": [edit]}}
    assert asked(Operation.MESSAGES, Operation.CHAT, **fields)[1] == left_out


def test_another_edit_of_the_context_is_refused() -> None:
    """An edit that would change what the model reads cannot be dropped."""
    assert refusal(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}) == (
        "context_management",
        (
            "'context_management' asks for an edit (clear_tool_uses_20250919) "
            "that an OpenAI-compatible API does not know."
        ),
    )
