"""Vertex's refusals, and the conversion to the dialects of others, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.exchanges import Answered, answered

from inferworks.testing.upstream import Answer
from inferworks.testing.upstreams.anthropic import MessageAnswer
from inferworks.testing.upstreams.vertex import (
    TOKEN,
    VERSIONS,
    FakeGemini,
    FakeVertexClaude,
)

PLACE = "/v1/projects/my-project/locations/europe-west1"
CHAT = f"{PLACE}/endpoints/openapi/chat/completions"
CLAUDE = f"{PLACE}/publishers/anthropic/models"
PREDICT = f"{CLAUDE}/claude-sonnet-4-5:rawPredict"
STREAM = f"{CLAUDE}/claude-sonnet-4-5:streamRawPredict"
COUNT = f"{CLAUDE}/count-tokens:rawPredict"
MESSAGES = [{"role": "user", "content": "hi"}]


def gemini(path: str = CHAT, *, token: str = TOKEN, **fields: Any) -> Answered:
    """The answer of Gemini to a chat."""
    request = {"model": "google/gemini-2.5-flash", "messages": MESSAGES, **fields}
    headers = {b"authorization": f"Bearer {token}".encode()}
    fake = FakeGemini((Answer(words=("Good", " day")),))
    return answered(fake.handle, "POST", path, json.dumps(request).encode(), headers)


def claude(path: str = PREDICT, *, token: str = TOKEN, **fields: Any) -> tuple[Answered, list[str]]:
    """The answer of Claude to messages, and the versions that it was asked in."""
    request = {"anthropic_version": VERSIONS[0], "messages": MESSAGES, "max_tokens": 9, **fields}
    body = {name: value for name, value in request.items() if value is not None}
    headers = {b"authorization": f"Bearer {token}".encode()}
    fake = FakeVertexClaude((MessageAnswer(words=("Good", " day"), input_tokens=7),))
    answer = answered(fake.handle, "POST", path, json.dumps(body).encode(), headers)
    return answer, fake.versions


def refused(code: int, message: str, status: str) -> dict[str, Any]:
    """Google's error body."""
    return {"error": {"code": code, "message": message, "status": status}}


def test_gemini_speaks_openais_dialect() -> None:
    """A chat with a publisher's model is answered as the script says."""
    answer = gemini()
    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "Good day"
    assert answer.json["model"] == "google/gemini-2.5-flash"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (
            {"token": "old"},
            (401, "Request had invalid authentication credentials.", "UNAUTHENTICATED"),
        ),
        (
            {"path": f"{PLACE}/endpoints/openapi/embeddings"},
            (404, f"{PLACE}/endpoints/openapi/embeddings was not found.", "NOT_FOUND"),
        ),
        ({"model": "gemini-2.5-flash"}, (400, "Invalid publisher model.", "INVALID_ARGUMENT")),
    ],
)
def test_gemini_refuses_as_google_does(asked: dict[str, Any], error: tuple[int, str, str]) -> None:
    """A bad token, another path and a model without a publisher; the error stands in an array."""
    answer = gemini(**asked)
    assert (answer.status, answer.json) == (error[0], [refused(*error)])


@pytest.mark.parametrize("version", VERSIONS)
def test_claude_is_named_in_the_path(version: str) -> None:
    """The message has the model of the path, and the version is remembered."""
    answer, versions = claude(anthropic_version=version)
    assert (answer.status, versions) == (200, [version])
    assert answer.json["model"] == "claude-sonnet-4-5"
    assert answer.json["content"] == [{"type": "text", "text": "Good day"}]


def test_claude_streams_and_counts() -> None:
    """Another method streams; a count has the model in its body, not in its path."""
    answer, _ = claude(STREAM, stream=True)
    assert answer.status == 200
    assert b"event: message_stop" in answer.body
    answer, versions = claude(COUNT, model="claude-sonnet-4-5", max_tokens=None)
    assert (answer.json, versions) == ({"input_tokens": 7}, [VERSIONS[0]])


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (
            {"token": ""},
            (401, "Request had invalid authentication credentials.", "UNAUTHENTICATED"),
        ),
        (
            {"path": f"{CLAUDE}/claude-sonnet-4-5:predict"},
            (404, f"{CLAUDE}/claude-sonnet-4-5:predict was not found.", "NOT_FOUND"),
        ),
        (
            {"anthropic_version": None},
            (400, "anthropic_version: Field required", "INVALID_ARGUMENT"),
        ),
        (
            {"anthropic_version": "2023-06-01"},
            (400, "anthropic_version: Field required", "INVALID_ARGUMENT"),
        ),
        (
            {"model": "claude-sonnet-4-5"},
            (400, "model: Extra inputs are not permitted", "INVALID_ARGUMENT"),
        ),
        ({"path": COUNT}, (400, "model: Extra inputs are not permitted", "INVALID_ARGUMENT")),
        ({"stream": True}, (400, "stream: must agree with the method", "INVALID_ARGUMENT")),
        ({"path": STREAM}, (400, "stream: must agree with the method", "INVALID_ARGUMENT")),
    ],
)
def test_claude_is_refused_as_google_does(
    asked: dict[str, Any], error: tuple[int, str, str]
) -> None:
    """Google's own demands come before Anthropic's, and nothing is remembered."""
    answer, versions = claude(**asked)
    assert (answer.status, answer.json, versions) == (error[0], refused(*error), [])


def test_anthropics_rules_hold_behind_googles() -> None:
    """A request that Anthropic refuses is refused in its words."""
    answer, _ = claude(max_tokens=None)
    assert answer.status == 400
    assert answer.json["error"]["message"] == "max_tokens: Field required"
