"""Round trips: a message comes back as it was, and a stream makes sense wherever it is cut."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.translations import PutBack, put_back

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.errors import UpstreamError
from inferworks.http.sse import event_data
from inferworks.ids import CallId, ModelId

TEXT = st.text(min_size=1, max_size=9)
SAID = TEXT.filter(str.strip)
"""A text that Anthropic takes."""
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True)
"""Ids of calls that every vendor takes."""
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
TEXT_BLOCK = SAID.map(lambda text: {"type": "text", "text": text})
CONTENT = SAID | st.lists(TEXT_BLOCK, min_size=2, max_size=3)
TOOL_USE = st.builds(
    lambda key, name, given: {"type": "tool_use", "id": key, "name": name, "input": given},
    IDS, TEXT, OBJECTS,
)  # fmt: skip
TOOL_RESULT = st.builds(
    lambda key, content: {"type": "tool_result", "tool_use_id": key, "content": content},
    IDS,
    CONTENT,
)
SPOKEN = CONTENT.map(lambda content: [{"role": "user", "content": content}])
CALLED = st.builds(
    lambda text, uses, results: [
        {"role": "assistant", "content": [text, *uses]},
        {"role": "user", "content": results},
    ],
    TEXT_BLOCK, st.lists(TOOL_USE, min_size=1, max_size=3), st.lists(TOOL_RESULT, min_size=1, max_size=3),
)  # fmt: skip
ANSWERED = SAID.map(lambda text: [{"role": "assistant", "content": text}])
TURNS = st.lists(SPOKEN | CALLED | ANSWERED, max_size=4).map(
    lambda runs: [t for run in runs for t in run]
)
TOOLS = st.lists(
    st.builds(lambda name, words, schema: {"name": name, "description": words, "input_schema": schema},
              TEXT, TEXT, OBJECTS.map(lambda fields: {**fields, "type": "object"})),
    min_size=1, max_size=2,
)  # fmt: skip
REQUESTS = st.fixed_dictionaries(
    {
        "model": TEXT,
        "max_tokens": st.integers(1, 1 << 40),
        "messages": st.builds(
            lambda head, turns, last: [*head, *turns, *last], SPOKEN, TURNS, SPOKEN
        ),
    },
    optional={
        "system": CONTENT,
        "tools": TOOLS,
        "stop_sequences": st.lists(SAID, min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "top_k": st.integers(0, 100),
        "metadata": TEXT.map(lambda user: {"user_id": user}),
    },
)


def messages_call(body: object, *, stream: bool = False) -> Call:
    """A call of messages."""
    data = json.dumps(body).encode()
    return Call(CallId("c"), Operation.MESSAGES, ModelId("m"), stream, wants_usage=True, body=data)


def without_results_joined(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results of tools that follow one another in one turn, as they come back."""
    joined: list[dict[str, Any]] = []
    for turn in turns:
        if joined and is_results(turn) and is_results(joined[-1]):
            joined[-1] = {**turn, "content": [*joined[-1]["content"], *turn["content"]]}
        else:
            joined.append(turn)
    return joined


def is_results(turn: dict[str, Any]) -> bool:
    """Return whether a turn is results of tools."""
    return isinstance(turn["content"], list) and turn["content"][0]["type"] == "tool_result"


@pytest.mark.slow
@given(REQUESTS)
def test_a_request_survives(request: dict[str, Any]) -> None:
    """A message that goes by way of a chat to Anthropic asks for the same."""
    blocks = [b for turn in request["messages"] for b in turn["content"] if isinstance(b, dict)]
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assume(len(calls) == len(set(calls)))  # Anthropic refuses others, and gets none
    chat = MessagesToChat().ask(messages_call(request))
    back = json.loads(ChatToMessages().ask(chat).body)
    wanted = {**request, "messages": without_results_joined(request["messages"])}
    assert back == json.loads(json.dumps(wanted))


ANSWER_BLOCKS = st.builds(
    lambda texts, uses: [*texts, *uses],
    st.lists(TEXT_BLOCK, max_size=1),
    st.lists(TOOL_USE, max_size=3),
)


@pytest.mark.slow
@given(
    ANSWER_BLOCKS, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)
)
def test_an_answer_survives(
    blocks: list[Any], fresh: int, read: int, written: int, output: int
) -> None:
    """A message that a chat client was given is the same to a client of messages, usage included."""
    calls_tools = any(block["type"] == "tool_use" for block in blocks)
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": blocks,
        "stop_reason": "tool_use" if calls_tools else "end_turn", "stop_sequence": None,
        "usage": {
            "input_tokens": fresh, "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written, "output_tokens": output,
        },
    }  # fmt: skip
    call = messages_call({})
    chat = put_back(ChatToMessages(), call, json.dumps(message).encode())
    back = json.loads(put_back(MessagesToChat(), call, chat))
    usage = json.loads(chat)["usage"]
    assert usage["prompt_tokens"] == fresh + read + written
    assert usage["prompt_tokens_details"]["cached_tokens"] == read
    kept = ("id", "model", "content", "stop_reason")
    assert {name: back[name] for name in kept} == {name: message[name] for name in kept}
    assert back["usage"]["output_tokens"] == output
    assert back["usage"]["cache_read_input_tokens"] == read


# --- streams

PIECES = st.lists(
    st.tuples(st.just("text"), TEXT)
    | st.tuples(st.just("thinking"), TEXT)
    | st.tuples(st.just("tool"), OBJECTS.map(json.dumps)),
    max_size=6,
)


def chat_events(pieces: list[tuple[str, str]], cut: int) -> list[bytes]:
    """A chat's stream that says `pieces`, arguments of tools in chunks of `cut` characters."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    tools = 0
    for kind, text in pieces:
        if kind == "tool":
            head = {
                "id": f"t{tools}",
                "type": "function",
                "function": {"name": "f", "arguments": ""},
            }
            deltas.append({"tool_calls": [{"index": tools, **head}]})
            for start in range(0, len(text), cut):
                piece = {"index": tools, "function": {"arguments": text[start : start + cut]}}
                deltas.append({"tool_calls": [piece]})
            tools += 1
        else:
            deltas.append({"content" if kind == "text" else "reasoning_content": text})
    events = [
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas
    ]
    end = [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if tools else "stop"}]
    events.append({"id": "c", "model": "m", "choices": end})
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    events.append({"id": "c", "model": "m", "choices": [], "usage": usage})
    return [b"data: %b\n\n" % json.dumps(event).encode() for event in events] + [
        b"data: [DONE]\n\n"
    ]


def split(data: bytes) -> list[bytes]:
    """The events in `data`, with their endings."""
    return [event + b"\n\n" for event in data.split(b"\n\n") if event]


def accumulated(events: list[bytes]) -> tuple[list[dict[str, Any]], str | None, bool]:
    """Blocks of a message's events, its stop reason, and whether it is whole.

    AssertionError where they break the grammar of a stream, at the first event that does: every beginning
    of what it accepts is a beginning of a stream.
    """
    blocks: list[dict[str, Any]] = []
    is_open, reason, whole = False, None, False
    for number, event in enumerate(events):
        data = msgspec.json.decode(event_data(event))
        assert event.startswith(b"event: " + data["type"].encode() + b"\n")
        assert not whole, "nothing follows the end"
        assert (number == 0) == (data["type"] == "message_start")
        match data["type"]:
            case "content_block_start":
                assert not is_open
                assert data["index"] == len(blocks)
                is_open = True
                blocks.append({**data["content_block"], "said": ""})
            case "content_block_delta":
                assert is_open
                assert data["index"] == len(blocks) - 1
                blocks[-1]["said"] += next(v for k, v in data["delta"].items() if k != "type")
            case "content_block_stop":
                assert is_open
                is_open = False
            case "message_delta":
                assert not is_open
                reason = data["delta"]["stop_reason"]
                assert data["usage"]["input_tokens"] == 9
            case "message_stop":
                assert reason
                whole = True
    return blocks, reason, whole


@pytest.mark.slow
@given(PIECES, st.integers(1, 9))
def test_a_chats_stream_as_a_messages(pieces: list[tuple[str, str]], cut: int) -> None:
    """A stream cut anywhere is a beginning of a message's; whole, it says what the chat said."""
    stream = PutBack(MessagesToChat(), messages_call({}, stream=True))
    *events, end = [stream.event(event) for event in chat_events(pieces, cut)]
    assert not accumulated(split(b"".join(events)))[2]
    blocks, reason, whole = accumulated(split(b"".join([*events, end])))
    assert whole
    tools = [text for kind, text in pieces if kind == "tool"]
    assert [block["said"] for block in blocks if block["type"] == "tool_use"] == tools
    for kind in ("text", "thinking"):
        said = "".join(block["said"] for block in blocks if block["type"] == kind)
        assert said == "".join(text for key, text in pieces if key == kind)
    assert reason == ("tool_use" if tools else "end_turn")


@pytest.mark.slow
@given(PIECES, st.integers(1, 9))
def test_a_stream_survives(pieces: list[tuple[str, str]], cut: int) -> None:
    """A chat's stream that went by way of a message's says the same to a client of chats."""
    call = messages_call({}, stream=True)
    there, back = PutBack(MessagesToChat(), call), PutBack(ChatToMessages(), call)
    chunks: list[dict[str, Any]] = []
    for event in chat_events(pieces, cut):
        for event_there in split(there.event(event)):
            for event_back in split(back.event(event_there)):
                assert not chunks or chunks[-1] != {"done": True}, "nothing follows the end"
                data = event_data(event_back)
                chunks.append({"done": True} if data == b"[DONE]" else msgspec.json.decode(data))
    *chunks, usage, done = chunks
    assert done == {"done": True}
    assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 9)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    for kind, field in (("text", "content"), ("thinking", "reasoning_content")):
        said = "".join(delta.get(field) or "" for delta in deltas)
        assert said == "".join(text for key, text in pieces if key == kind)
    calls: dict[int, str] = {}
    for call_piece in (piece for delta in deltas for piece in delta.get("tool_calls", ())):
        index = call_piece["index"]
        calls[index] = calls.get(index, "") + call_piece["function"]["arguments"]
    assert list(calls.values()) == [text for kind, text in pieces if kind == "tool"]


def test_calls_of_tools_that_are_not_numbered() -> None:
    """Some upstreams leave `index` out; a new id is a new call."""
    stream = PutBack(MessagesToChat(), messages_call({}, stream=True))
    events: list[bytes] = []
    for call in (
        {"id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "function": {"name": "g", "arguments": "{"}},
        {"function": {"arguments": "}"}},
    ):
        body = {"id": "c", "choices": [{"delta": {"tool_calls": [call]}}]}
        events += split(stream.event(b"data: %b\n\n" % json.dumps(body).encode()))
    blocks, _, _ = accumulated(events)
    assert [(block["id"], block["said"]) for block in blocks] == [("a", "{}"), ("b", "{}")]


Piece = tuple[int | None, str | None, str | None, str | dict[str, Any]]
"""Of a call of a tool: its number, id, name and arguments."""


A, B = ("a", "f", '{"n":1}'), ("b", "g", '{"m":2}')
FIRST, SECOND = ("toolu_0", *A[1:]), ("toolu_1", *B[1:])


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        ([(0, *A), (0, *B)], [A, B]),
        ([(0, None, *A[1:]), (0, "", *B[1:])], [FIRST, SECOND]),
        ([(0, None, *A[1:]), (0, None, *A[1:])], [FIRST, ("toolu_1", *A[1:])]),
        ([(None, "a", "f", '{"n"'), (None, "a", "f", ":1"), (None, "a", None, "}")], [A]),
        ([(0, "a", "f", '{"n"'), (0, "b", None, ":1"), (0, "c", None, "}")], [A]),
        ([(0, "a", "f", '{"n"'), (0, "a", "f", ":1}")], [A]),
        ([(None, None, "f", '{"n"'), (None, None, None, ":1}")], [FIRST]),
        ([(0, "a", "f", '{"n"'), (1, *B), (0, None, None, ":1}")], [A, B]),
        ([(0, "a", "f", ""), (1, "b", "g", ""), (1, None, None, "{}")],
         [("a", "f", ""), ("b", "g", "{}")]),
        ([(5, "a", "f", {"n": 1}), (2, *B)], [A, B]),
    ],
)  # fmt: skip
def test_which_call_a_piece_belongs_to(
    pieces: list[Piece], calls: list[tuple[str, str, str]]
) -> None:
    """By id, number and name together, for upstreams get each of them wrong; mixed up calls are sorted."""
    bodies = [
        {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}
        for index, id_, name, arguments in pieces
    ]
    choices = [{"delta": {"tool_calls": [body]}} for body in bodies]
    events = [json.dumps({"id": "c", "choices": [choice]}).encode() for choice in choices]
    reported = b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}'
    sent = [b"data: %b\n\n" % event for event in [*events, reported, b"[DONE]"]]
    there = PutBack(MessagesToChat(), messages_call({}, stream=True)).events(sent)
    blocks, reason, whole = accumulated(split(there))
    assert [(block["id"], block["name"], block["said"]) for block in blocks] == calls
    assert (reason, whole) == ("tool_use", True)


@given(st.binary(max_size=60))
def test_whatever_comes_is_translated_or_refused(data: bytes) -> None:
    """No bytes of an upstream raise anything but an UpstreamError."""
    call = messages_call({}, stream=True)
    for stream in (PutBack(MessagesToChat(), call), PutBack(ChatToMessages(), call)):
        try:
            stream.event(b"data: %b\n\n" % data)
        except UpstreamError as error:
            assert error.sent  # noqa: PT017 both ends are fine
