"""The OpenAI dialect's two changes to the bytes that pass: asking for usage, and hiding it again."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.call import Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import with_usage
from inferworks.cloud.usage_parsers.openai import ChatReader
from inferworks.errors import RefusalError, UpstreamError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import make_call, told_tokens

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

TRICKY = st.sampled_from(
    [
        '","usage":{}',
        ',"usage":',
        '{"error"',
        '"usage"',
        "}}",
        "\\",
        '\\"',
        "\n\ndata: [DONE]",
        "é",
        "🙂",
    ]
)
TEXT = st.one_of(TRICKY, st.text(st.characters(codec="utf-8"), max_size=8))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.one_of(TEXT, st.sampled_from(["id", "seed", "user", "x"])).filter(
        lambda key: key not in {"stream_options", "usage", "choices", "error"}
    ),
    JSON,
    max_size=4,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n ", "\t: ")])


def dumps(value: object, separators: tuple[str, str], *, ascii_only: bool) -> bytes:
    """`value` as JSON in one of the many ways to write it."""
    return json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode()


def values(data: bytes) -> dict[str, bytes]:
    """The top-level fields of a JSON object, each value as its bytes."""
    return {key: bytes(value) for key, value in _raw(data).items()}


def event_of(data: bytes) -> bytes:
    """`data` framed as an event."""
    return b"data: " + data + b"\n\n"


def read_event(event: bytes, *, wants_usage: bool, wants_running: bool) -> Chunk:
    """The chunk of `event` for a client with these wishes; the upstream was asked for running usage."""
    call = make_call(wants_usage=wants_usage)
    call = msgspec.structs.replace(call, wants_running_usage=wants_running)
    return ChatReader(call, running_usage=True).event(event)


def read(data: bytes, *, usage: bool = False, running: bool = False) -> Chunk:
    """The chunk of the event of `data`."""
    return read_event(event_of(data), wants_usage=usage, wants_running=running)


# --- asking


@pytest.mark.slow
@given(FIELDS, SEPARATORS, st.booleans(), st.booleans())
def test_asking_keeps_every_other_value(
    fields: dict[str, Any], separators: tuple[str, str], ascii_only: bool, running: bool
) -> None:
    """Usage is asked for, and every other value keeps its bytes, in its order."""
    body = dumps(fields, separators, ascii_only=ascii_only)
    asked = values(with_usage(body, running=running))
    options = json.loads(asked.pop("stream_options"))
    assert options == {
        "include_usage": True,
        **({"continuous_usage_stats": True} if running else {}),
    }
    assert list(asked.items()) == list(values(body).items())


@pytest.mark.parametrize(
    ("given_options", "asked"),
    [
        (b"null", {"include_usage": True}),
        (b" { } ", {"include_usage": True}),
        (b'{"include_usage":false}', {"include_usage": True}),
        (b'{"include_usage":null,"x":[1, 2]}', {"include_usage": True, "x": [1, 2]}),
    ],
)
def test_asking_within_given_options(given_options: bytes, asked: dict[str, Any]) -> None:
    """Options that the client gave stay, except that usage is asked for."""
    body = b'{"model":"m","stream_options":' + given_options + b"}"
    assert json.loads(with_usage(body, running=False))["stream_options"] == asked


def test_asking_leaves_a_field_given_twice() -> None:
    """Of a field given twice the last one counts; both are passed on, as they are without a stream."""
    asked = with_usage(b'{"model":"a","model":"b","stream_options":{}}', running=False)
    assert asked == b'{"model":"a","model":"b","stream_options":{"include_usage":true}}'


def test_who_asks_already_is_not_asked_for() -> None:
    """A request that asks for its usage itself is passed on as it came."""
    body = b'{ "model":"m", "stream_options" : { "include_usage" : true } }'
    assert with_usage(body, running=False) == body


@pytest.mark.parametrize("number", [b"1.0", b"1e2", b"123456789012345678901234567890", b"-0.0"])
def test_asking_keeps_numbers_as_they_were_written(number: bytes) -> None:
    """No number is decoded and written anew."""
    assert b'"seed":' + number in with_usage(b'{"seed":' + number + b"}", running=True)


# --- hiding

CHOICE = {"index": 0, "delta": {"content": 'a,"usage":{"prompt_tokens":1}}'}}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.slow
@given(FIELDS, SEPARATORS, st.booleans(), st.integers(0, 5))
def test_running_usage_is_taken_out_alone(
    fields: dict[str, Any], separators: tuple[str, str], ascii_only: bool, place: int
) -> None:
    """Wherever it stands and however it is written, only the usage goes; all other bytes stay."""
    pairs = [*fields.items(), ("choices", [CHOICE])]
    pairs.insert(place % (len(pairs) + 1), ("usage", USAGE))
    data = dumps(dict(pairs), separators, ascii_only=ascii_only).replace(b"\n", b" ")
    chunk = read(data)
    assert told_tokens([chunk]) == Tokens(input=3, output=4)
    left = values(chunk.data.removeprefix(b"data: "))
    assert chunk.data.endswith(b"\n\n")
    assert left == {key: value for key, value in values(data).items() if key != "usage"}


@pytest.mark.slow
@given(FIELDS, SEPARATORS)
def test_an_event_without_usage_passes_byte_for_byte(
    fields: dict[str, Any], separators: tuple[str, str]
) -> None:
    """Most events are handed on as the very bytes that came, whatever their text looks like."""
    data = dumps({**fields, "choices": [CHOICE]}, separators, ascii_only=False)
    data = data.replace(b"\n", b" ")
    assert read(data) == Chunk(event_of(data))


@pytest.mark.parametrize(
    "spaced", [b'{"choices": [{}], "usage": %b}', b'{"usage":%b,"choices":[{}]}']
)
def test_running_usage_that_the_client_asked_for_stays(spaced: bytes) -> None:
    """Usage that the client asked for, or that we did not, is not taken out."""
    data = spaced % json.dumps(USAGE).encode()
    assert read(data, running=True) == Chunk(event_of(data), ReportedUsage(Tokens(3, 4)))


def test_explicit_zero_is_a_report() -> None:
    """Zero tokens are told apart from no usage, which an empty object is too."""
    usage = b'"usage": {"prompt_tokens": 0, "completion_tokens": 0}'
    assert read(b'{"choices":[],' + usage + b"}") == Chunk(b"", ReportedUsage(Tokens()))
    assert read(b'{"choices":[],"usage":{}}') == Chunk(b"", None)


@pytest.mark.parametrize(
    ("usage", "reported"),
    [
        (b'{"prompt_tokens":11.0,"completion_tokens":"7"}', ReportedUsage(Tokens(11, 7))),
        (
            b'{"prompt_tokens":11,"completion_tokens":7,"total_tokens":"many"}',
            ReportedUsage(Tokens(11, 7)),
        ),
        (
            b'{"prompt_tokens":11,"completion_tokens":7,"prompt_tokens_details":[]}',
            ReportedUsage(Tokens(11, 7)),
        ),
        (b'{"prompt_tokens":11,"total_tokens":18}', ReportedUsage(Tokens(11, 7))),
        (b'{"completion_tokens":7,"total_tokens":18}', ReportedUsage(Tokens(11, 7))),
        (
            b'{"prompt_tokens":-1,"completion_tokens":7,"total_tokens":18}',
            ReportedUsage(Tokens(11, 7)),
        ),
        (
            b'{"prompt_tokens":null,"completion_tokens":7}',
            ReportedUsage(Tokens(3, 7), is_estimate=True),
        ),
        (b'{"prompt_tokens":-1}', None),
        (b'{"prompt_tokens":1e999}', None),
        (b'{"prompt_tokens":9223372036854775808}', None),
        (b"[]", None),
        (b'"none"', None),
    ],
)
def test_counts_are_taken_as_far_as_they_are_any(
    usage: bytes, reported: ReportedUsage | None
) -> None:
    """A count that is written otherwise is read; one that is none is not told, and fails nobody."""
    data = b'{"choices":[],"created":null,"service_tier":[],"usage":' + usage + b"}"
    assert read(data, usage=True) == Chunk(event_of(data), reported)


def test_a_count_never_falls() -> None:
    """Usage that is told twice is cumulative: zeros behind it, or before it, change nothing."""
    reader = ChatReader(make_call())
    zeros = event_of(b'{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}')
    reported = event_of(b'{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}')
    last = [reader.event(event).reported for event in (zeros, reported, zeros)][-1]
    assert last is not None
    assert last.tokens == Tokens(11, 7)


@pytest.mark.parametrize("running", [False, True])
def test_the_usage_event_is_for_those_who_asked(running: bool) -> None:
    """The event of usage alone is hidden unless asked for, and counted either way."""
    data = b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}'
    assert read(data, running=running) == Chunk(b"", ReportedUsage(Tokens(3, 4)))
    assert read(data, usage=True, running=running) == Chunk(
        event_of(data), ReportedUsage(Tokens(3, 4))
    )


def test_details_are_parts_of_the_totals() -> None:
    """Cached and reasoning tokens are read; null details are none."""
    usage = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": None},
    }
    data = json.dumps({"choices": [], "usage": usage}).encode()
    assert told_tokens([read(data)]) == Tokens(input=3, output=4, cache_read=2, reasoning=0)


@pytest.mark.parametrize(
    "event",
    [
        b": keep-alive\n\n",
        b": OPENROUTER PROCESSING\r\n\r\n",
        b"\n\n",
        b"event: ping\n\n",
        b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
        b'data: {"choices":[{"usage":null}],"error":null}\r\n\r\n',
        b': note\nid: 7\ndata: {"choices":[{}]}\n\n',
    ],
)
def test_other_events_pass(event: bytes) -> None:
    """Comments and events of other kinds pass as they came and tell nothing."""
    assert read_event(event, wants_usage=False, wants_running=False) == Chunk(event)


@pytest.mark.parametrize(
    ("event", "without"),
    [
        ('data: {"choices":[{}],"usage":null}\n\n', 'data: {"choices":[{}]}\n\n'),
        ('data: {"choices":[{}],"usage":null,"x":"y"}\n\n', 'data: {"choices":[{}],"x":"y"}\n\n'),
        ('data:{"usage":null,"choices":[{}]}\r\n\r\n', 'data:{"choices":[{}]}\r\n\r\n'),
        (': a\nid: 7\ndata: { "a":1, "usage" : null }\n\n', ': a\nid: 7\ndata: { "a":1 }\n\n'),
        (
            'data: {"choices":[{"delta":{"content":",\\"usage\\":null"},"usage":null}],"usage":null}\n\n',
            'data: {"choices":[{"delta":{"content":",\\"usage\\":null"},"usage":null}]}\n\n',
        ),
        (
            'data: {"usage":null,"choices":[{"delta":{},"usage":null}]}\n\n',
            'data: {"choices":[{"delta":{},"usage":null}]}\n\n',
        ),
        (
            'data: {"a":"}","usage":null,"x":{"b":"}"},"choices":[{}]}\n\n',
            'data: {"a":"}","x":{"b":"}"},"choices":[{}]}\n\n',
        ),
        ('data: {"choices":[{}],\ndata: "usage": null}\n\n', 'data: {"choices":[{}]}\n\n'),
    ],
)
def test_null_for_usage_is_what_only_we_asked_for(event: str, without: str) -> None:
    """OpenAI writes it into each event of a stream that is asked for usage; no other byte changes."""
    chunk = read_event(event.encode(), wants_usage=False, wants_running=False)
    assert chunk == Chunk(without.encode())
    asked = read_event(event.encode(), wants_usage=True, wants_running=False)
    assert asked == Chunk(event.encode())


@pytest.mark.parametrize(
    "event",
    [b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n", b": x\ndata: [DONE]\n\n", b"data: [DONE] \n\n"],
)
def test_done_is_the_last(event: bytes) -> None:
    """The end of a stream is known however it is framed; by itself it is no answer."""
    reader = ChatReader(make_call())
    with pytest.raises(UpstreamError, match="no choices"):
        reader.event(event)
    reader.event(event_of(b'{"choices":[{"index":0}]}'))
    assert reader.event(event) == Chunk(event, last=True)


@pytest.mark.parametrize(
    ("choices", "whole"),
    [
        (b'[{"delta":{},"finish_reason":"stop"}]', True),
        (b'[{"delta":null,"finish_reason":"length"}]', True),
        (b'[{"delta":{"content":"a"},"finish_reason":null}]', False),
        (b'[{"delta":{"content":"finish_reason"}}]', False),
    ],
)
def test_an_orderly_end_behind_a_finish_reason_is_an_end(choices: bytes, whole: bool) -> None:
    """Without `[DONE]` an answer is whole if it says why it ended."""
    reader = ChatReader(make_call())
    assert reader.ended() is None
    reader.event(event_of(b'{"choices":%b}' % choices))
    reader.event(event_of(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'))
    assert reader.ended() == (Chunk(b"data: [DONE]\n\n", last=True) if whole else None)


@pytest.mark.parametrize(
    ("operation", "asks", "ends", "whole"),
    [
        (Operation.CHAT, {"n": 2}, [[0], [1]], True),
        (Operation.CHAT, {"n": 2}, [[1, 0]], True),
        (Operation.CHAT, {"n": 2}, [[0], [0]], False),
        (Operation.CHAT, {"n": 3}, [[0], [2]], False),
        (Operation.CHAT, {"n": 1}, [[0]], True),
        (Operation.CHAT, {"n": 10**6}, [[0], [1]], False),
        (Operation.CHAT, {"metadata": {"n": "2"}}, [[0]], True),
        (Operation.COMPLETIONS, {"prompt": "a"}, [[0]], True),
        (Operation.COMPLETIONS, {"prompt": ["a"]}, [[0]], True),
        (Operation.COMPLETIONS, {"prompt": ["a", "b"]}, [[1]], False),
        (Operation.COMPLETIONS, {"prompt": ["a", "b"]}, [[1], [0]], True),
        (Operation.COMPLETIONS, {"prompt": ["a", "b"], "n": 2}, [[1], [0], [2]], False),
        (Operation.COMPLETIONS, {"prompt": [[1, 2], [3]], "n": 2}, [[3, 1], [0], [2]], True),
        (Operation.COMPLETIONS, {"prompt": [1, 2, 3]}, [[0]], True),
    ],
)
def test_an_end_of_several_choices(
    operation: Operation, asks: dict[str, Any], ends: list[list[int]], whole: bool
) -> None:
    """Without `[DONE]` an answer is whole once each of the choices that were asked for has ended."""
    body = msgspec.json.encode({"model": "m", **asks})
    call = msgspec.structs.replace(make_call(), operation=operation, body=body)
    reader = ChatReader(call)
    for number in range(3):
        reader.event(event_of(b'{"choices":[{"index":%d,"delta":{"content":"a"}}]}' % number))
    for numbers in ends:
        assert reader.ended() is None
        said = [{"index": number, "delta": {}, "finish_reason": "stop"} for number in numbers]
        reader.event(event_of(msgspec.json.encode({"choices": said})))
    assert (reader.ended() is not None) == whole


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (b'{"error":{"message":"no","code":400}}', 400),
        (b'{"error":{"message":"no","code":"429"}}', 429),
        (b'{"error":{"message":"no","status":"RESOURCE_EXHAUSTED"},"choices":[]}', 429),
        (b'{"error":{"message":"no","type":"invalid_request_error","code":null}}', 400),
        (b'{"error":{"message":"no","type":"server_error","code":"server_is_overloaded"}}', 503),
        (b'{"error":{"message":"no","type":"tokens","code":"rate_limit_exceeded"}}', 429),
        (b'{"object":"error","message":"no","type":"BadRequestError","code":400}', 400),
        (
            b'{"error":{"message":"no","code":502},"choices":[{"delta":{},"finish_reason":"error"}]}',
            502,
        ),
        (b'{"error":{"message":"no","code":200}}', 500),
        (b'{"error":"no"}', 500),
        (b'{"detail":"no"}', 500),
    ],
)
def test_an_error_is_judged_as_the_status_that_it_carries(error: bytes, status: int) -> None:
    """The error tells whose fault it is, by number or by name; its words are kept."""
    for answer in (lambda: read(error), lambda: ChatReader(make_call()).whole(error)):
        with pytest.raises(RefusalError, match="no") as caught:
            answer()
        assert (caught.value.status, caught.value.words) == (status, "no")


def test_an_error_beside_an_answer_is_none() -> None:
    """A field that is called so and says nothing, or stands beside what is said, fails nobody."""
    for error in (b"null", b"{}", b'""', b"false", b"0", b'{"message":"a note"}'):
        data = b'{"choices":[{"delta":{"content":"a"}}],"error":%b}' % error
        assert read(data) == Chunk(event_of(data))


@pytest.mark.parametrize(
    "data",
    [
        b'{"error":{"message":"no"}}',
        b'{ "id": 1, "error": "no" }',
        b'{"choices":[],"error":{"message":"no"}}',
        b'{"choices":[{"ind',
        b"[1]",
        b"hello",
        b'{"choices":7}',
        b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"usage":{"\xff":1,"prompt_tokens":NaN}}',
    ],
)
def test_errors_and_nonsense_break_the_stream(data: bytes) -> None:
    """An error within a stream, or what cannot be read, fails the attempt; work was done for it."""
    with pytest.raises(UpstreamError) as caught:
        read(data)
    assert caught.value.sent


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    """No bytes of an upstream raise anything but an UpstreamError."""
    try:
        read_event(data, wants_usage=False, wants_running=False)
    except UpstreamError as error:
        assert error.sent  # noqa: PT017 both ends are fine
