"""Models over raw HTTP."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from inferworks.cloud.providers.stub import StubProvider
from inferworks.ids import ModelId
from inferworks.testing.in_process_gateway import open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]


def test_the_list(run: Run) -> None:
    """Models are listed as OpenAI lists them, to those who have a key."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.ask("GET", "/v1/models?limit=1")
            model = {"id": A_MODEL, "object": "model", "created": 0, "owned_by": "inferworks"}
            assert answer.json == {"object": "list", "data": [model]}
            assert (await gateway.ask("GET", f"/v1/models/{A_MODEL}")).json == model
            assert (await gateway.ask("GET", "/v1/models", secret="")).status == 401
            assert (await gateway.ask("GET", f"/v1/models/{A_MODEL}", secret="")).status == 401

    run(main())


@pytest.mark.parametrize("path", ["acme/large", "acme%2Flarge", "acme%2flarge"])
def test_a_name_with_a_slash(run: Run, path: str) -> None:
    """A model's name is found whether its slash is escaped or not."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            gateway.catalogue.ready[ModelId("acme/large")] = ()
            answer = await gateway.ask("GET", f"/v1/models/{path}")
            assert (answer.status, answer.json["id"]) == (200, "acme/large")

    run(main())


@pytest.mark.parametrize("name", ["nothing", "%00", "%ff", "a%0d%0ab", "x" * 4000])
def test_a_model_that_is_not_there(run: Run, name: str) -> None:
    """An unknown name gets 404, whatever is in it."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.ask("GET", f"/v1/models/{name}")
            assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
            assert len(answer.body) < 1000

    run(main())


NAMES = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        ("", "abcde", False),
        ("limit=2", "ab", True),
        ("limit=5", "abcde", False),
        ("limit=1000", "abcde", False),
        ("after_id=b", "cde", False),
        ("limit=2&after_id=b", "cd", True),
        ("limit=2&after_id=e", "", False),
        ("before_id=c", "ab", False),
        ("limit=2&before_id=e", "cd", True),
        ("limit=2&unknown=1", "ab", True),
    ],
)
def test_pages(run: Run, query: str, names: str, has_more: bool) -> None:
    """Anthropic's clients may ask for pages, forwards and backwards."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            gateway.catalogue.ready = {ModelId(name): () for name in NAMES}
            headers = {"anthropic-version": "2023-06-01"}
            page = (await gateway.ask("GET", f"/v1/models?{query}", headers=headers)).json
            assert [model["id"] for model in page["data"]] == list(names)
            assert page["has_more"] is has_more
            ends = (names[0], names[-1]) if names else (None, None)
            assert (page["first_id"], page["last_id"]) == ends

    run(main())


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=", "limit=x", "limit=%C2%B2", f"limit={'9' * 5000}", "limit=-1",
     "after_id=nobody", "before_id=nobody", "&".join(f"a{n}=1" for n in range(50))],
)  # fmt: skip
def test_pages_that_make_no_sense(run: Run, query: str) -> None:
    """Senseless pages are refused in Anthropic's words."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            headers = {"anthropic-version": "2023-06-01"}
            answer = await gateway.ask("GET", f"/v1/models?{query}", headers=headers)
            assert (answer.status, answer.json["type"]) == (400, "error")
            assert answer.json["error"]["type"] == "invalid_request_error"

    run(main())
