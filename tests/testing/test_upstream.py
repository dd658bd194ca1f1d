"""The fake of OpenAI and of the engines that speak as it does, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.exchanges import Answered, answered

from inferworks.testing.upstream import Answer, FakeUpstream, Fault, error_of
from inferworks.testing.upstreams.script import Reports
from inferworks.testing.upstreams.scripted_server import Broken
from inferworks.testing.upstreams.unlucky import Luck
from inferworks.testing.upstreams.vendors import MISTRAL, OPENAI, Vendor

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]


def asked(path: str = CHAT, answer: Answer | None = None, **fields: Any) -> Answered:
    """The answer to a request in JSON; a chat unless the path says otherwise."""
    chat = {"messages": MESSAGES} if path == CHAT else {}
    request = {"model": "gpt-4o", **chat, **fields}
    fake = FakeUpstream((answer or Answer(words=("a", "b")),))
    body = json.dumps(request).encode()
    return answered(fake.handle, "POST", path, body, {b"content-type": b"application/json"})


def events_of(answer: Answered) -> list[bytes]:
    """The events of a stream, without the empty lines between them."""
    *events, end = answer.body.split(b"\n\n")
    assert end == b"", "the last event is complete"
    return events


REQUESTS: dict[str, dict[str, Any]] = {
    CHAT: {},
    "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/responses/input_tokens": {"input": "hi"},
    "/v1/embeddings": {"input": "hi"},
    "/v1/moderations": {"input": "hi"},
    "/v1/rerank": {"query": "hi", "documents": ["a"]},
    "/v1/images/generations": {"prompt": "a cat"},
    "/v1/audio/speech": {"input": "hi", "voice": "alloy"},
}


@pytest.mark.parametrize("path", REQUESTS)
def test_each_operation_is_served(path: str) -> None:
    """A request that keeps the vendor's rules is answered at the path of its operation."""
    answer = asked(path, **REQUESTS[path])
    assert (answer.status, bool(answer.body)) == (200, True)


def test_another_path_is_not_found() -> None:
    """The error names the path."""
    answer = asked("/v1/nothing")
    assert answer.status == 404
    assert answer.json["error"]["message"] == "Invalid URL (POST /v1/nothing)"


@pytest.mark.parametrize(
    ("path", "name"),
    [(CHAT, "error"), ("/v1/audio/transcriptions", "error"), ("/v1/stable-image/generate/core", "errors")],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_refused(path: str, name: str) -> None:
    """In OpenAI's words, or in those of the vendor of the path."""
    fake = FakeUpstream((Answer(),))
    answer = answered(fake.handle, "POST", path, b"[]")
    assert (answer.status, name in answer.json) == (400, True)


def test_the_vendors_rules_come_before_the_script() -> None:
    """A request that OpenAI refuses is refused, though the script has another error."""
    answer = asked(answer=Answer(status=500), messages=None)
    assert answer.status == 400
    assert answer.json["error"]["param"] == "messages"


@pytest.mark.parametrize(
    ("status", "kind", "code", "message"),
    [
        (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-***."),
        (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
        (503, "server_error", None,
         "The engine is currently overloaded, please try again later."),
        (418, "server_error", None, "status 418"),
    ],
)  # fmt: skip
def test_a_scripted_status_has_openais_error(
    status: int, kind: str, code: str | None, message: str
) -> None:
    """A status without words of its own is the server's fault; headers of the script come along."""
    answer = asked(answer=Answer(status=status, headers=((b"retry-after", b"2"),)))
    error = {"message": message, "type": kind, "param": None, "code": code}
    assert (answer.status, answer.json) == (status, {"error": error})
    assert answer.body == error_of(status)
    assert dict(answer.headers)[b"retry-after"] == b"2"


def test_an_error_may_tell_its_status() -> None:
    """The code is the status itself where no head can tell it."""
    assert json.loads(error_of(429, is_told=True))["error"]["code"] == 429


def test_a_stream_ends_with_done() -> None:
    """Events of a chat have no names, and none is left behind the end."""
    answer = asked(stream=True)
    *events, done = events_of(answer)
    assert done == b"data: [DONE]"
    deltas = [json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"] for event in events]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}, {}]
    assert dict(answer.headers)[b"content-type"] == b"text/event-stream; charset=utf-8"


def test_named_events_have_no_done() -> None:
    """The name of each is the type in its data."""
    for event in events_of(asked("/v1/responses", input="hi", stream=True)):
        name, data = event.split(b"\n")
        kind = json.loads(data.removeprefix(b"data: "))["type"]
        assert name == f"event: {kind}".encode()


def test_a_stream_is_written_as_the_script_says() -> None:
    """Comments before each event, another end of line, JSON with spaces."""
    answer = Answer(words=("a",), comment_before_each="alive", line_end=b"\r\n", spaced=True)
    pieces = asked(answer=answer, stream=True).body.split(b"\r\n\r\n")
    assert pieces[::2] == [b": alive"] * 4 + [b""]
    assert pieces[-2] == b"data: [DONE]"
    assert all(piece.startswith(b'data: {"id": ') for piece in pieces[1:-2:2])


@pytest.mark.parametrize("never_streams", [True, False])
def test_an_engine_may_never_stream(never_streams: bool) -> None:
    """A whole body comes, though a stream was asked for."""
    answer = asked(answer=Answer(never_streams=never_streams), stream=True)
    assert answer.body.startswith(b'{"id":') is never_streams
    kind = b"application/json" if never_streams else b"text/event-stream; charset=utf-8"
    assert dict(answer.headers)[b"content-type"] == kind


def test_a_stream_may_be_unlucky() -> None:
    """Forms of events and of bytes are applied, to a whole body those of bodies."""
    luck = Luck(("comment first", "no [DONE]", "counts as floats"))
    options = {"stream": True, "stream_options": {"include_usage": True}}
    events = events_of(asked(answer=Answer(words=("a",), luck=luck), **options))
    assert events[0] == b": OPENROUTER PROCESSING"
    assert b'"completion_tokens":1.0' in events[-1]
    whole = asked(answer=Answer(words=("a",), luck=luck))
    assert b'"completion_tokens":1.0' in whole.body


@pytest.mark.parametrize(
    ("fault", "rest"),
    [
        (Fault.CLOSE, []),
        (
            Fault.GARBAGE,
            [b'data: {"id": "chatcmpl-1", "choices": [{"ind', b"data: [DONE]"],
        ),
        (Fault.ERROR_EVENT, [b"data: " + error_of(500)]),
    ],
)
def test_a_stream_breaks_behind_so_many_events(fault: Fault, rest: list[bytes]) -> None:
    """The events before it are whole."""
    plain = events_of(asked(stream=True))
    for after in (0, 2):
        answer = Answer(words=("a", "b"), fault=fault, fault_after=after)
        assert events_of(asked(answer=answer, stream=True)) == plain[:after] + rest


def test_an_error_event_may_tell_a_status() -> None:
    """The answer has begun with 200, so the event alone can tell."""
    answer = Answer(fault=Fault.ERROR_EVENT, fault_status=429)
    (event,) = events_of(asked(answer=answer, stream=True))
    assert event == b"data: " + error_of(429, is_told=True)


def test_a_connection_is_cut() -> None:
    """The handler leaves without an end, and the server cuts."""
    with pytest.raises(Broken):
        asked(answer=Answer(fault=Fault.RESET), stream=True)


def test_speech_is_sent_as_it_is_made() -> None:
    """Each word is a piece of sound; an error comes in place of all of it."""
    request = {"input": "hi", "voice": "alloy", "response_format": "wav"}
    sound = asked("/v1/audio/speech", **request)
    assert (sound.status, sound.body) == (200, b"ab")
    assert dict(sound.headers)[b"content-type"] == b"audio/wav"
    answer = Answer(words=("a", "b"), fault=Fault.ERROR_EVENT)
    assert asked("/v1/audio/speech", answer, **request).body == error_of(500)
    answer = Answer(words=("a", "b"), fault=Fault.CLOSE, fault_after=1)
    assert asked("/v1/audio/speech", answer, **request).body == b"a"


def test_a_script_goes_on_to_its_last_answer() -> None:
    """Every request is remembered, and gets the next answer."""
    fake = FakeUpstream([Answer(words=(word,), reports=Reports.NEVER) for word in ("a", "b")])
    body = json.dumps({"model": "gpt-4o", "messages": MESSAGES}).encode()
    given = [answered(fake.handle, "POST", CHAT, body).json for _ in range(3)]
    texts = [one["choices"][0]["message"]["content"] for one in given]
    assert texts == ["a", "b", "b"]
    assert [one.body for one in fake.received] == [body] * 3


@pytest.mark.parametrize("vendor", [MISTRAL, OPENAI], ids=["mistral", "openai"])
def test_some_vendors_tell_usage_without_being_asked(vendor: Vendor) -> None:
    """Mistral's last event with a choice has the usage, as docs/providers.md says; OpenAI's has none."""
    fake = FakeUpstream([Answer()], vendor)
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    *_, last, done = events_of(answered(fake.handle, "POST", CHAT, body))
    assert done == b"data: [DONE]"
    assert ("usage" in json.loads(last.removeprefix(b"data: "))) == vendor.tells_usage
