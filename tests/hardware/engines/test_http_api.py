"""The HTTP API of an engine: its three paths, its key, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.exchanges import Answered, answered

from inferworks.clock import SimClock
from inferworks.errors import CallError
from inferworks.hardware.engines.base import GenerationRequest, Message
from inferworks.hardware.engines.http_api import CALL_ID_HEADER, EngineApi
from inferworks.hardware.engines.stub import StubEngine
from inferworks.http.exchange import Admission, Refused, RequestHead

CHAT = "/v1/chat/completions"


def asked(api: EngineApi, method: str, path: str, body: bytes = b"", **headers: str) -> Answered:
    """The answer to a request; each header with `_` for `-`."""
    named = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return answered(api.handle, method, path, body, named)


def made(*, token: str = "", healthy: bool = True, **engine: Any) -> EngineApi:
    """The API of a stub, twelve seconds after the epoch."""
    clock = SimClock(12_999_999_999)
    return EngineApi(StubEngine(clock, **engine), clock, lambda: healthy, token)


def chat(**fields: object) -> bytes:
    """A request of the stub's model with one message."""
    message = {"role": "user", "content": "one two"}
    return json.dumps({"model": "stub", "messages": [message], **fields}).encode()


def test_a_whole_answer_has_the_call_and_its_tokens() -> None:
    """The id is the gateway's, the time the clock's; the end is a token as well."""
    answer = asked(made(), "POST", CHAT, chat(), x_inferworks_call_id="call_7")
    assert answer.status == 200
    assert (answer.json["id"], answer.json["created"], answer.json["model"]) == (
        *("chatcmpl-call_7", 12, "stub"),
    )
    [choice] = answer.json["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("You said: one two", "stop")
    usage = answer.json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (3, 5, 8)


def test_a_call_without_an_id_is_given_one() -> None:
    """Two such calls have two."""
    api = made()
    first, second = (asked(api, "POST", CHAT, chat()).json["id"] for _ in range(2))
    assert first != second
    assert CALL_ID_HEADER == b"x-inferworks-call-id"


def test_a_stream_has_the_text_in_pieces() -> None:
    """Events of the same text, the usage when it was asked for, and the end."""
    options = {"include_usage": True}
    answer = asked(made(), "POST", CHAT, chat(stream=True, stream_options=options))
    events = answer.body.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    pieces = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    texts = [c["delta"].get("content", "") for one in pieces for c in one["choices"]]
    assert "".join(texts) == "You said: one two"
    assert len(texts) > 2
    assert pieces[-1]["usage"]["total_tokens"] == 8


def test_the_model_is_listed() -> None:
    """There is one, as old as the server."""
    answer = asked(made(model="tiny"), "GET", "/v1/models")
    [model] = answer.json["data"]
    assert (answer.status, model["id"], model["created"]) == (200, "tiny", 12)


@pytest.mark.parametrize(("healthy", "status"), [(True, 200), (False, 503)])
def test_health_is_what_the_server_says(healthy: bool, status: int) -> None:
    """A status alone; calls are answered either way."""
    api = made(healthy=healthy)
    assert asked(api, "GET", "/health")[:2] == (status, b"")
    assert asked(api, "POST", CHAT, chat()).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/", b"", 404, "not_found"),
        ("GET", CHAT, b"", 404, "not_found"),
        ("POST", "/v1/models", b"", 404, "not_found"),
        ("POST", CHAT, chat(model="other"), 404, "model_not_found"),
        ("POST", CHAT, b"{", 400, None),
        ("POST", CHAT, chat(tools=[{"type": "function"}]), 400, "unsupported_parameter"),
        ("POST", CHAT, chat(messages=[{"role": "user", "content": "a " * 9}]), 400,
         "context_length_exceeded"),
    ],
)  # fmt: skip
def test_a_refusal_is_openai_s(
    method: str, path: str, body: bytes, status: int, code: str | None
) -> None:
    """Status and code say the reason, in the body that clients of OpenAI read."""
    answer = asked(made(context_tokens=8), method, path, body)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert answer.json["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "a~secret"}, {"authorization": ""}],
)
def test_a_stranger_is_refused(headers: Mapping[str, str]) -> None:
    """Without the token nothing is answered, not even the state of health, nor is a body taken."""
    api = made(token="a~secret")
    for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/health")):
        answer = asked(api, method, path, chat(), **headers)
        assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")
    named = {name.encode(): text.encode() for name, text in headers.items()}
    refused = api.admit(RequestHead("POST", CHAT, "", named))
    assert isinstance(refused, Refused)
    assert (refused.status, refused.body) == (401, answer.body)


def test_the_holder_of_the_token_is_answered() -> None:
    """Its bodies count as its own; without a token everybody's count as nobody's."""
    api, secret = made(token="a~secret"), "Bearer a~secret"
    assert asked(api, "POST", CHAT, chat(), authorization=secret).status == 200
    head = RequestHead("POST", CHAT, "", {b"authorization": secret.encode()})
    assert api.admit(head) == Admission(owner=secret.encode())
    assert made().admit(head) == Admission()


class Failing(StubEngine):
    """An engine that fails after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__(SimClock())
        self.left = steps

    async def pause(self, *, first: bool) -> None:
        """Fail when no step is left."""
        self.left -= 1
        if self.left < 0:
            raise CallError(500, "the engine failed", kind="server_error")


@pytest.mark.parametrize(("steps", "status"), [(0, 500), (1, 200)])
def test_a_failure_has_a_status_only_before_the_stream(steps: int, status: int) -> None:
    """Later it is an event of the stream, which ends without its usual end."""
    engine = Failing(steps)
    answer = asked(EngineApi(engine, SimClock(), lambda: True), "POST", CHAT, chat(stream=True))
    assert answer.status == status
    last = answer.body.decode().removesuffix("\n\n").split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "the engine failed"
    assert b"[DONE]" not in answer.body
    assert engine.open_calls == 0


def test_an_engine_is_asked_what_the_request_says() -> None:
    """Messages, limits and the gateway's id reach it."""
    seen: list[GenerationRequest] = []

    class Seen(StubEngine):
        """A stub that remembers what it was asked."""

        def generate(self, ask: GenerationRequest) -> Any:
            """Remember the request."""
            seen.append(ask)
            return super().generate(ask)

    api = EngineApi(Seen(SimClock()), SimClock(), lambda: True)
    asked(api, "POST", CHAT, chat(max_tokens=2, seed=9), x_inferworks_call_id="call_7")
    [ask] = seen
    assert (ask.call, ask.seed, ask.max_tokens) == ("call_7", 9, 2)
    assert ask.messages == (Message("user", "one two"),)
