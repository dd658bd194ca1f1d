"""Azure's addresses, keys and content filter, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.exchanges import Answered, answered

from inferworks.testing.upstreams.azure import API_VERSION, KEY, TOKEN, FakeAzure
from inferworks.testing.upstreams.script import Answer

V1 = "/openai/v1/chat/completions"
DEPLOYMENT = "/openai/deployments/my-gpt/chat/completions"
DATED = f"api-version={API_VERSION}"
SAFE = {"hate": {"filtered": False, "severity": "safe"}}


def asked(
    path: str = V1,
    query: str = "",
    headers: dict[bytes, bytes] | None = None,
    **fields: Any,
) -> tuple[Answered, FakeAzure]:
    """The answer to a chat, and who gave it."""
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **fields}
    fake = FakeAzure((Answer(words=("Good", " day")),))
    headers = {b"api-key": KEY.encode()} if headers is None else headers
    body = json.dumps(request).encode()
    return answered(fake.handle, "POST", path, body, headers, query), fake


@pytest.mark.parametrize(
    "headers", [{b"api-key": KEY.encode()}, {b"authorization": f"Bearer {TOKEN}".encode()}]
)
@pytest.mark.parametrize(("path", "query"), [(V1, ""), (V1, "x=1"), (DEPLOYMENT, DATED)])
def test_a_key_or_a_token_opens_both_addresses(
    headers: dict[bytes, bytes], path: str, query: str
) -> None:
    """The path of a deployment needs a version, the other one none; both are remembered."""
    answer, fake = asked(path, query, headers)
    assert answer.status == 200
    (choice,) = answer.json["choices"]
    assert choice["message"]["content"] == "Good day"
    assert fake.queries == [query]
    assert [one.path for one in fake.received] == [path]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"api-key": b"other"},
        {b"authorization": KEY.encode()},
        {b"api-key": TOKEN.encode()},
        {b"authorization": b"Bearer " + KEY.encode()},
    ],
)
def test_a_stranger_is_refused(headers: dict[bytes, bytes]) -> None:
    """A key is no token, and a token no key; nothing is answered."""
    answer, fake = asked(headers=headers)
    assert (answer.status, answer.json["error"]["code"]) == (401, "401")
    assert answer.json["error"]["message"].startswith(
        "Access denied due to invalid subscription key"
    )
    assert fake.received == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (DEPLOYMENT, ""),
        (DEPLOYMENT, "api-version=2023-05-15"),
        ("/openai/v1", ""),
        ("/v1/chat/completions", ""),
        ("/openai/deployments//chat/completions", DATED),
    ],
)
def test_another_address_is_not_found(path: str, query: str) -> None:
    """A deployment without the version, or a path of somebody else's."""
    answer, fake = asked(path, query)
    error = {"code": "404", "message": "Resource not found"}
    assert (answer.status, answer.json, fake.received) == (404, {"error": error}, [])


def test_choices_are_annotated() -> None:
    """A whole answer says of prompt and choice that both are safe."""
    body = asked()[0].json
    assert body["prompt_filter_results"] == [{"prompt_index": 0, "content_filter_results": SAFE}]
    assert [choice["content_filter_results"] for choice in body["choices"]] == [SAFE]


def test_a_stream_begins_without_a_choice() -> None:
    """The first event is about the prompt; the choices behind it are annotated."""
    lines = asked(stream=True)[0].body.decode().split("\n\n")
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert events[0]["choices"] == []
    assert events[0]["prompt_filter_results"][0]["content_filter_results"] == SAFE
    assert [event["choices"][0]["content_filter_results"] for event in events[1:]] == [SAFE] * 4
    assert lines[-2] == "data: [DONE]"
