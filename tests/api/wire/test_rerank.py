"""`POST /v1/rerank` and `/v2/rerank`: charged by search unit or by token, as the upstream tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from inferworks.meter.usage import NO_ITEMS, Confidence, Items, Tokens
from inferworks.testing.in_process_gateway import open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Reports

Run = Callable[[Coroutine[Any, Any, None]], None]
REQUEST = {"model": A_MODEL, "query": "Which is a city?", "documents": ["Bonn", {"text": "a cow"}]}


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
@pytest.mark.parametrize(
    ("reports", "tokens", "items"),
    [
        (Reports.AS_ASKED, Tokens(), Items(searches=1)),
        (Reports.ALWAYS, Tokens(5, 0), NO_ITEMS),
    ],
)
def test_a_ranking(run: Run, path: str, reports: Reports, tokens: Tokens, items: Items) -> None:
    """A ranking comes back, and what it is billed by is on record."""

    async def main() -> None:
        async with open_gateway(Answer(reports=reports)) as (gateway, upstream):
            got = await gateway.ask("POST", path, json.dumps({**REQUEST, "top_n": 1}).encode())
            assert [row["index"] for row in got.json["results"]] == [0]
            assert upstream.received[0].path == "/v1/rerank"
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.tokens, usage.items) == ("rerank", tokens, items)
            assert usage.confidence is Confidence.REPORTED

    run(main())


@pytest.mark.parametrize(
    ("change", "param"),
    [({"documents": []}, "documents"), ({"query": 1}, "query"), ({"top_n": 0}, "top_n")],
)
def test_what_is_wrong_is_refused(run: Run, change: dict[str, Any], param: str) -> None:
    """A mistake is told before any upstream hears of it."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            got = await gateway.ask(
                "POST", "/v1/rerank", json.dumps({**REQUEST, **change}).encode()
            )
            assert (got.status, got.json["error"]["param"]) == (400, param)
            assert upstream.received == []

    run(main())
