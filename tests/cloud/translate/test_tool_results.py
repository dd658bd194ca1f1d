"""Results of tools and the ids of calls: what each vendor takes, and nothing of it lost."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.call import Call
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.cloud.translate.tool_results import fit_id
from inferworks.ids import CallId, ModelId

PICTURE = "data:image/png;base64,AAAA"


def asked(translation: Translation, **fields: Any) -> Any:
    """The body that the upstream is asked with."""
    body = json.dumps({"model": "m", **fields}).encode()
    call = Call(CallId("c"), translation.source, ModelId("m"), False, wants_usage=False, body=body)
    return json.loads(translation.ask(call).body)


def in_order(messages: list[dict[str, Any]]) -> bool:
    """Return whether each call is answered right behind its turn, in a chat's messages."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls or not isinstance(message["content"], str):
                return False
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            return False
        open_calls |= {call["id"] for call in message.get("tool_calls") or ()}
    return not open_calls


def use(name: str) -> dict[str, Any]:
    """A call of Anthropic's."""
    return {"type": "tool_use", "id": name, "name": "read", "input": {}}


def result(name: str, *content: dict[str, Any]) -> dict[str, Any]:
    """Result of the call `name`."""
    return {"type": "tool_result", "tool_use_id": name, "content": list(content)}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"},
}


def text(words: str) -> dict[str, Any]:
    """A block or part of text."""
    return {"type": "text", "text": words}


def test_what_a_tool_shows_stands_in_a_message_of_the_user() -> None:
    """Behind the results of all calls, also where these come in several turns, and before what is said."""
    turns = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [use("a"), use("b"), use("c")]},
        {"role": "user", "content": [text("Well?"), result("a", text("read"), IMAGE), result("b", PDF)]},
        {"role": "user", "content": [result("c", text("done"))]},
    ]  # fmt: skip
    messages = asked(MessagesToChat(), max_tokens=5, messages=turns)["messages"]
    assert in_order(messages)
    *_, a, b, c, said = messages
    assert [m["content"] for m in (a, c)] == ["read", "done"]
    assert b["content"], "a result says something"
    kinds = [part["type"] for part in said["content"]]
    assert (said["role"], kinds) == ("user", ["text", "image_url", "text", "file", "text"])
    assert "a" in said["content"][0]["text"]
    assert said["content"][1]["image_url"]["url"] == PICTURE
    assert said["content"][-1] == text("Well?")


def test_what_a_function_shows_stands_in_a_message_of_the_user() -> None:
    """The same for the outputs of functions in a response's input."""
    items: list[dict[str, Any]] = [
        {"type": "function_call", "call_id": name, "name": "look", "arguments": "{}"} for name in "ab"
    ]  # fmt: skip
    shown = [{"type": "input_text", "text": "seen"}, {"type": "input_image", "image_url": PICTURE}]
    items += [
        {"type": "function_call_output", "call_id": "a", "output": shown},
        {"role": "user", "content": "And?"},
        {"type": "function_call_output", "call_id": "b", "output": "nothing"},
    ]
    messages = asked(ResponsesToChat(), input=items)["messages"]
    assert in_order(messages)
    _, a, b, picture, said = messages
    assert (a["content"], b["content"], said["content"]) == ("seen", "nothing", "And?")
    assert (picture["role"], picture["content"][1]["image_url"]["url"]) == ("user", PICTURE)


def test_what_was_thought_goes_back_with_the_turn_it_belongs_to() -> None:
    """An item of thoughts that we gave out becomes `reasoning_content`; one of OpenAI's own does not."""
    ours = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "I look."}]}
    theirs = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    items = [
        {"role": "user", "content": "Hi"},
        ours,
        {"role": "assistant", "content": "Wait."},
        theirs,
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "rain"},
    ]
    _, said, _ = asked(ResponsesToChat(), input=items)["messages"]
    assert (said["content"], said["reasoning_content"]) == ("Wait.", "I look.")
    assert [call["id"] for call in said["tool_calls"]] == ["a"]


CALLED = st.lists(st.sampled_from(["call", "output", "user", "said", "thought"]), max_size=9)


@given(CALLED)
def test_outputs_stand_behind_their_calls(kinds: list[str]) -> None:
    """In whatever order a client has written them, each output follows the turn that called."""
    items: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number, kind in enumerate(kinds):
        match kind:
            case "call":
                waiting.append(f"c{number}")
                items.append({"type": "function_call", "call_id": waiting[-1], "name": "f"})
            case "output" if waiting:
                called = waiting.pop(0)
                items.append({"type": "function_call_output", "call_id": called, "output": "x"})
            case "thought":
                items.append(
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "t"}]}
                )
            case "user" | "said":
                role = "user" if kind == "user" else "assistant"
                items.append({"role": role, "content": str(number)})
    items += [
        {"type": "function_call_output", "call_id": called, "output": "x"} for called in waiting
    ]
    messages = asked(ResponsesToChat(), input=[*items, {"role": "user", "content": "End"}])[
        "messages"
    ]
    assert in_order(messages)
    said = "".join(
        str(message["content"] or "") for message in messages if message["role"] != "tool"
    )
    assert sorted(said.replace("End", "")) == sorted(
        "".join(item["content"] for item in items if "role" in item)
    )


# --- ids

CHATS: tuple[Translation, ...] = (ChatToMessages(), ChatToConverse())
ODD_IDS = [
    "functions.read:0",
    "functions.read:1",
    "functions_read_0",
    "call|7",
    "é" * 50,
    "x" * 90,
    "a",
]


def chat_with(call_id: str) -> list[dict[str, Any]]:
    """A chat with one call and its result."""
    call = {"id": call_id, "type": "function", "function": {"name": "read", "arguments": "{}"}}
    return [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "ok"},
    ]


def ids_in(body: object) -> list[str]:
    """The ids of calls and results in a request of Anthropic's, Bedrock's or OpenAI's, in their order."""
    found = re.findall(
        r'"(?:id|tool_use_id|toolUseId|tool_call_id)": "((?:[^"\\]|\\.)*)"', json.dumps(body)
    )
    return [str(json.loads(f'"{name}"')) for name in found]


@pytest.mark.parametrize("way", CHATS)
def test_ids_of_other_vendors_are_made_to_fit(way: Translation) -> None:
    """Alike in call and result, distinct where they were, and unchanged where they fit."""
    fitted = []
    for call_id in ODD_IDS:
        used, answered = ids_in(asked(way, messages=chat_with(call_id)))
        assert used == answered
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", used)
        fitted.append(used)
    assert len(set(fitted)) == len(ODD_IDS)
    assert fitted[-1] == "a"


@pytest.mark.parametrize("call_id", ["toolu_" + "x" * 50, "t:" * 40, "é" * 41])
def test_ids_are_not_too_long_for_openai(call_id: str) -> None:
    """OpenAI takes 40 characters."""
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [use(call_id)]},
        {"role": "user", "content": [result(call_id, text("ok"))]},
    ]
    used, answered = ids_in(asked(MessagesToChat(), max_tokens=5, messages=turns))
    assert used == answered
    assert len(used) <= 40
    items = [
        {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": call_id, "output": "ok"},
    ]
    assert ids_in(asked(ResponsesToChat(), input=items)) == [used, answered]


@given(st.lists(st.text(max_size=90), min_size=2, max_size=2, unique=True))
def test_distinct_ids_stay_distinct(names: list[str]) -> None:
    """Two ids that were not the same are not the same afterwards."""
    assert fit_id(names[0]) != fit_id(names[1])


# --- what says nothing


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_what_is_blank_is_left_out_for_anthropic(blank: str) -> None:
    """Blank texts, turns without words, and stops of white space say nothing and would be refused."""
    part = {"type": "text", "text": blank}
    messages = [
        {"role": "system", "content": [part, text("Be brief.")]},
        {"role": "user", "content": [part, text("Hi")]},
        {"role": "assistant", "content": blank},
        {"role": "assistant", "content": [part], "tool_calls": chat_with("a")[1]["tool_calls"]},
        {"role": "tool", "tool_call_id": "a", "content": [part]},
        {"role": "user", "content": [part]},
    ]
    body = asked(ChatToMessages(), messages=messages, stop=[blank, "END"])
    assert body["system"] == "Be brief."
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == "Hi"
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert body["stop_sequences"] == ["END"]
    assert "stop_sequences" not in asked(ChatToMessages(), messages=messages[1:2], stop=blank)


def test_turns_of_a_kind_stay_in_order() -> None:
    """Two answers one after the other are two messages."""
    items = [{"role": "assistant", "content": name} for name in "ab"]
    messages = asked(ResponsesToChat(), input=items)["messages"]
    assert all(before != after for before, after in pairwise(messages))
    assert [message["content"] for message in messages] == ["a", "b"]
