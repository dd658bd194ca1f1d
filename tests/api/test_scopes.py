"""Scopes over raw HTTP: what a key may not use is refused as OpenAI does, and is on record as that."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from inferworks.accounts.key import Grant, mint
from inferworks.cloud.providers.stub import StubProvider
from inferworks.ids import ModelId, OfferId
from inferworks.meter.usage import Outcome
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.in_process_gateway import A_CUSTOMER, InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]
CHAT = {"model": A_MODEL, "messages": [{"role": "user", "content": "hi"}]}
LOCAL = "127.0.0.0/8"


async def refusal(gateway: InProcessGateway, body: Any = CHAT, **scopes: Any) -> tuple[Any, ...]:
    """Status, code and parameter of the refusal of a chat with a key of these scopes."""
    _, secret = gateway.new_key(**scopes)
    answer = await gateway.chat(body, secret=secret)
    error = answer.json["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return answer.status, error["code"], error["param"], error["message"]


def test_within_its_scopes_a_key_serves(run: Run) -> None:
    """A call that is within all of them is a call like any other."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            offers = gateway.catalogue.ready[A_MODEL]
            gateway.catalogue.ready[A_MODEL] = [
                msgspec.structs.replace(offers[0], region="eu-central")
            ]
            _, secret = gateway.new_key(
                models=("other", f"{A_MODEL[:4]}*"),
                operations=("embeddings", "chat.completions"),
                regions=("us-", "eu-"),
                networks=("2001:db8::/32", LOCAL),
            )
            assert (await gateway.chat(CHAT, secret=secret)).status == 200
            [usage] = await gateway.usages()
            assert usage.outcome is Outcome.ANSWERED

    run(main())


def test_a_model_outside_the_scope_is_as_one_that_is_not_there(run: Run) -> None:
    """The answers differ in the name alone, and lists of models do not show it."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            gateway.catalogue.ready[ModelId("other")] = ()
            status, code, param, message = await refusal(gateway, models=("other",))
            unknown = await gateway.chat({**CHAT, "model": "nothing"})
            assert (status, code, param) == (404, "model_not_found", "model")
            assert message.replace(A_MODEL, "nothing") == unknown.json["error"]["message"]
            _, secret = gateway.new_key(models=("oth*",))
            listed = await gateway.ask("GET", "/v1/models", secret=secret)
            assert [model["id"] for model in listed.json["data"]] == ["other"]
            for name, found in ((A_MODEL, 404), ("other", 200)):
                answer = await gateway.ask("GET", f"/v1/models/{name}", secret=secret)
                assert answer.status == found
            outcomes = {usage.outcome for usage in await gateway.usages()}
            assert outcomes == {Outcome.REFUSED}

    run(main())


def test_an_operation_outside_the_scope(run: Run) -> None:
    """The refusal names what is missing, before it says anything of the model."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            found = await refusal(gateway, operations=("embeddings",), models=("other",))
            assert found[:3] == (403, "missing_scope", None)
            assert found[3].endswith("for this operation. Missing scopes: chat.completions.")

    run(main())


@pytest.mark.parametrize("region", ["us-east-1", "", "e", "EU-west"])
def test_a_call_never_runs_outside_its_regions(run: Run, region: str) -> None:
    """A place in another region, or one that is not known, is none; another place of the model is asked."""

    async def main() -> None:
        async with open_gateway_over(StubProvider(), StubProvider()) as gateway:
            first, second = gateway.catalogue.ready[A_MODEL]
            outside = msgspec.structs.replace(first, region=region)
            inside = msgspec.structs.replace(second, id=OfferId("inside"), region="eu-west-1")
            gateway.catalogue.ready[A_MODEL] = [outside]
            found = await refusal(gateway, regions=("eu-",))
            assert found[:3] == (403, "region_not_allowed", "model")
            gateway.catalogue.ready[A_MODEL] = [outside, inside]
            _, secret = gateway.new_key(regions=("eu-",))
            for _ in range(4):
                assert (await gateway.chat(CHAT, secret=secret)).status == 200
            served = {leg.offer for usage in await gateway.usages() for leg in usage.legs}
            assert served == {"inside"}

    run(main())


def test_a_key_is_of_no_use_elsewhere(run: Run) -> None:
    """From another network each path refuses it, whatever a header says of where the request came from."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            _, secret = gateway.new_key(networks=("192.0.2.0/24",), sources=("b",))
            for method, path in (
                ("POST", "/v1/chat/completions"),
                ("POST", "/v1/usage/events"),
                ("GET", "/v1/models"),
            ):
                answer = await gateway.ask(
                    method, path, b"{}", secret=secret, headers={"x-forwarded-for": "192.0.2.1"}
                )
                assert (answer.status, answer.json["error"]["code"]) == (401, "ip_not_authorized")
            assert await gateway.usages() == []

    run(main())


def test_a_key_ends_at_its_moment(run: Run) -> None:
    """One that ends later serves, and one that ended is refused before its body is read."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            now_ns = gateway.context.clock.now_ns()
            for expires_ns, status in ((now_ns + 3600 * 10**9, 200), (now_ns, 401)):
                key, secret = mint(A_CUSTOMER, 1, Grant(), pepper=A_PEPPER)
                gateway.accounts.add_key(msgspec.structs.replace(key, expires_ns=expires_ns))
                answer = await gateway.chat(CHAT, secret=secret)
                assert answer.status == status
            assert answer.json["error"]["message"] == "This API key has expired."
            assert len(await gateway.usages()) == 1

    run(main())
