"""Models and health over raw HTTP."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from inferworks import __version__
from inferworks.cloud.providers.stub import StubProvider
from inferworks.ids import ModelId
from inferworks.testing.door import open_door
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]


def test_the_list(run: Run) -> None:
    """Models are listed as OpenAI lists them, to those who have a key."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            answer = await house.ask("GET", "/v1/models?limit=1")
            model = {"id": A_MODEL, "object": "model", "created": 0, "owned_by": "inferworks"}
            assert answer.json == {"object": "list", "data": [model]}
            assert (await house.ask("GET", f"/v1/models/{A_MODEL}")).json == model
            assert (await house.ask("GET", "/v1/models", secret="")).status == 401
            assert (await house.ask("GET", f"/v1/models/{A_MODEL}", secret="")).status == 401

    run(main())


@pytest.mark.parametrize("path", ["acme/large", "acme%2Flarge", "acme%2flarge"])
def test_a_name_with_a_slash(run: Run, path: str) -> None:
    """A model's name is found whether its slash is escaped or not."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            house.catalogue.ready[ModelId("acme/large")] = ()
            answer = await house.ask("GET", f"/v1/models/{path}")
            assert (answer.status, answer.json["id"]) == (200, "acme/large")

    run(main())


@pytest.mark.parametrize("name", ["nothing", "%00", "%ff", "a%0d%0ab", "x" * 4000])
def test_a_model_that_is_not_there(run: Run, name: str) -> None:
    """An unknown name gets 404, whatever is in it."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            answer = await house.ask("GET", f"/v1/models/{name}")
            assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
            assert len(answer.body) < 1000

    run(main())


def test_health(run: Run) -> None:
    """Health is open to all and turns to 503 while a model has no ready offer."""

    async def main() -> None:
        async with open_door(StubProvider()) as house:
            answer = await house.ask("GET", "/health", secret="")
            assert answer.status == 200
            assert answer.json == {
                "status": "ok", "version": __version__, "replicas": {}, "running_calls": 0,
            }  # fmt: skip
            house.catalogue.ready[ModelId("coming")] = ()
            answer = await house.ask("GET", "/health", secret="")
            assert (answer.status, answer.json["status"]) == (503, "starting")
            head = await house.ask("HEAD", "/health", secret="")
            assert (head.status, head.body) == (503, b"")
            assert await house.usages() == []

    run(main())
