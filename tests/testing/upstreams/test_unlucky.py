"""The unlucky forms of answers: each changes what it names, and neither text nor calls nor counts."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

import pytest

from inferworks.testing.upstreams.unlucky import (
    CHAT,
    CONVERSE,
    FORMS,
    MESSAGES,
    RESPONSES,
    Luck,
    drawn,
)

DIALECTS = (CHAT, RESPONSES, MESSAGES, CONVERSE)
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def body(**message: Any) -> dict[str, Any]:
    """A whole chat with a message."""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 5,
        "choices": [choice],
        "usage": USAGE,
    }


def event(reason: str | None = None, /, **delta: Any) -> dict[str, Any]:
    """An event of a chat with a delta."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    """An event with a piece of a call."""
    name = {"name": more.pop("name")} if "name" in more else {}
    function = {**name, "arguments": arguments}
    return event(tool_calls=[{"index": index, **more, "function": function}])


def calls_of(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pieces of calls in some events."""
    return [
        one
        for event in events
        for choice in event["choices"]
        for one in choice["delta"].get("tool_calls", ())
    ]


def as_body(name: str, value: dict[str, Any], dialect: str = CHAT) -> dict[str, Any]:
    """A whole body in one form; the plain one stays as it is."""
    before = copy.deepcopy(value)
    changed = Luck((name,), 1).body(dialect, value)
    assert value == before, "a script may be used again"
    return changed


def as_events(name: str, events: list[dict[str, Any]], dialect: str = CHAT) -> list[dict[str, Any]]:
    """A stream in one form; the plain one stays as it is."""
    before = copy.deepcopy(events)
    changed = list(Luck((name,), 1).events(dialect, events))
    assert events == before, "a script may be used again"
    return changed


def framed(name: str, *pieces: bytes, last: bytes = b"", dialect: str = CHAT) -> list[bytes]:
    """The bytes of a stream in one form."""
    return list(Luck((name,), 1).framed(dialect, pieces, last))


TEXT = [event(role="assistant", content=""), event(content="a"), event("stop")]
TWO_CALLS = [
    piece(0, "", id="x", name="f"), piece(0, "{"), piece(0, "}"),
    piece(1, "", id="y", name="g"), piece(1, "[]"), event("tool_calls"),
]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_without_luck_an_answer_is_plain(dialect: str) -> None:
    """The very same body, events and bytes, the end behind them."""
    plain, events = body(content="a"), list(TEXT)
    assert Luck().body(dialect, plain) is plain
    assert Luck().events(dialect, events) is events
    assert list(Luck().framed(dialect, [b"a", b"b"], b"c")) == [b"a", b"b", b"c"]


def test_every_form_has_its_source() -> None:
    """A form of none of the dialects could never be drawn."""
    for form in FORMS.values():
        assert form.source
        assert form.dialects
        assert form.dialects <= set(DIALECTS)
        assert form.stage in ("body", "events", "framed")
    assert list(FORMS)[-1] == "cut anywhere", "bytes are cut last"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_forms_are_drawn_by_the_seed(dialect: str) -> None:
    """One to the most, each once, of this dialect; in many draws each of them comes."""
    lucks = [drawn(seed, dialect) for seed in range(300)]
    assert lucks == [drawn(seed, dialect) for seed in range(300)]
    assert {len(luck.names) for luck in lucks} == {1, 2, 3}
    assert all(len(set(luck.names)) == len(luck.names) for luck in lucks)
    expected = {name for name, form in FORMS.items() if dialect in form.dialects}
    assert {name for luck in lucks for name in luck.names} == expected
    assert len(drawn(1, dialect, most=1).names) == 1


@pytest.mark.parametrize(
    "name", [name for name, form in FORMS.items() if CONVERSE not in form.dialects]
)
def test_a_form_of_another_dialect_changes_nothing(name: str) -> None:
    """A luck may name forms of several dialects at once."""
    plain = {"usage": {"inputTokens": 1}, "created": 5}
    assert as_body(name, plain, CONVERSE) == plain
    assert as_events(name, TEXT, CONVERSE) == TEXT
    assert framed(name, b"a\n", last=b"b", dialect=CONVERSE) == [b"a\n", b"b"]


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if CHAT in form.dialects])
def test_a_form_leaves_the_original_and_the_counts(name: str) -> None:
    """Tokens and reason are equal, the same seed is the same form, and the result is JSON."""
    plain = body(content="a")
    changed = as_body(name, plain)
    assert json.loads(json.dumps(changed)) == changed == as_body(name, plain)
    usage = changed["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (7, 2)
    assert changed["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if CHAT in form.dialects])
def test_a_form_of_bytes_keeps_the_data(name: str) -> None:
    """The data of both events is there, in order, and no piece is empty."""
    pieces = framed(name, b"data: one\n\n", b"data: two\n\n", last=b"data: [DONE]\n\n")
    joined = b"".join(pieces)
    assert all(pieces)
    assert 0 < joined.index(b"one") < joined.index(b"two")


def test_new_fields_stand_in_every_object() -> None:
    """Arguments that are echoed get none, and neither do events of blocks, which are unions."""
    changed = as_body("extra fields", {"a": [{"b": 1}], "input": {"c": 1}}, MESSAGES)
    assert changed.keys() == {"a", "input", "x_new"}
    assert changed["a"][0].keys() == {"b", "x_new"}
    assert changed["input"] == {"c": 1}
    block = {"contentBlockIndex": 0, "delta": {"text": "a"}}
    changed = as_body("extra fields", block, CONVERSE)
    assert changed.keys() == block.keys()
    assert changed["delta"].keys() == {"text", "x_new"}


def test_the_order_of_fields_is_free() -> None:
    """Another order is the same object, and for some seed it is really another."""
    plain = {str(number): {"a": 1, "b": 2} for number in range(9)}
    changed = as_body("other order", plain)
    assert changed == plain
    assert list(changed) != list(plain)


def test_counts_and_times_keep_their_value() -> None:
    """Counts become floats of the same value; a time moves by less than a second."""
    counted = as_body("counts as floats", body(content="a"))
    assert counted == body(content="a")
    assert {type(value) for value in counted["usage"].values()} == {float}
    timed = as_body("time with a fraction", body(content="a"))
    assert 5 < timed["created"] < 6
    assert {**timed, "created": 5} == body(content="a")


def test_fields_that_nobody_needs_are_null_or_missing() -> None:
    """Text, reasons and both counts stay."""
    plain = {**body(content="a"), "system_fingerprint": "fp"}
    nulls = as_body("nulls", plain)
    assert (nulls["id"], nulls["system_fingerprint"]) == (None, None)
    assert (nulls["choices"], nulls["usage"]) == (plain["choices"], USAGE)
    assert as_body("nulls", event("stop"))["choices"][0]["delta"] is None
    assert as_body("nulls", {"choices": []})["choices"] is None
    left = as_body("needless left out", plain)
    assert left == {
        "id": "c",
        "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }


@pytest.mark.parametrize(("make", "field"), [(body, "message"), (event, "delta")])
def test_a_text_may_come_with_thoughts(make: Any, field: str) -> None:
    """In parts or beside it, the text is there; where there is none there are no thoughts."""
    (choice,) = as_body("content in parts", make(content="a"))["choices"]
    thoughts, text = choice[field]["content"]
    assert thoughts == {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    assert text == {"type": "text", "text": "a"}
    for name in ("reasoning_content", "reasoning"):
        (choice,) = as_body(f"thoughts in {name}", make(content="a"))["choices"]
        assert choice[field] == {"content": "a", name: "Hm."}
    for name in ("content in parts", "thoughts in reasoning", "thoughts in reasoning_content"):
        assert as_body(name, make(content="")) == make(content="")
        assert as_body(name, make(content=None)) == make(content=None)


def test_arguments_may_be_an_object() -> None:
    """The object is the JSON that the arguments were."""
    call = {"id": "x", "function": {"name": "f", "arguments": '{"a": [1]}'}}
    changed = as_body("arguments as an object", body(tool_calls=[call]))
    (choice,) = changed["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == {"a": [1]}
    assert as_body("arguments as an object", body(content="a")) == body(content="a")


def test_events_may_say_more_than_they_need() -> None:
    """An event without content stands before the first; each has the role."""
    first, *rest = as_events("empty event first", TEXT)
    assert (first["choices"], rest) == ([], TEXT)
    roles = [one["choices"][0]["delta"] for one in as_events("role in each event", TEXT)]
    assert roles == [
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "a"},
        {"role": "assistant"},
    ]


def test_usage_may_stand_elsewhere() -> None:
    """On the finish, or with zeros before or behind it; without usage nothing changes."""
    counted = [*TEXT, {"choices": [], "usage": USAGE}]
    zero = dict.fromkeys(USAGE, 0)
    on_finish = as_events("usage on the finish", counted)
    assert on_finish == [TEXT[0], TEXT[1], {**TEXT[2], "usage": USAGE}]
    before = as_events("zeros before the usage", counted)
    assert [one["usage"] for one in before] == [zero, zero, zero, USAGE]
    behind = as_events("zeros behind the usage", counted)
    assert behind == [*counted, {"choices": [], "usage": zero}]
    for name in ("usage on the finish", "zeros before the usage", "zeros behind the usage"):
        assert as_events(name, TEXT) == TEXT


def test_ids_may_be_told_again_or_be_empty() -> None:
    """Behind the first piece of a call its id is repeated, or an empty string."""
    again = calls_of(as_events("ids repeated", TWO_CALLS))
    assert [one["id"] for one in again] == ["x", "x", "x", "y", "y"]
    assert {one["type"] for one in again} == {"function"}
    empty = calls_of(as_events("ids empty", TWO_CALLS))
    assert [one["id"] for one in empty] == ["x", "", "", "y", ""]
    assert [one["function"]["name"] for one in empty] == ["f", "", "", "g", ""]


def test_a_call_may_come_whole() -> None:
    """One event each, all of index 0, with the arguments put together."""
    changed = as_events("whole calls of index 0", [TEXT[1], *TWO_CALLS])
    assert changed == [
        TEXT[1],
        piece(0, "{}", id="x", name="f"),
        piece(0, "[]", id="y", name="g"),
        event("tool_calls"),
    ]


def test_the_pieces_of_calls_may_be_mixed() -> None:
    """Each call keeps the order of its own; a call by itself stays as it is."""
    mixed = calls_of(as_events("calls interleaved", TWO_CALLS))
    assert [one["index"] for one in mixed] == [0, 1, 0, 1, 0]
    for index, arguments in ((0, "{}"), (1, "[]")):
        parts = [one["function"]["arguments"] for one in mixed if one["index"] == index]
        assert "".join(parts) == arguments
    assert as_events("calls interleaved", TWO_CALLS[:3]) == TWO_CALLS[:3]
    assert as_events("calls interleaved", TEXT) == TEXT


def test_an_index_is_left_out_where_calls_can_be_told_apart() -> None:
    """Interleaved calls keep theirs."""
    changed = calls_of(as_events("calls without index", TWO_CALLS))
    assert all("index" not in one for one in changed)
    mixed = as_events("calls interleaved", TWO_CALLS)
    assert as_events("calls without index", mixed) == mixed


def test_an_end_may_be_called_a_stop_beside_calls() -> None:
    """Another reason stays."""
    ends = [event("tool_calls"), event("length"), event()]
    changed = as_events("stop beside calls", ends)
    assert [one["choices"][0]["finish_reason"] for one in changed] == ["stop", "length", None]


def test_a_message_may_tell_its_input_twice() -> None:
    """The second time as zeros or as it was; the output is that of the last event."""
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}
    end = {"type": "message_delta", "usage": {"output_tokens": 3}}
    bare = {"type": "message_delta"}
    zeros = as_events("input again as zero", [start, end, bare], MESSAGES)
    cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    assert zeros == [
        start,
        {"type": "message_delta", "usage": {"input_tokens": 0, "output_tokens": 3, **cached}},
        bare,
    ]
    again = as_events("usage again", [start, end, bare], MESSAGES)
    assert again[1:] == [{**end, "usage": {"input_tokens": 7, "output_tokens": 3}}, bare]


@pytest.mark.parametrize("last", ["message_stop", "response.completed", "response.incomplete"])
def test_unknown_events_stand_between_known_ones(last: str) -> None:
    """None is lost, and none comes behind the last."""
    events = [{"type": "known", "n": number} for number in range(20)] + [{"type": last}]
    changed = as_events("unknown events", events, MESSAGES)
    assert [one for one in changed if one in events] == events
    assert {one["type"] for one in changed} == {"known", last, "ping", "new.event"}
    assert changed[-1] == {"type": last}


EVENT, DONE = b"event: e\ndata: {}\n\n", b"data: [DONE]\n\n"
BYTES = {
    "comment first": [b": OPENROUTER PROCESSING\n\n", EVENT, DONE],
    "comments between": [b": keep-alive\n\n", EVENT, b": keep-alive\n\n", DONE],
    "lines end with CRLF": [b"event: e\r\ndata: {}\r\n\r\n", b"data: [DONE]\r\n\r\n"],
    "ids and waits": [b"id: 0\nretry: 3000\n" + EVENT, b"id: 1\nretry: 3000\n" + DONE],
    "no space behind data": [b"event: e\ndata:{}\n\n", b"data:[DONE]\n\n"],
    "no [DONE]": [EVENT],
    "[DONE] and a space": [EVENT, b"data: [DONE] \n\n"],
    "[DONE] and no end of line": [EVENT, b"data: [DONE]"],
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_of_a_stream(name: str) -> None:
    """Comments, line ends, fields and ends that the specification or some vendor has."""
    assert framed(name, EVENT, last=DONE) == BYTES[name]


def test_events_may_lack_their_names() -> None:
    """The data is there, and an empty end is no piece."""
    assert framed("no names", EVENT, dialect=MESSAGES) == [b"data: {}\n\n"]


@pytest.mark.parametrize("seed", range(5))
def test_bytes_may_be_cut_anywhere(seed: int) -> None:
    """The stream is the same, and its pieces are no events."""
    events = [b"data: %s\n\n" % json.dumps({"n": number}).encode() for number in range(30)]
    pieces = list(Luck(("cut anywhere",), seed).framed(CHAT, events, DONE))
    assert b"".join(pieces) == b"".join(events) + DONE
    assert pieces != [*events, DONE]
    assert all(0 < len(one) <= 300 for one in pieces)


def test_several_forms_come_together() -> None:
    """Their order is that of their table, whatever that of the luck is."""
    names = ("no space behind data", "comment first", "lines end with CRLF")
    expected = [b": OPENROUTER PROCESSING\r\n\r\n", b"event: e\r\ndata:{}\r\n\r\n"]
    assert list(Luck(names).framed(CHAT, [EVENT])) == expected
    assert list(Luck(names[::-1]).framed(CHAT, [EVENT])) == expected
