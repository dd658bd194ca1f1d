"""Refusals that tell what one model lacks, against those for a fault of the request or of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.cloud.conftest import Run

from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.cloud.routing.policy import RoutePolicy, Strategy
from inferworks.cloud.serving.lacking import lacking
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.meter.usage import Outcome
from inferworks.testing.in_process_gateway import open_gateway, open_gateway_over
from inferworks.testing.providers import A_MODEL

CHAT_MODEL = "This is a chat model and not supported in the v1/completions endpoint."
UNKNOWN = "The model `x` does not exist or you do not have access to it."


def body(**error: Any) -> bytes:
    """An error body of OpenAI's."""
    whole = {"message": "no", "type": "invalid_request_error", "param": None, "code": None, **error}
    return json.dumps({"error": whole}).encode()


@pytest.mark.parametrize(
    ("status", "data", "lacks"),
    [
        (400, body(code="unsupported_parameter", param="max_tokens"), True),
        (400, body(code="unsupported_value", param="temperature"), True),
        (422, body(code="unknown_parameter", param="verbosity"), True),
        (404, body(message=CHAT_MODEL, param="model"), True),
        (404, body(message=UNKNOWN, param="model", code="model_not_found"), False),
        (404, body(message="Invalid URL (POST /v2/x)"), False),
        (404, body(code="DeploymentNotFound", param="x"), False),
        (404, b'{"type":"error","error":{"type":"not_found_error","message":"model: x"}}', False),
        (404, b"<html>nginx</html>", False),
        (400, body(code="invalid_value"), False),
        (400, body(code="context_length_exceeded"), False),
        (400, body(code="unsupported_parameter", message=""), False),
        (400, b'{"error":{"message":5,"code":["unsupported_value"]}}', False),
        (401, body(code="unsupported_value"), False),
        (500, body(code="unsupported_value"), False),
    ],
)
def test_its_words_tell(status: int, data: bytes, lacks: bool) -> None:
    """A code, or a 404 about a parameter; words, code and parameter are kept."""
    found = lacking(status, data)
    assert (found is not None) == lacks
    if found is not None:
        said = json.loads(data)["error"]
        assert (found.status, found.message, found.is_callers) == (status, said["message"], True)
        assert (found.code, found.param) == (said["code"], said["param"])


@given(st.sampled_from([400, 404, 422]), st.binary(max_size=200))
def test_any_bytes_are_read(status: int, data: bytes) -> None:
    """Any bytes that an upstream writes are read without an error of ours."""
    assert lacking(status, data) is None


def test_a_chat_model_asked_for_by_the_older_operation(run: Run) -> None:
    """The upstream's helpful words reach the caller, it is recorded as refused, and chats go on."""

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            (offer,) = gateway.catalogue.offers(A_MODEL)
            gateway.catalogue.ready[A_MODEL] = [replace(offer, upstream_model="gpt-4o")]
            asks = json.dumps({"model": A_MODEL, "prompt": "x", "max_tokens": 3}).encode()
            for _ in range(12):
                answer = await gateway.ask("POST", "/v1/completions", asks)
                assert answer.status == 404
                assert CHAT_MODEL in answer.json["error"]["message"]
            _, secret = gateway.new_key()
            chat = {"model": A_MODEL, "messages": [{"role": "user", "content": "hi"}]}
            assert (await gateway.chat(chat, secret=secret)).status == 200
            *refused, answered = await gateway.usages()
        assert {usage.outcome for usage in refused} == {Outcome.REFUSED}
        assert {len(usage.legs) for usage in refused} == {1}
        assert answered.outcome is Outcome.ANSWERED

    run(main())


def test_it_is_read_before_it_is_put_into_the_caller_s_words(run: Run) -> None:
    """Anthropic's dialect has no code for it; the next offer is asked all the same."""

    async def main() -> None:
        refuses = Script(status=400, code="unsupported_parameter")
        lacks = TranslatingProvider(StubProvider([refuses], name="lacks"), TRANSLATIONS)
        has = TranslatingProvider(StubProvider(name="has"), TRANSLATIONS)
        asks = {"model": A_MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        body = json.dumps(asks).encode()
        async with open_gateway_over(
            lacks, has, policy=RoutePolicy(strategy=Strategy.FALLBACK)
        ) as gateway:
            assert (await gateway.ask("POST", "/v1/messages", body)).status == 200
            (served,) = await gateway.usages()
        async with open_gateway_over(lacks) as gateway:
            answer = await gateway.ask("POST", "/v1/messages", body)
            (refused,) = await gateway.usages()
        assert [leg.outcome for leg in served.legs] == [Outcome.REFUSED, Outcome.ANSWERED]
        assert (answer.status, answer.json["error"]["message"]) == (400, "refused by the stub")
        assert (refused.outcome, len(refused.legs)) == (Outcome.REFUSED, 1)

    run(main())
