"""`GET /openapi.json` describes what the gateway does, all of it and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import schemathesis

from inferworks.api.app import FORMS, ROUTES
from inferworks.api.openapi import document, template
from inferworks.cloud.providers.stub import StubProvider
from inferworks.testing.in_process_gateway import open_gateway, open_gateway_over
from inferworks.testing.providers import A_MODEL

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]

DOCUMENT = msgspec.json.decode(msgspec.json.encode(document(ROUTES, FORMS)))
DONE = [(path, method) for path, methods in ROUTES.items() for method in methods]


def validator_of(schema: dict[str, Any]) -> Any:
    """Validator of values against a schema of the document."""
    return jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]})


def test_it_is_an_openapi_document() -> None:
    """The document keeps to OpenAPI's own schema."""
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_every_route_is_in_it() -> None:
    """Each path with each of its methods, and no other."""
    told = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}
    told = {(path, method) for path, method in told if method != "parameters"}
    assert told == {(template(path), method.lower()) for path, method in DONE}


def test_no_two_operations_share_a_name() -> None:
    """A client that is generated from it has a function for each."""
    names = [item[m]["operationId"] for item in DOCUMENT["paths"].values()
             for m in item if m != "parameters"]  # fmt: skip
    assert len(set(names)) == len(names) == len(DONE)


def test_it_is_served_to_everybody(run: Run) -> None:
    """No key is asked for, and what is served is the document of these routes."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.ask("GET", "/openapi.json", secret="")
            assert (answer.status, answer.json) == (200, DOCUMENT)
            assert answer.headers["content-type"] == "application/json"

    run(main())


@pytest.mark.parametrize(("path", "method"), DONE)
def test_it_says_who_needs_a_key(run: Run, path: str, method: str) -> None:
    """Without a key there is a 401 wherever the document says so, as it says it looks, and nowhere else."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            place = template(path).format(name="x")
            answer = await gateway.ask(method, place, b"{}", secret="")
            told = DOCUMENT["paths"][template(path)][method.lower()]
            assert (answer.status == 401) is bool(told["security"])
            if answer.status == 401:
                content = told["responses"]["4XX"]["content"]["application/json"]
                validator_of(content["schema"]).validate(answer.json)

    run(main())


def test_our_headers_are_in_it(run: Run) -> None:
    """Headers of our own in an answer are all described."""

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            body = {"model": A_MODEL, "messages": [{"role": "user", "content": "Hi"}]}
            answer = await gateway.chat(body, headers={"x-inferworks-include": "cost"})
            said = {name for name in answer.headers if name.startswith("x-inferworks-")}
            told = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]
            assert {"x-inferworks-call-id"} <= said <= told["headers"].keys()

    run(main())


@pytest.mark.parametrize(
    "body",
    [
        {"model": A_MODEL, "messages": [{"role": "user", "content": "Hi"}], "unknown": 1},
        {"model": A_MODEL, "messages": []},
        {"model": A_MODEL, "messages": [{"content": "Hi"}]},
        {"model": A_MODEL, "messages": [{"role": "user", "content": "Hi"}], "temperature": 2.5},
        {"model": A_MODEL, "messages": [{"role": "user", "content": "Hi"}], "stop": ["a"] * 1025},
        {"messages": [{"role": "user", "content": "Hi"}]},
    ],
)
def test_it_says_what_is_refused(run: Run, body: Any) -> None:
    """A request is answered if the document's schema allows it, and else refused."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            sent = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]
            allowed = validator_of(sent["application/json"]["schema"]).is_valid(body)
            answer = await gateway.chat(json.dumps(body).encode())
            assert answer.status == (200 if allowed else 400)

    run(main())
