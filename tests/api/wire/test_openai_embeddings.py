"""`POST /v1/embeddings`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import openai
import pytest
from openai import AsyncOpenAI

from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.testing.in_process_gateway import open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Fault, Reports
from inferworks.testing.upstreams.vendors import Vendor

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
PATH = "/v1/embeddings"
ANYBODY = Vendor("anybody")
"""Takes whatever it is asked."""


@pytest.mark.parametrize(
    ("given", "texts"),
    [("one", 1), (["one", "two"], 2), ([9906, 1917], 1), ([[9906], [1917], [0]], 3)],
)
@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_the_client_reads_embeddings(run: Run, given: Any, texts: int, encoding: Any) -> None:
    """Each kind of input is embedded, in either encoding, and its tokens are input."""

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            async with AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret) as client:
                got = await client.embeddings.create(
                    model=A_MODEL, input=given, encoding_format=encoding or openai.omit, user="u"
                )
            vectors = [row.embedding for row in got.data]
            if encoding == "base64":
                assert vectors == ["AACAPgAAAL8AAAA+"] * texts
            else:
                assert vectors == [[0.25, -0.5, 0.125]] * texts
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.tokens) == ("embeddings", Tokens(5 * texts, 0))
            assert (usage.confidence, usage.end_user) == (Confidence.REPORTED, "u")

    run(main())


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"input": []}, "input", "empty_array"),
        ({"input": [1.5]}, "input[0]", "invalid_type"),
        ({"input": 1}, "input", "invalid_type"),
        ({"dimensions": 0}, "dimensions", "integer_below_min_value"),
        ({"encoding_format": 1}, "encoding_format", "invalid_type"),
    ],
)
def test_what_is_wrong_is_refused(run: Run, change: dict[str, Any], param: str, code: str) -> None:
    """A mistake is told in OpenAI's words, before any upstream hears of it."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            async with AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret) as client:
                body = {"model": A_MODEL, "input": "a", **change}
                with pytest.raises(openai.BadRequestError) as caught:
                    await client.post("/embeddings", body=body, cast_to=object)
            assert (caught.value.param, caught.value.code) == (param, code)
            assert upstream.received == []

    run(main())


@pytest.mark.parametrize(
    "change",
    [
        {"input": [{"text": "a"}, {"image": "https://example.com/a.png"}, "b"]},
        {"input": {"image": "aGk="}},
        {"input": ["a"] * 3000},
        {"input": "a", "encoding_format": "ubinary"},
    ],
)
def test_what_is_only_openais_bound_is_the_upstreams_to_say(
    run: Run, change: dict[str, Any]
) -> None:
    """Others embed pictures, and more at once; who does not, refuses it in its own words."""

    async def main() -> None:
        body = {"model": A_MODEL, "input": "a", **change}
        async with open_gateway(vendor=ANYBODY) as (gateway, upstream):
            answer = await gateway.ask("POST", PATH, msgspec.json.encode(body))
            assert answer.status == 200
            assert upstream.received[0].body == msgspec.json.encode(body)
            (usage,) = await gateway.usages()
            assert usage.tokens.input > 0
        async with open_gateway() as (gateway, upstream):
            answer = await gateway.ask("POST", PATH, msgspec.json.encode(body))
            assert (answer.status, len(upstream.received)) == (400, 1)
            (usage,) = await gateway.usages()
            assert usage.outcome is Outcome.REFUSED

    run(main())


@pytest.mark.parametrize(
    ("reports", "tokens", "confidence"),
    [
        (Reports.ZERO, Tokens(), Confidence.REPORTED),
        (Reports.NEVER, Tokens(1, 0), Confidence.ESTIMATED),
    ],
)
def test_zero_is_not_silence(
    run: Run, reports: Reports, tokens: Tokens, confidence: Confidence
) -> None:
    """An explicit zero is taken as it is; silence is estimated, and says so."""

    async def main() -> None:
        body = b'{"model":"inferworks-tiny","input":"text"}  '
        async with open_gateway(Answer(reports=reports)) as (gateway, _):
            await gateway.ask("POST", PATH, body)
            (usage,) = await gateway.usages()
            assert usage.confidence is confidence
            assert usage.tokens == tokens

    run(main())


@pytest.mark.parametrize("answer", [Answer(status=500), Answer(fault=Fault.ERROR_EVENT)])
def test_an_upstream_that_fails(run: Run, answer: Answer) -> None:
    """A failure is a 502 with one record and no charge."""

    async def main() -> None:
        async with open_gateway(answer) as (gateway, _):
            got = await gateway.ask("POST", PATH, b'{"model":"inferworks-tiny","input":"a"}')
            assert got.status == 502
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.tokens) == (Outcome.FAILED, Tokens())

    run(main())
