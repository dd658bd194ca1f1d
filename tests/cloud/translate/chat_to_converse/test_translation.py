"""Chats by way of Converse: what cannot be said, and what holds for any chat and any answer."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import botocore.session
import botocore.validate
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.translations import PutBack, put_back

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.cloud.translate.tool_results import BEGINNING
from inferworks.dialects.finish_reasons import CONVERSE_FINISH_REASONS
from inferworks.errors import CallError, UpstreamError
from inferworks.http.sse import EventSplitter, event_data
from inferworks.ids import CallId, ModelId
from inferworks.testing.upstreams.bedrock import ConverseAnswer, converse_of, events_of

WAY = ChatToConverse()
SHAPE = (
    botocore.session.Session()
    .get_service_model("bedrock-runtime")
    .operation_model("Converse")
    .input_shape
)
HELLO = {"role": "user", "content": "Say hello."}
TOOL = {"type": "function", "function": {"name": "f"}}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "Sunny"}


def call_of(body: object, *, stream: bool = False) -> Call:
    """A chat."""
    data = msgspec.json.encode(body)
    return Call(CallId("call_1"), Operation.CHAT, ModelId("m"), stream, True, body=data)


def asked(**fields: Any) -> Any:
    """The request that is made of a chat with these fields."""
    chat = {"model": "m", "messages": [HELLO], **fields}
    return msgspec.json.decode(WAY.ask(call_of(chat)).body)


def image(url: str) -> list[dict[str, Any]]:
    """Messages with one image."""
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two choices": ({"n": 2}, "'n' is not known to Bedrock's Converse"),
    "log probabilities": ({"logprobs": True}, "'logprobs'"),
    "a hot answer": ({"temperature": 1.5}, "'temperature' cannot be above 1"),
    "a tier that is not known": ({"service_tier": "scale"}, "'service_tier' cannot be 'scale'"),
    "a form of answer that is none": (
        {"response_format": {"type": "json_schema"}},
        "'response_format' must be 'text', 'json_object'",
    ),
    "a call of a tool that it cannot have": (
        {"tools": [{"type": "custom"}], "tool_choice": "required"},
        "'tool_choice' must be 'auto'",
    ),
    "a choice of another kind": (
        {"tools": [TOOL], "tool_choice": {"type": "custom"}},
        "'tool_choice' must be 'auto'",
    ),
    "calls, and no tools": (
        {"messages": [HELLO, CALLED, RESULT], "tools": [TOOL], "tool_choice": "none"},
        "'tool_choice' cannot be 'none' in a chat with calls",
    ),
    "an image elsewhere": ({"messages": image("https://example.com/a.png")}, "write a data URL"),
    "an image in S3": ({"messages": image("s3://bucket/a.png")}, "write a data URL"),
    "an image of another kind": (
        {"messages": image("data:image/tiff;base64,AAAA")},
        "gif, jpeg, png, webp",
    ),
    "a picture as an instruction": (
        {"messages": [{**image("data:image/png;base64,AAAA")[0], "role": "system"}]},
        "'messages[0]' has an instruction that is no text",
    ),
    "a role": ({"messages": [{"role": "judge", "content": "x"}]}, "'messages[0].role'"),
    "a part": (
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "has a part (input_audio)",
    ),
    "arguments that are none": (
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "x"}}],
                }
            ]
        },
        "no JSON object: 'x'",
    ),
    "no chat": ({"messages": "hello"}, "cannot be read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_said(what: str) -> None:
    """A request that Converse cannot express is refused with one line that names the field."""
    fields, line = REFUSED[what]
    with pytest.raises(CallError) as caught:
        asked(**fields)
    assert caught.value.status == 400
    assert line in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "logprobs": False, "parallel_tool_calls": True, "presence_penalty": 0},
        {"parallel_tool_calls": False, "functions": [], "verbosity": "medium"},
        {"seed": 1, "user": "u", "store": True, "metadata": {"a": "b"}, "prompt_cache_key": "k"},
        {"temperature": None, "top_p": None, "stop": None, "tools": None, "tool_choice": None},
        {"service_tier": "auto", "reasoning_effort": "none", "response_format": {"type": "text"}},
        {"tools": [TOOL], "tool_choice": "none"},
    ],
)
def test_what_asks_for_nothing(fields: dict[str, Any]) -> None:
    """The usual value, null, and what no answer depends on leave the request as it is."""
    assert asked(**fields) == asked()


def test_any_of_one_tool_is_one_call() -> None:
    """A demand for any tool, where there is one, is as good as its name: one call goes without saying."""
    demand = {"tools": [TOOL], "tool_choice": "required"}
    assert asked(**demand, parallel_tool_calls=False) == asked(**demand)


def test_a_forced_call_of_no_tool_is_none() -> None:
    """A choice that names a function, in a chat that offers none, leaves the model to think."""
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    forced = {"type": "function", "function": {"name": "f"}}
    assert asked(**thinking, tool_choice=forced) == asked(**thinking)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "f"}}, {"tool": {"name": "f"}}),
    ],
)
def test_choices_of_tools(choice: object, said: object) -> None:
    """Each choice that Converse has is said in its words."""
    assert asked(tools=[TOOL], tool_choice=choice)["toolConfig"]["toolChoice"] == said


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
parts = st.lists(
    st.one_of(
        texts.map(lambda text: {"type": "text", "text": text}),
        st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
    ),
    max_size=3,
)
turns = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "assistant"]),
        texts | parts,
    ),
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["system", "developer"]),
        texts,
    ),
    st.just(CALLED),
    st.just(RESULT),
)


@given(st.lists(turns, max_size=8))
def test_any_chat_is_a_request_that_bedrock_knows(messages: list[dict[str, Any]]) -> None:
    """Roles alternate, no text is blank, nothing said is lost, and Amazon's model of the API agrees."""
    body = asked(messages=messages)
    roles = [turn["role"] for turn in body["messages"]]
    assert all(a != b for a, b in pairwise(roles))
    assert all(turn["content"] for turn in body["messages"])
    report = botocore.validate.ParamValidator().validate({"modelId": "m", **body}, SHAPE)
    assert not report.has_errors(), report.generate_report()
    wanted = [text for message in messages for text in spoken(message) if text.strip()]
    reported = [text.removeprefix("<system>").removesuffix("</system>") for text in found(body)]
    # Results of tools go before what else the assistant hears, so order is kept among the others.
    assert sorted(text for text in reported if text != BEGINNING) == sorted(wanted)
    results = {text for turn in messages if turn["role"] == "tool" for text in spoken(turn)}
    others = [text for text in wanted if text not in results]
    assert [text for text in reported if text != BEGINNING and text not in results] == others
    assert not {"system"} & set(roles)


def spoken(message: dict[str, Any]) -> list[str]:
    """The texts of a message of a chat."""
    content = message["content"] or []
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if part["type"] == "text"]


def found(body: Any) -> list[str]:
    """The texts of a request, in order."""
    blocks = [*body.get("system", []), *(b for turn in body["messages"] for b in turn["content"])]
    results = [b["toolResult"]["content"] if "toolResult" in b else [b] for b in blocks]
    return [block["text"] for inner in results for block in inner if "text" in block]


answers = st.builds(
    ConverseAnswer,
    words=st.lists(st.text(min_size=1, max_size=5), max_size=4).map(tuple),
    thoughts=st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple),
    tool=st.none() | st.just(("f", '{"city": "Rome", "n": [1, 2]}')) | st.just(("g", "{}")),
    input_tokens=st.integers(0, 1000),
    cache_read=st.integers(0, 1000),
    stop_reason=st.sampled_from(["", "aNewReason", *CONVERSE_FINISH_REASONS]),
)


@given(answers)
def test_a_stream_says_what_a_whole_answer_says(answer: ConverseAnswer) -> None:
    """The deltas put together are the message: text, signed thoughts, calls, reason and usage."""
    whole = json.loads(put_back(WAY, call_of({}), msgspec.json.encode(converse_of(answer, {}))))
    wanted = whole["choices"][0]["message"]
    said, reason, usage = put_together(answer)
    assert said["content"] == (wanted["content"] or "")
    assert said["reasoning_content"] == wanted.get("reasoning_content", "")
    assert said["thinking_blocks"] == wanted.get("thinking_blocks", [])
    calls = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
             for c in wanted.get("tool_calls", [])]  # fmt: skip
    assert said["calls"] == calls
    assert reason == whole["choices"][0]["finish_reason"]
    assert usage == whole["usage"]


def put_together(answer: ConverseAnswer) -> tuple[dict[str, Any], str, Any]:
    """Message put together from the deltas of a stream, its stop reason, and its usage."""
    stream = PutBack(WAY, call_of({}, stream=True))
    events = [
        b"data: " + json.dumps({name: payload}).encode() + b"\n\n"
        for name, payload in events_of(answer, {})
    ]
    chunks = [
        json.loads(event_data(chunk))
        for event in events
        for chunk in EventSplitter().feed(stream.event(event))
    ]
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", [])]
    calls = []
    for index in range(len({piece["index"] for piece in pieces})):
        own = [piece for piece in pieces if piece["index"] == index]
        arguments = "".join(piece["function"].get("arguments", "") for piece in own)
        calls.append((own[0]["id"], own[0]["function"]["name"], json.loads(arguments)))
    said = {
        "content": "".join(delta.get("content", "") for delta in deltas),
        "reasoning_content": "".join(delta.get("reasoning_content", "") for delta in deltas),
        "thinking_blocks": [b for delta in deltas for b in delta.get("thinking_blocks", [])],
        "calls": calls,
    }
    reasons = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
    return said, reasons[-1], chunks[-1]["usage"]


@given(st.binary(max_size=60) | st.dictionaries(st.text(max_size=9), st.none() | st.integers()).map(
    msgspec.json.encode
))  # fmt: skip
def test_an_event_that_is_none(data: bytes) -> None:
    """An event with any data is put over or is the upstream's failure."""
    with suppress(UpstreamError):
        PutBack(WAY, call_of({})).event(b"data: " + data.replace(b"\n", b"") + b"\n\n")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"output":1}', b"\xff"])
def test_an_answer_that_is_none(data: bytes) -> None:
    """A whole answer that cannot be read is the upstream's failure."""
    with pytest.raises(UpstreamError, match="cannot be read"):
        put_back(WAY, call_of({}), data)
