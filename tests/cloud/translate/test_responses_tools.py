"""Tools that a chat cannot have: functions in their place and back, or left out and named."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.support.translations import PutBack, put_back

from inferworks.cloud.call import Call
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.errors import CallError
from inferworks.http.sse import EventSplitter, event_data
from inferworks.ids import CallId, ModelId

SHELL = {"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": False}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Changes files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin"'},
}
TEAM = {"type": "namespace", "name": "team", "description": "d", "tools": [SHELL, PATCH]}
CODEX = [SHELL, PATCH, {"type": "web_search"}, TEAM]
ENDS = {"finish_reason": "tool_calls", "index": 0}


def call_of(way: Translation, *, lenient: bool = False, **fields: Any) -> Call:
    """A call of the translation's source."""
    start = {"input": "Hi"} if isinstance(way, ResponsesToChat) else {"messages": [HELLO]}
    if isinstance(way, MessagesToChat):
        start["max_tokens"] = 9
    body = json.dumps({"model": "m", **start, **fields}).encode()
    return Call(CallId("call_1"), way.source, ModelId("m"), False, True, body=body, lenient=lenient)


HELLO = {"role": "user", "content": "Hi"}


def asked(way: Translation, **fields: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the upstream's request, and the names left out."""
    down = way.ask(call_of(way, **fields))
    return json.loads(down.body), down.left_out


# --- custom tools and namespaces


def test_custom_tools_and_namespaces_become_functions() -> None:
    """A text becomes the one string of a function, a namespace part of its functions' names."""
    body, left_out = asked(ResponsesToChat(), tools=CODEX)
    assert left_out == ("tools[2]:web_search",)
    names = [tool["function"]["name"] for tool in body["tools"]]
    assert names == ["shell", "apply_patch", "team__shell", "team__apply_patch"]
    patch = body["tools"][1]["function"]
    assert list(patch["parameters"]["properties"]) == ["input"]
    assert "Begin" in patch["description"]
    assert patch["description"].startswith("Changes files.")


def test_tools_that_the_input_brings_are_offered_too() -> None:
    """Tools of an item are offered as those of the field are, since a chat has no search for tools."""
    items = [{"type": "additional_tools", "role": "developer", "tools": [SHELL]}, HELLO,
             {"type": "tool_search_call", "call_id": "t"},
             {"type": "tool_search_output", "tools": [TEAM, {"type": "mcp"}]}]  # fmt: skip
    body, left_out = asked(ResponsesToChat(), input=items, tools=[{"type": "tool_search"}])
    names = [tool["function"]["name"] for tool in body["tools"]]
    assert names == ["shell", "team__shell", "team__apply_patch"]
    assert set(left_out) == {"tools[0]:tool_search", "input[2]:tool_search_call", "input[3]:mcp"}
    assert body["messages"] == [HELLO]


def test_the_history_of_such_tools_goes_along() -> None:
    """Past calls have the names that the tools have, and their texts as arguments."""
    items = [
        HELLO,
        {"type": "custom_tool_call", "call_id": "a", "name": "apply_patch", "input": 'x\n"y"'},
        {"type": "function_call", "call_id": "b", "name": "shell", "namespace": "team", "arguments": "{}"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "done"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "ok"}]},
    ]  # fmt: skip
    body, _ = asked(ResponsesToChat(), input=items, tools=CODEX)
    _, turn, *results = body["messages"]
    functions = [call["function"] for call in turn["tool_calls"]]
    assert [function["name"] for function in functions] == ["apply_patch", "team__shell"]
    assert json.loads(functions[0]["arguments"]) == {"input": 'x\n"y"'}
    assert [(r["tool_call_id"], r["content"]) for r in results] == [("a", "done"), ("b", "ok")]


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("shell", "{}", {"type": "function_call", "name": "shell", "arguments": "{}"}),
    ("unheard_of", "{}", {"type": "function_call", "name": "unheard_of", "arguments": "{}"}),
    (
        "team__shell",
        '{"a":1}',
        {"type": "function_call", "name": "shell", "namespace": "team", "arguments": '{"a":1}'},
    ),
    (
        "team__apply_patch",
        '{"input":""}',
        {"type": "custom_tool_call", "name": "apply_patch", "namespace": "team", "input": ""},
    ),
]
CALLS += [
    ("apply_patch", given, {"type": "custom_tool_call", "name": "apply_patch", "input": text})
    for given, text in [('{"input":"*** \\n"}', "*** \n"), ("*** as it is", "*** as it is")]
]


@pytest.mark.parametrize(("function", "arguments", "item"), CALLS)
def test_calls_come_back_as_calls_of_the_tools_that_were_given(
    function: str, arguments: str, item: dict[str, Any]
) -> None:
    """Whole and streamed, and the events of a stream say the same as its end."""
    way = ResponsesToChat()
    call = call_of(way, tools=CODEX)
    made = {"id": "c", "type": "function", "function": {"name": function, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [made]}
    whole = json.loads(
        put_back(way, call, json.dumps({"choices": [{**ENDS, "message": message}]}).encode())
    )
    assert [{k: i[k] for k in item} for i in whole["output"]] == [item]
    assert whole["output"][0]["call_id"] == "c"
    assert whole["tools"][1:] == CODEX[1:]

    first = {**made, "index": 0, "function": {"name": function, "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": letter}} for letter in arguments]
    deltas = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in [first, *pieces]]
    stream = PutBack(way, call)
    sent = [
        b"data: %b\n\n" % json.dumps(d).encode()
        for d in [*deltas, {"choices": [{**ENDS, "delta": {}}]}]
    ]
    out = b"".join(map(stream.event, [*sent, b"data: [DONE]\n\n"]))
    told = [msgspec.json.decode(event_data(event)) for event in EventSplitter().feed(out)]
    assert told[-1]["response"]["output"] == whole["output"]
    said = "".join(event["delta"] for event in told if event["type"].endswith(".delta"))
    assert said == item.get("input", item.get("arguments"))
    kinds = {event["type"].split(".")[1] for event in told if event["type"].endswith(".delta")}
    wanted = "custom_tool_call_input" if "input" in item else "function_call_arguments"
    assert kinds == {wanted}


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"type": "custom", "name": "apply_patch"}, "apply_patch"),
        ({"type": "function", "name": "shell"}, "shell"),
        ({"type": "custom", "name": "apply_patch", "namespace": "team"}, "team__apply_patch"),
    ],
)
def test_the_choice_of_such_a_tool(choice: dict[str, Any], said: str) -> None:
    """A chosen tool is forced by the name of its function."""
    body, _ = asked(ResponsesToChat(), tools=CODEX, tool_choice=choice)
    assert body["tool_choice"] == {"type": "function", "function": {"name": said}}


# --- an offered tool is an option and no order

SEARCH = {"type": "web_search_20250305", "name": "web_search"}
READ = {"name": "read", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "read"}}
LEFT_OUT: list[tuple[Translation, list[Any], str]] = [
    (ResponsesToChat(), [{"type": name}, SHELL], f"tools[0]:{name}")
    for name in ("web_search", "file_search", "mcp", "local_shell", "code_interpreter", "computer")
]
LEFT_OUT += [
    (MessagesToChat(), [{"type": name, "name": "x"}, READ], f"tools[0]:{name}")
    for name in ("web_search_20250305", "bash_20250124", "computer_toolset_20260801")
]
LEFT_OUT += [
    (way, [{"type": "custom", "custom": {"name": "c"}}, FUNCTION], "tools[0]:custom")
    for way in (ChatToMessages(), ChatToConverse())
]


@pytest.mark.parametrize(("way", "tools", "name"), LEFT_OUT)
def test_a_tool_that_cannot_be_had_is_left_out_and_named(
    way: Translation, tools: list[Any], name: str
) -> None:
    """The others stay; without any of them there is nothing left of tools, and no choice among them."""
    body, left_out = asked(way, tools=tools)
    assert left_out == (name,)
    assert len(body.get("tools") or body["toolConfig"]["tools"]) == 1
    auto = {"type": "auto"} if isinstance(way, MessagesToChat) else "auto"
    body, left_out = asked(way, tools=tools[:1], tool_choice=auto)
    assert left_out == (name,)
    assert not {"tools", "toolConfig", "tool_choice", "parallel_tool_calls"} & body.keys()


@pytest.mark.parametrize(("way", "tools", "name"), LEFT_OUT)
def test_a_tool_that_is_ordered_is_refused(way: Translation, tools: list[Any], name: str) -> None:
    """An order to call cannot be followed where nothing else can be called."""
    choice = {"type": "any"} if isinstance(way, MessagesToChat) else "required"
    with pytest.raises(CallError, match="tool_choice"):
        asked(way, tools=tools[:1], tool_choice=choice)
    asked(way, tools=tools, tool_choice=choice)


def test_what_is_told_of_past_calls_of_such_tools_is_left_out() -> None:
    """Results of such calls stand in the text of the answer."""
    ran = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
           {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}]  # fmt: skip
    said = {"role": "assistant", "content": [*ran, {"type": "text", "text": "Rain."}]}
    body, left_out = asked(MessagesToChat(), messages=[HELLO, said, HELLO])
    assert body["messages"][1] == {"role": "assistant", "content": "Rain."}
    assert left_out == ("messages[1]:server_tool_use", "messages[1]:web_search_tool_result")
    items = [
        HELLO,
        {"type": "web_search_call", "id": "w"},
        {"role": "assistant", "content": "Rain."},
    ]
    body, left_out = asked(ResponsesToChat(), input=items)
    assert [message["content"] for message in body["messages"]] == ["Hi", "Rain."]
    assert left_out == ("input[1]:web_search_call",)


@pytest.mark.parametrize("way", [ChatToMessages(), ChatToConverse()])
def test_tools_that_are_allowed_now(way: Translation) -> None:
    """A choice among functions is made here, for those who have none such."""
    tools = [FUNCTION, {"type": "function", "function": {"name": "write"}}]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "write"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    body, _ = asked(way, tools=tools, tool_choice=choice)
    assert '"write"' in json.dumps(body)
    assert '"read"' not in json.dumps(body)
    assert '"any"' in json.dumps(body)


# --- fields

UNKNOWN = {"client_metadata": {"id": "x"}, "unheard_of": 1}


@pytest.mark.parametrize(
    "way", [ResponsesToChat(), MessagesToChat(), ChatToMessages(), ChatToConverse()]
)
def test_fields_that_nobody_knows_stay_within_their_dialect(way: Translation) -> None:
    """Unknown fields are left out, and named; null ones say nothing."""
    plain, none = asked(way)
    body, left_out = asked(way, **UNKNOWN, nothing=None)
    assert (body, none, sorted(left_out)) == (plain, (), sorted(UNKNOWN))


def test_what_claude_code_and_codex_send_unasked() -> None:
    """Fields sent unasked ask for nothing that an answer depends on."""
    edits = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    plain, _ = asked(MessagesToChat())
    more = {"betas": ["x"], "fallbacks": [{"model": "n"}]}
    body, left_out = asked(MessagesToChat(), context_management=edits, **more)
    assert body == plain
    assert sorted(left_out) == ["betas", "fallbacks"]
    keep = {
        "edits": [
            {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}}
        ]
    }
    assert asked(MessagesToChat(), context_management=keep)[1] == ("context_management",)


@pytest.mark.parametrize(
    ("way", "fields"),
    [
        (ChatToMessages(), {"n": 2}),
        (ChatToMessages(), {"temperature": 1.5}),
        (ChatToMessages(), {"service_tier": "flex"}),
        (ChatToConverse(), {"presence_penalty": 0.5}),
        (ChatToConverse(), {"temperature": 2}),
        (MessagesToChat(), {"container": "c"}),
        (
            MessagesToChat(),
            {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        ),
        (ResponsesToChat(), {"store": True}),
    ],
)
def test_what_is_refused_is_left_out_of_a_model_that_is_asked_leniently(
    way: Translation, fields: dict[str, Any]
) -> None:
    """By its name; what the field asks for in vain is not sent in another form."""
    name = list(fields)[-1]
    with pytest.raises(CallError) as caught:
        asked(way, **fields)
    assert caught.value.param == name
    down = way.ask(call_of(way, lenient=True, **fields))
    assert down.left_out == (name,)
    assert json.loads(down.body).get("temperature", 1) <= 1
