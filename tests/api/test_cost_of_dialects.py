"""The cost is in the answer in whatever dialect was asked and is answered, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any

import msgspec
import pytest
from tests.observe.conftest import Run

from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.client import HttpClient
from inferworks.testing.in_process_gateway import Answered, InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic

from .test_cost_disclosure import INCLUDE, charge

SAID: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
ASKED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": SAID}),
    "messages": ("/v1/messages", {"messages": SAID, "max_tokens": 100}),
    "responses": ("/v1/responses", {"input": "hello"}),
}


@asynccontextmanager
async def house_before(upstream: str) -> AsyncIterator[InProcessGateway]:
    """A gateway before an upstream of this dialect, with a customer that pays."""
    with closing(HttpClient()) as client:
        if upstream == "openai":
            async with open_upstream(Answer()) as fake:
                provider = openai_provider(client, NoCredential(), name="openai")
                translating = TranslatingProvider(provider, TRANSLATIONS)
                async with open_gateway_over(translating, origin=fake.origin) as gateway:
                    charge(gateway)
                    yield gateway
        else:
            async with open_anthropic(MessageAnswer()) as anthropic:
                speaks = PassthroughProvider(client, ANTHROPIC, NoCredential())
                translating = TranslatingProvider(speaks, TRANSLATIONS)
                async with open_gateway_over(translating, origin=anthropic.origin) as gateway:
                    charge(gateway)
                    yield gateway


def costs_in(answer: Answered) -> list[str]:
    """Every cost in an answer, as it is written."""
    if answer.body.startswith(b"{"):
        texts = [answer.body]
    else:
        texts = [line[6:] for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    found = []
    for text in texts:
        value = json.loads(text, parse_float=str)
        usage = value.get("usage") or (value.get("response") or {}).get("usage") or {}
        found += [usage["cost"]] if "cost" in usage else []
    return found


@pytest.mark.parametrize("upstream", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("asked", list(ASKED))
def test_the_cost_is_told_once_and_is_the_charge(
    run: Run, asked: str, stream: bool, upstream: str
) -> None:
    """An answer has one cost, what its record comes to, whoever served and translated it."""
    path, body = ASKED[asked]

    async def main() -> None:
        async with house_before(upstream) as gateway:
            data = msgspec.json.encode({"model": A_MODEL, "stream": stream, **body})
            answer = await gateway.ask("POST", path, data, headers=INCLUDE)
            assert answer.status == 200
            (usage,) = await gateway.usages()
            pico = usage.tokens.input * 500_000 + usage.tokens.output * 1_500_000
            assert pico > 0
            assert costs_in(answer)[-1:] == [f"{pico / 10**12:.12f}".rstrip("0")]
            assert len(costs_in(answer)) == 1

    run(main())
