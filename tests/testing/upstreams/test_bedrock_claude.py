"""Anthropic's models on Bedrock, without a server."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from tests.support.exchanges import Answered, answered

from inferworks.testing.upstreams.anthropic import MessageAnswer
from inferworks.testing.upstreams.bedrock import TOKEN
from inferworks.testing.upstreams.bedrock_claude import VERSIONS, FakeBedrockClaude

MODEL = "/model/anthropic.claude-sonnet-4-5"
MESSAGES = [{"role": "user", "content": "hi"}]


def asked(
    method: str = "invoke",
    *,
    answer: MessageAnswer | None = None,
    token: str = TOKEN,
    **fields: Any,
) -> tuple[Answered, FakeBedrockClaude]:
    """The answer to messages, and who gave it; a field that is None is left out."""
    request = {"anthropic_version": VERSIONS[0], "messages": MESSAGES, "max_tokens": 9, **fields}
    body: dict[str, Any] = {name: value for name, value in request.items() if value is not None}
    if method == "count-tokens":
        wrapped = b64encode(json.dumps(body).encode()).decode()
        body = {"input": {"invokeModel": {"body": wrapped}}}
    fake = FakeBedrockClaude((answer or MessageAnswer(words=("Good", " day"), input_tokens=7),))
    headers = {b"authorization": f"Bearer {token}".encode()}
    path = f"{MODEL}/{method}"
    return answered(fake.handle, "POST", path, json.dumps(body).encode(), headers), fake


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_is_answered(version: str) -> None:
    """The model is that of the path, and the request is remembered as the model gets it."""
    answer, fake = asked(anthropic_version=version)
    assert answer.status == 200
    assert answer.json["content"] == [{"type": "text", "text": "Good day"}]
    assert answer.json["model"] == "anthropic.claude-sonnet-4-5"
    assert fake.bodies == [{"anthropic_version": version, "messages": MESSAGES, "max_tokens": 9}]


def test_a_stream_is_made_of_binary_messages() -> None:
    """Amazon's own reader finds Anthropic's events, one in each."""
    answer, _ = asked("invoke-with-response-stream")
    buffer = EventStreamBuffer()
    buffer.add_data(answer.body)
    messages = list(buffer)
    assert {message.headers[":event-type"] for message in messages} == {"chunk"}
    events = [json.loads(b64decode(json.loads(one.payload)["bytes"])) for one in messages]
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
    texts = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert texts == ["Good", " day"]


def test_a_count_wraps_its_request() -> None:
    """The request within is the one that counts, and is checked as one."""
    answer, fake = asked("count-tokens")
    assert (answer.status, answer.json) == (200, {"inputTokens": 7})
    assert fake.bodies[0]["messages"] == MESSAGES
    assert asked("count-tokens", anthropic_version=None)[0].status == 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"anthropic_version": None},
            "Malformed input request: anthropic_version: required",
        ),
        (
            {"anthropic_version": "2023-06-01"},
            "Malformed input request: anthropic_version: required",
        ),
        ({"model": "m"}, "Malformed input request: extraneous key is not permitted"),
        ({"stream": False}, "Malformed input request: extraneous key is not permitted"),
        ({"max_tokens": None}, "max_tokens: Field required"),
    ],
)
def test_a_malformed_request_is_refused(fields: dict[str, Any], message: str) -> None:
    """Bedrock's demands come before Anthropic's, and both are an exception of validation."""
    answer, _ = asked(**fields)
    assert (answer.status, answer.json) == (400, {"message": message})
    kind = dict(answer.headers)[b"x-amzn-errortype"]
    assert kind.startswith(b"ValidationException:")


def test_a_stranger_and_another_path_are_refused() -> None:
    """Neither is remembered as a request of a model."""
    for given, status in (({"token": "other"}, 403), ({"method": "converse"}, 404)):
        answer, fake = asked(**given)  # type: ignore[arg-type]
        assert (answer.status, fake.bodies) == (status, [])


def test_a_scripted_status_is_an_exception() -> None:
    """Its name stands in a header, its words in the body."""
    answer, _ = asked(answer=MessageAnswer(status=429))
    assert (answer.status, answer.json["message"]) == (
        429,
        "Too many requests, please wait before trying again.",
    )
    assert dict(answer.headers)[b"x-amzn-errortype"].startswith(b"ThrottlingException:")
