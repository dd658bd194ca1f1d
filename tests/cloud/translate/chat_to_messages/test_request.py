"""Refusals of fields that one dialect has and the other lacks: one line that names the field."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.translations import put_back

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.errors import CallError, UpstreamError
from inferworks.ids import CallId, ModelId

NAMES = st.sampled_from(
    [
        "model",
        "messages",
        "role",
        "content",
        "text",
        "type",
        "source",
        "data",
        "url",
        "media_type",
        "image_url",
        "file",
        "file_data",
        "tools",
        "name",
        "input",
        "input_schema",
        "function",
        "parameters",
        "arguments",
        "tool_calls",
        "tool_call_id",
        "id",
        "tool_choice",
        "stop",
        "stop_sequences",
        "system",
        "max_tokens",
        "temperature",
        "thinking",
        "budget_tokens",
        "output_config",
        "effort",
        "format",
        "schema",
        "response_format",
        "json_schema",
        "reasoning_effort",
        "n",
        "speed",
        "keep",
        "edits",
        "context_management",
        "allowed_tools",
        "parallel_tool_calls",
        "thread",
        "user",
        "metadata",
        "user_id",
        "service_tier",
        "tool_use_id",
        "is_error",
        "thinking_blocks",
        "refusal",
        "cache_control",
    ]
)
HELLO = [{"role": "user", "content": "Hello"}]
FUNCTION = {"type": "function", "function": {"name": "f"}}


def asked(translation: Translation, body: object) -> dict[str, Any]:
    """Request that the upstream is sent for `body`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    operation, call_id = translation.source, CallId("call_1")
    headers = ((b"anthropic-beta", b"x"),)
    call = Call(
        call_id, operation, ModelId("m"), False, wants_usage=False, body=data, headers=headers
    )
    down = translation.ask(call)
    assert (down.operation, down.wants_usage, down.headers) == (translation.target, True, ())
    answer: dict[str, Any] = msgspec.json.decode(down.body)
    return answer


def as_chat(**fields: Any) -> dict[str, Any]:
    """A message's fields as a chat's."""
    return asked(MessagesToChat(), {"model": "m", "max_tokens": 5, "messages": HELLO, **fields})


def as_message(**fields: Any) -> dict[str, Any]:
    """A chat's fields as a message's."""
    return asked(ChatToMessages(), {"model": "m", "messages": HELLO, **fields})


def user(block: dict[str, Any]) -> list[dict[str, Any]]:
    """A turn of one block."""
    return [{"role": "user", "content": [block]}]


NOT_IN_A_CHAT = {
    "container": {"container": {"id": "x"}},
    "context_management": {"context_management": {"edits": [{"type": "compact_20260112"}]}},
    "compaction": {"compaction": {"type": "summarize"}},
    "thread": {"thread": {"type": "continue", "id": "thread_1"}},
    "inference_geo": {"inference_geo": "us"},
    "tool_choice": {
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "any"},
    },
    "'tool_choice'": {
        "tools": [{"name": "f"}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "web_search"},
    },
    "tool_choice.type": {"tool_choice": {"type": "some"}},
    "output_config.format": {"output_config": {"format": {"type": "grammar"}}},
    "messages": {"messages": [*HELLO, {"role": "assistant", "content": "I"}]},
    "messages[0].role": {"messages": [{"role": "tool", "content": "x"}]},
    "messages[0]": {"messages": user({"type": "container_upload"})},
    "(image from a file)": {
        "messages": user({"type": "image", "source": {"type": "file", "file_id": "x"}})
    },
    "(compaction)": {
        "messages": [{"role": "assistant", "content": [{"type": "compaction"}]}, *HELLO]
    },
}
NOT_IN_A_MESSAGE = {
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"top_logprobs": 3},
    "logit_bias": {"logit_bias": {"1": 2}},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "presence_penalty": {"presence_penalty": -1},
    "modalities": {"modalities": ["text", "audio"]},
    "audio": {"audio": {"voice": "x"}},
    "functions": {"functions": [{"name": "f"}]},
    "temperature": {"temperature": 1.5},
    "service_tier": {"service_tier": "flex"},
    "response_format": {"response_format": {"type": "grammar"}},
    "tool_choice": {
        "tools": [FUNCTION, {"type": "custom", "custom": {"name": "c"}}],
        "tool_choice": {"type": "custom", "custom": {"name": "c"}},
    },
    "'tool_choice'": {"tools": [{"type": "custom"}], "tool_choice": "required"},
    "answer_in_json": {
        "tools": [{"type": "function", "function": {"name": "answer_in_json"}}],
        "response_format": {"type": "json_object"},
    },
    "messages[0].role": {"messages": [{"role": "function", "content": "x", "name": "f"}]},
    "(input_audio)": {"messages": user({"type": "input_audio", "input_audio": {}})},
    "(file)": {"messages": user({"type": "file", "file": {"file_id": "x"}})},
    "neither a https address": {
        "messages": user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}})
    },
    "no JSON object": {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[1"}}],
            }
        ]
    },
    "must be functions": {
        "messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]}]
    },
}


@pytest.mark.parametrize("name", NOT_IN_A_CHAT)
def test_what_a_chat_cannot_say(name: str) -> None:
    """The refusal has status 400 and one line with the field's name, before anything is sent."""
    with pytest.raises(CallError) as caught:
        as_chat(**NOT_IN_A_CHAT[name])
    assert caught.value.status == 400
    assert name in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", NOT_IN_A_MESSAGE)
def test_what_a_message_cannot_say(name: str) -> None:
    """The refusal has status 400 and one line with the field's name, before anything is sent."""
    with pytest.raises(CallError) as caught:
        as_message(**NOT_IN_A_MESSAGE[name])
    assert caught.value.status == 400
    assert name in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("translation", [MessagesToChat(), ChatToMessages()])
@pytest.mark.parametrize("body", [b"", b"[]", b'{"model":1}', b'{"a":"\\ud800"}', b"[" * 100_000])
def test_what_is_no_request(translation: Translation, body: bytes) -> None:
    """A body that slips through decoding is refused, not a failure of ours."""
    with pytest.raises(CallError) as caught:
        asked(translation, body)
    assert caught.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.slow
@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_any_fields_are_translated_or_refused(fields: dict[str, Any]) -> None:
    """Any JSON in a field is put over or refused with status 400, and is no bug of ours."""
    for ask in (as_chat, as_message):
        try:
            ask(**fields)
        except CallError as error:
            assert error.status == 400  # noqa: PT017 both ends are fine


@pytest.mark.parametrize("value", [b"1e999", b'"\\ud800"', b'["x",-1e999]'])
@pytest.mark.parametrize("name", ["n", "speed", "temperature", "user", "tool_choice", "unheard_of"])
def test_values_that_nobody_can_read(name: str, value: bytes) -> None:
    """Numbers without end and halves of characters are refused, or pass as the bytes they are."""
    for translation in (MessagesToChat(), ChatToMessages()):
        messages = msgspec.json.encode(HELLO)
        body = b'{"%b":%b,"model":"m","max_tokens":1,"messages":%b}' % (
            name.encode(),
            value,
            messages,
        )
        try:
            translation.ask(msgspec.structs.replace(call_for(translation.source), body=body))
        except CallError as error:
            assert error.status == 400  # noqa: PT017 both ends are fine


def test_nulls_say_nothing() -> None:
    """A field that is null is as good as left out."""
    assert as_chat(container=None, top_k=None, system=None) == as_chat()
    assert as_message(n=None, temperature=None, audio=None, tools=None) == as_message()


def test_values_that_ask_for_nothing_are_dropped() -> None:
    """A value that asks for the usual is no reason to refuse."""
    assert (
        as_chat(speed="standard", mcp_servers=[], cache_control={"type": "ephemeral"},
                thread=None, context_management={"edits": []}) == as_chat()
    )  # fmt: skip
    assert as_message(n=1, logprobs=False, modalities=["text"], response_format={"type": "text"},
                      service_tier="auto", verbosity="medium") == as_message()  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, None),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16_384}}, "high"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
    ],
)
def test_how_hard_a_chat_thinks(fields: dict[str, Any], effort: str | None) -> None:
    """A budget becomes an effort; an effort stays one."""
    assert as_chat(**fields).get("reasoning_effort") == effort


def test_how_hard_a_message_thinks() -> None:
    """An effort goes with adaptive thinking, unless the caller says which kind it wants."""
    assert "thinking" not in as_message(
        reasoning_effort="none"
    )  # which not every model can be told
    high = as_message(reasoning_effort="high")
    assert (high["thinking"], high["output_config"]) == ({"type": "adaptive"}, {"effort": "high"})
    thinking = {"type": "enabled", "budget_tokens": 2048}
    assert as_message(reasoning_effort="high", thinking=thinking)["thinking"] == thinking


def test_the_choice_of_a_tool() -> None:
    """Each choice has its counterpart."""
    tools = [FUNCTION]
    for chat, message in (
        ("auto", {"type": "auto"}), ("none", {"type": "none"}), ("required", {"type": "any"}),
        (FUNCTION, {"type": "tool", "name": "f"}),
    ):  # fmt: skip
        assert as_message(tools=tools, tool_choice=chat)["tool_choice"] == message
        assert as_chat(tools=[{"name": "f"}], tool_choice=message)["tool_choice"] == chat
    none = as_message(tools=tools, tool_choice="none", parallel_tool_calls=False)
    assert none["tool_choice"] == {"type": "none"}
    assert "tool_choice" not in as_message(parallel_tool_calls=False)


# --- answers and refusals


def call_for(operation: Operation) -> Call:
    """A call of `operation`."""
    return Call(CallId("c"), operation, ModelId("m"), False, wants_usage=False, body=b"{}")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (422, "invalid_request_error"),
     (429, "rate_limit_error"), (500, "api_error"), (503, "overloaded_error")]
)  # fmt: skip
def test_a_chats_refusal_as_a_messages(status: int, kind: str) -> None:
    """The words stay, the type follows the status; what cannot be read keeps its status."""
    translation = MessagesToChat()
    for data in (b'{"error":{"message":"No.","type":"x"}}', b'{"error":"No."}'):
        body = msgspec.json.decode(translation.refusal(status, data))
        assert body["error"] == {"type": kind, "message": "No."}
    for data in (b"<html>", b"{}", b"[" * 100_000, b'{"error":{}}'):
        body = msgspec.json.decode(translation.refusal(status, data))
        assert str(status) in body["error"]["message"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (429, "rate_limit_error"), (529, "server_error")],
)
def test_a_messages_refusal_as_a_chats(status: int, kind: str) -> None:
    """The words stay, the type follows the status; what cannot be read keeps its status."""
    translation = ChatToMessages()
    data = b'{"type":"error","error":{"type":"x","message":"No."}}'
    error = msgspec.json.decode(translation.refusal(status, data))["error"]
    assert error == {"message": "No.", "type": kind, "param": None, "code": None}
    for data in (b"<html>", b"{}", b"\xff"):
        assert str(status) in translation.refusal(status, data).decode()


NO_OBJECT = b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}}]}'


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"choices":[]}', NO_OBJECT])
def test_a_completion_that_cannot_be_read(data: bytes) -> None:
    """An unreadable completion is the upstream's failure."""
    with pytest.raises(UpstreamError) as caught:
        put_back(MessagesToChat(), call_for(Operation.MESSAGES), data)
    assert caught.value.sent


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"content":7}'])
def test_a_message_that_cannot_be_read(data: bytes) -> None:
    """An unreadable message is the upstream's failure."""
    with pytest.raises(UpstreamError) as caught:
        put_back(ChatToMessages(), call_for(Operation.CHAT), data)
    assert caught.value.sent
